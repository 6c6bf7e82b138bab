"""Reads the weights of a checkpoint file, whoever wrote it, without running code from it.

`.safetensors` holds tensors alone. A `.pt`, `.pth` or `.bin` is a pickle: torch reads it in its
safe mode, which refuses everything but tensors and plain values. A TorchScript archive (OpenAI's
releases) is read by torch.jit. A training checkpoint keeps the weights under a key (`state_dict` of
open_clip and Lightning, `model` of CXR-CLIP) and may add a prefix to each name.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cxr_vlp.train.errors import ConfigError

KEYS = ("state_dict", "model", "model_state_dict")  # that hold the weights of a checkpoint
PREFIXES = ("module.", "_orig_mod.")  # of DistributedDataParallel and torch.compile
# open_clip names a run after its model: 2024_01_31-model_ViT-B-32-lr_0.0005-b_64-j_4-p_amp
RUN_NAME = re.compile(r"(?:^|-)model_(?P<model>.+?)-lr_")
POINTER = b"version https://git-lfs"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The weights of a file: name -> tensor, on the CPU.

    trained_as: the model's name where the file says it (open_clip's name of a run), else "".
    wrapped: the weights were part of a training checkpoint. scripted: a TorchScript archive.
    """

    state: dict[str, Tensor]
    trained_as: str = ""
    wrapped: bool = False
    scripted: bool = False


def read(path: Path) -> Checkpoint:
    """Return the weights in a file. Raises ConfigError for anything that holds no weights."""
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    with path.open("rb") as file:
        if file.read(len(POINTER)) == POINTER:
            raise ConfigError(f"{path} is a pointer of Git LFS, not the weights: git lfs pull")
    if path.suffix == ".safetensors":
        return Checkpoint(_unprefixed(_safetensors(path)))
    if _is_script(path):
        return Checkpoint(_unprefixed(_scripted(path)), scripted=True)
    return _unwrapped(_unpickled(path), path)


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ConfigError(f"{path} is no safetensors file, or is cut short: {error}") from None


def _is_script(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("constants.pkl") for name in archive.namelist())


def _scripted(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of torch.jit; the releases are so
            return dict(torch.jit.load(path, map_location="cpu").state_dict())
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{path}: torch cannot read this TorchScript archive: {reason}") from None


def _unpickled(path: Path) -> Any:
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        if any("pickle protocol" in str(each.message) for each in said):
            raise ConfigError(
                f"{path} was saved with another pickle protocol than torch's own, which cannot be "
                "read safely: where you trust it, save it again without pickle_protocol"
            ) from None
        raise ConfigError(
            f"{path} holds objects besides tensors and plain values: to read them would run code "
            "from the file. Where you trust it, save its weights alone, with the packages that "
            f"wrote it: torch.save(torch.load({path.name!r}, weights_only=False)['model'], "
            "'weights.pt') - or ['state_dict'], as the file has it - and give that file"
        ) from None
    except (RuntimeError, EOFError, ValueError, OSError, KeyError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ConfigError(f"{path}: torch cannot read this file: {reason}") from None


def _unwrapped(found: Any, path: Path) -> Checkpoint:
    whole = found if isinstance(found, Mapping) else {}
    inner = next((whole[key] for key in KEYS if isinstance(whole.get(key), Mapping)), None)
    state = dict(whole if inner is None else inner)
    odd = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if not state or odd:
        what = f"entries that are no tensors ({', '.join(map(str, odd[:3]))})" if odd else "nothing"
        raise ConfigError(
            f"{path} holds {what}, not a model's weights: a mapping from names to tensors, or a "
            f"training checkpoint with one under {', '.join(KEYS)}"
        )
    run = RUN_NAME.search(str(whole.get("name", ""))) if inner is not None else None
    trained_as = run["model"] if run else ""
    return Checkpoint(_unprefixed(state), trained_as, wrapped=inner is not None)


def _unprefixed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state
