"""Makes the square input of another framework's model, as that framework makes it.

Our own models get `train/data/images`: one resize of a window. A model from elsewhere was trained
with its own resize, and its numbers change with it. So the steps of open_clip's own transform are
applied to the stored image, up to the normalisation, which follows on the device
(`cxr_vlp.train.data.batches.to_input`). All these steps treat the three channels alike, so one grey
channel gives the same numbers. A user can name a published preprocessing, or a YAML file.

Sources: open_clip's transform.py; rajpurkarlab/CheXzero data_process.py and zero_shot.py (padded to
a black square of 320 pixels, then resized to the input in float, without antialiasing, as
torchvision 0.11 did); kakaobrain/cxr-clip (short side to 224, bilinear, middle, ImageNet's values).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as nnf
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass
from torch import Tensor
from torchvision.transforms import Normalize, ToTensor

from cxr_vlp.nlp.config.settings import STRICT
from cxr_vlp.train.config.recipe import ImageConfig
from cxr_vlp.train.config.sections import build, known, read_yaml
from cxr_vlp.train.data import images

OWN = "own"  # the preprocessing of the model's own configuration
Level = Annotated[float, Field(ge=0, le=1)]
Spread = Annotated[float, Field(gt=0, le=1)]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
FITS = {"shortest": "shortest", "longest": "pad", "squash": "squash"}  # open_clip's -> ours


def _three(value: Any) -> Any:
    """Return one number as three; a list as a tuple."""
    if isinstance(value, list | tuple):
        return tuple(value)
    return (value,) * 3


@dataclass(frozen=True, slots=True, config=STRICT)
class Transform:
    """One preprocessing, as a YAML file gives it (`--preprocess FILE.yaml`)."""

    resize: Literal["shortest", "longest", "squash"] = "shortest"
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    mean: Annotated[tuple[Level, Level, Level], BeforeValidator(_three)] = (0.5, 0.5, 0.5)
    std: Annotated[tuple[Spread, Spread, Spread], BeforeValidator(_three)] = (0.5, 0.5, 0.5)
    fill: Annotated[int, Field(ge=0, le=255)] = 0  # beside the image, with `longest`
    # first to a square of this side with black around the image, then in float to the model's
    # input (CheXzero); 0: one resize
    first: Annotated[int, Field(ge=0, le=4096)] = 0


PUBLISHED: Mapping[str, Transform] = {
    "chexzero": Transform(
        resize="longest",
        mean=(101.48761 / 255,) * 3,
        std=(83.43944 / 255,) * 3,
        first=320,
    ),
    "cxrclip": Transform(interpolation="bilinear", mean=IMAGENET[0], std=IMAGENET[1]),
}


@dataclass(frozen=True, slots=True, config=STRICT)
class ForeignImage(ImageConfig):
    """The image section of a model from elsewhere: its window as ours has it, and its transform.

    `fit`, `mean` and `std` say what `transform` does in the terms of ImageConfig, so that a heat
    map finds its place in the stored image; `transform` is what is computed.
    """

    transform: Transform = Transform()


def foreign(transform: Transform) -> ForeignImage:
    """Return the image section of a transform."""
    mean, std = (sum(values) / 3 for values in (transform.mean, transform.std))
    fit: Any = FITS[transform.resize]
    return ForeignImage(fit=fit, mean=mean, std=std, transform=transform)


def of_open_clip(config: Mapping[str, Any]) -> Transform:
    """Return the transform of an open_clip model's `visual.preprocess_cfg`."""
    return Transform(
        resize=config["resize_mode"],
        interpolation="bilinear" if config["interpolation"] == "bilinear" else "bicubic",
        mean=_three(config["mean"]),
        std=_three(config["std"]),
        fill=config["fill_color"],
    )


def named(name: str) -> Transform:
    """Return a published transform by its name, or one from a YAML file.

    Raises ConfigError for an unknown name, and for a key or a value that is not allowed.
    """
    if "/" in name or name.endswith((".yaml", ".yml")):
        return build(Transform, read_yaml(Path(name)), f"{name}:")
    known([name], (OWN, *PUBLISHED), "--preprocess, no .yaml file", "preprocessing")
    return PUBLISHED[name]


def facts(image: ImageConfig) -> dict[str, Any]:
    """Return what metrics.json records of a preprocessing."""
    return asdict(image.transform if isinstance(image, ForeignImage) else image)


def pixels(data: bytes, image: ImageConfig, size: int) -> Tensor | None:
    """Return the model's input (1, size, size) of an encoded image, None where it is no image.

    uint8; float32 in 0..255 where the transform resizes in float (`first`).
    """
    if not isinstance(image, ForeignImage):
        decoded = images.decode(data, image, size)
        return None if decoded is None else images.prepare(decoded, image, size, None)
    grey: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    return None if grey is None else transformed(Image.fromarray(grey), image.transform, size)


def transformed(image: Image.Image, transform: Transform, size: int) -> Tensor:
    """Return (1, size, size) of a grey image, before the normalisation."""
    if transform.first:
        return _twice(image, transform, size)
    config = PreprocessCfg(
        size=size,
        interpolation=transform.interpolation,
        resize_mode=transform.resize,
        fill_color=transform.fill,
    )
    steps = image_transform_v2(config, is_train=False).transforms
    for step in steps:
        # its conversion to RGB comes after the geometry, and ToTensor divides by 255
        if isinstance(step, ToTensor | Normalize):
            break
        if type(step).__name__ != "MaybeConvertMode":
            image = step(image)
    return torch.from_numpy(np.array(image))[None]


def _twice(image: Image.Image, transform: Transform, size: int) -> Tensor:
    """Return CheXzero's input: padded to a square of `first` pixels, then resized in float."""
    side = transform.first
    ratio = side / max(image.size)
    width, height = (max(1, int(length * ratio)) for length in image.size)
    small = image.resize((width, height), Image.Resampling.LANCZOS)
    square = Image.new("L", (side, side))
    square.paste(small, ((side - width) // 2, (side - height) // 2))
    grey = torch.from_numpy(np.array(square)).float()[None, None]
    if size == side:
        return grey[0]
    mode = transform.interpolation
    return nnf.interpolate(grey, (size, size), mode=mode, align_corners=False)[0]
