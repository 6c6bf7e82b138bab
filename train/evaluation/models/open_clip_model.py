"""Loads any model that open_clip builds: a published one, a checkpoint, a folder of its own.

`--open-clip NAME` is the architecture, `--pretrained` where its weights are:

TAG               a tag of open_clip; downloaded where there is a network
FILE              a checkpoint on disk (models/checkpoints says which kinds)
local-dir:PATH    a folder with open_clip_config.json and the weights, as open_clip saves one

NAME may be `hf-hub:ORG/MODEL` or `local-dir:PATH`, which hold configuration and weights, or the
path of an architecture in open_clip's .json form. open_clip loads in silence what it should not: it
stretches position tables, warns of a wrong activation and goes on, and starts from random weights
where it finds none. Here each of these is an error. The logit scale stays as it was trained.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.pretrained import (
    download_pretrained,
    download_pretrained_from_hf,
    get_pretrained_cfg,
    list_pretrained_tags_by_model,
)
from open_clip.tokenizer import SimpleTokenizer
from open_clip.transform import PreprocessCfg, merge_preprocess_dict

from cxr_vlp.nlp.config import settings
from cxr_vlp.train import addresses
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.models import checkpoints, layouts, preprocessing
from cxr_vlp.train.evaluation.models.checkpoints import Checkpoint
from cxr_vlp.train.evaluation.models.encoder_model import EncoderModel
from cxr_vlp.train.evaluation.models.preprocessing import OWN, Transform
from cxr_vlp.train.model.build import CONFIGS, DualEncoder, padding_end, quiet, tokenize_with
from cxr_vlp.train.model.tokenizer import cached

FOLDER, HUB, QUICK = "local-dir:", "hf-hub:", "-quickgelu"
ACTIVATIONS = ("gelu", "quickgelu")
CONFIG = "open_clip_config.json"
WEIGHTS = (  # of a local-dir, the preferred one first
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth", "model.safetensors",
    "pytorch_model.bin",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """One model of the command line: `--open-clip` and the flags that follow it.

    preprocess: own, a published name, or a YAML file. activation: what the weights were trained
    with (gelu, quickgelu), where the file does not say it; "": not stated.
    """

    name: str
    pretrained: str = ""
    preprocess: str = OWN
    activation: str = ""


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a model is: its name for open_clip, its weights' file, the weights' preprocessing."""

    name: str
    path: Path
    preprocess: dict[str, Any]
    tag: dict[str, Any] | None = None  # open_clip's record of a tag


def model(request: Request) -> EncoderModel:
    """Return the model in evaluation mode, on the GPU where there is one.

    Raises ConfigError where the name, the weights, the activation or the size do not fit together,
    and where the weights cannot be had here.
    """
    source = _source(request)
    checkpoint = checkpoints.read(source.path)
    layouts.check(checkpoint.state, str(source.path))
    config = _config(source.name)
    _check_activation(request, source, checkpoint, bool(config.get("quick_gelu")))
    built = skeleton(source.name, bias=layouts.has_bias(checkpoint.state))
    layouts.fill(built, checkpoint.state, str(source.path))
    transform = _transform(request, source, layouts.layout(checkpoint.state))
    encoder = encoder_of(built, source.name)
    facts = {
        "kind": "open_clip",
        "architecture": source.name,
        "pretrained": request.pretrained,
        "file": source.path.name,
        "layout": layouts.layout(checkpoint.state),
        "activation": "quickgelu" if config.get("quick_gelu") else "gelu",
        "preprocessing": request.preprocess,
        "transform": preprocessing.facts(preprocessing.foreign(transform)),
        "size": encoder.size,
        "logit_scale": float(built.logit_scale.detach().exp()),
        "open_clip": open_clip.__version__,
    }
    digest = checkpoints.digest(source.path)
    image = preprocessing.foreign(transform)
    return EncoderModel(encoder, image, _title(request, source), digest, facts)


def skeleton(name: str, *, bias: bool = False, seed: int = 0) -> Any:
    """Return an architecture with random weights, on the CPU. Raises ConfigError."""
    more: dict[str, Any] = {"init_logit_bias": 0.0} if bias else {}
    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return open_clip.create_model(
                name, load_weights=False, pretrained_text=False, pretrained_image=False, **more
            )
        except (RuntimeError, OSError, ValueError, ImportError, TypeError, KeyError) as error:
            raise _unavailable(name, error) from None


def encoder_of(built: Any, name: str) -> DualEncoder:
    """Return a built model as a dual encoder, in evaluation mode, on the GPU where there is one."""
    size = built.visual.image_size
    height, width = size if isinstance(size, tuple | list) else (size, size)
    if height != width:
        raise ConfigError(f"--open-clip {name}: its input is {height} x {width}, not a square")
    with quiet():
        try:
            found: Any = open_clip.get_tokenizer(name)
        except (RuntimeError, OSError, ValueError, ImportError, TypeError) as error:
            raise _unavailable(f"the tokenizer of {name}", error) from None
    found = cached(found) if isinstance(found, SimpleTokenizer) else found
    built.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    built.visual.to(memory_format=torch.channels_last)
    # the whole context, as open_clip gives it; only Hugging Face's towers mask their padding
    return DualEncoder(built, int(height), partial(tokenize_with, found), padding_end(built))


def known_name(name: str) -> str:
    """Return open_clip's name of an architecture, after an own .json has been made known to it.

    Raises ConfigError with the nearest name where there is none.
    """
    open_clip.add_model_config(CONFIGS)
    if name.startswith((HUB, FOLDER)):
        return name
    if name.endswith(".json"):
        return _own_config(Path(name))
    found = name.replace("/", "-")
    if found not in open_clip.list_models():
        meant = settings.nearest(found, open_clip.list_models())
        raise ConfigError(
            f"--open-clip {name}: no architecture of open_clip, nor of train/model/configs{meant}; "
            "hf-hub:ORG/MODEL and local-dir:PATH name a configuration elsewhere"
        )
    return found


def _own_config(path: Path) -> str:
    if not path.is_file():
        raise ConfigError(f"--open-clip {path}: no such file")
    if path.stem in open_clip.list_models() and path.parent.resolve() != CONFIGS.resolve():
        known = _config(path.stem)
        if known != json.loads(path.read_text(encoding="utf-8")):
            raise ConfigError(
                f"--open-clip {path}: open_clip has another architecture of the name {path.stem}: "
                "rename the file"
            )
    open_clip.add_model_config(path)
    if path.stem not in open_clip.list_models():
        raise ConfigError(
            f"--open-clip {path}: not open_clip's form of an architecture: it needs embed_dim, "
            "vision_cfg and text_cfg"
        )
    return path.stem


def _config(name: str) -> dict[str, Any]:
    with quiet():
        return open_clip.get_model_config(name) or {}


def _source(request: Request) -> _Source:
    addresses.check(request.pretrained, "--pretrained")
    if request.pretrained.startswith(FOLDER):
        return _folder(request, request.pretrained.removeprefix(FOLDER))
    if request.name.startswith(FOLDER):
        _refuse_pretrained(request)
        return _folder(request, request.name.removeprefix(FOLDER))
    if request.name.startswith(HUB):
        _refuse_pretrained(request)
        return _hub(request.name)
    name = known_name(request.name)
    if not request.pretrained:
        raise ConfigError(
            f"--open-clip {request.name} names an architecture without weights: add --pretrained "
            "TAG, FILE or local-dir:PATH (random weights are --baseline random); "
            f"{_tags(name)}"
        )
    tag = _tag(name, request.pretrained)
    if tag is None:
        return _file(name, request.pretrained)
    return _Source(name, _downloaded(name, request.pretrained, tag), dict(tag), tag)


def _refuse_pretrained(request: Request) -> None:
    if request.pretrained:
        raise ConfigError(
            f"--open-clip {request.name} holds its own weights: leave out --pretrained "
            f"{request.pretrained}"
        )


def _file(name: str, given: str) -> _Source:
    path = Path(given)
    if not path.is_file():
        raise ConfigError(
            f"--pretrained {given}: no file of this name, and no tag of {name}; {_tags(name)}"
        )
    return _Source(name, path, {})


def _tags(name: str) -> str:
    found = list_pretrained_tags_by_model(name)
    return f"its tags are {', '.join(found)}" if found else "open_clip has no weights of it"


def _tag(name: str, tag: str) -> dict[str, Any] | None:
    """Return open_clip's record of a tag, None for none. Raises ConfigError for a wrong twin."""
    found = get_pretrained_cfg(name, tag)
    twin = name.removesuffix(QUICK)
    if not found and name != twin and get_pretrained_cfg(twin, tag):
        raise _other_activation(name, f"the weights {tag}", twin, quick=False)
    if not found:
        return None
    if bool(found.get("quick_gelu")) != bool(_config(name).get("quick_gelu")):
        quick = bool(found.get("quick_gelu"))
        right = name + QUICK if quick else name.removesuffix(QUICK)
        raise _other_activation(name, f"the weights {tag}", right, quick=quick)
    return dict(found)


def _downloaded(name: str, tag: str, record: dict[str, Any]) -> Path:
    with quiet():
        try:
            return Path(download_pretrained(record))
        except (RuntimeError, OSError, ValueError, ImportError) as error:
            raise _unavailable(f"{name} with the weights {tag}", error) from None


def _hub(name: str) -> _Source:
    open_clip.add_model_config(CONFIGS)
    with quiet():
        try:
            config = open_clip.factory._get_hf_config(name.removeprefix(HUB))
            path = Path(download_pretrained_from_hf(name.removeprefix(HUB)))
        except (RuntimeError, OSError, ValueError, ImportError) as error:
            raise _unavailable(name, error) from None
    return _Source(name, path, config.get("preprocess_cfg", {}))


def _folder(request: Request, given: str) -> _Source:
    folder = Path(given)
    if not (folder / CONFIG).is_file():
        raise ConfigError(
            f"{FOLDER}{given}: no {CONFIG} in it: give a folder that open_clip saved, or a file "
            "of weights as --pretrained with its architecture as --open-clip"
        )
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        architecture = dict(config["model_cfg"])
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{folder / CONFIG}: not open_clip's: no model_cfg in it") from None
    if not request.name.startswith(FOLDER):
        _check_same(known_name(request.name), architecture, folder)
    found = [folder / name for name in WEIGHTS if (folder / name).is_file()]
    if not found:
        raise ConfigError(f"{folder}: no weights in it; known names are {', '.join(WEIGHTS)}")
    return _Source(f"{FOLDER}{given}", found[0], config.get("preprocess_cfg") or {})


def _check_same(name: str, architecture: dict[str, Any], folder: Path) -> None:
    """Raise ConfigError where a folder holds another architecture than the one that is named."""
    named = _config(name)
    odd = sorted(
        key for key in named.keys() | architecture.keys() if named.get(key) != architecture.get(key)
    )
    if odd:
        raise ConfigError(
            f"{folder / CONFIG} is not {name}: {', '.join(odd)} differ. Give "
            f"--open-clip {FOLDER}{folder} alone to use the folder's own architecture"
        )


def _check_activation(
    request: Request, source: _Source, checkpoint: Checkpoint, quick: bool
) -> None:
    """Raise ConfigError where the weights were trained with another GELU than the model has."""
    name, where = source.name, str(source.path)
    right = name.removesuffix(QUICK) if quick else name + QUICK
    if request.activation and (request.activation == "quickgelu") != quick:
        raise _other_activation(name, f"{where}, as --activation says,", right, quick=not quick)
    if source.tag is not None or request.activation or name.startswith((FOLDER, HUB)):
        return  # the record, the user or the folder's configuration says it
    if not quick and (checkpoint.scripted or request.preprocess == "chexzero"):
        whose = "OpenAI's archive" if checkpoint.scripted else "CheXzero's checkpoint"
        raise _other_activation(name, f"{where}, {whose},", right, quick=True)
    trained_as = checkpoint.trained_as
    if trained_as and trained_as != name:
        raise ConfigError(
            f"{where} was trained as {trained_as}, which its run's name says, and not as {name}: "
            f"--open-clip {trained_as}"
        )
    plain = not checkpoint.wrapped and layouts.layout(checkpoint.state) == "openai"
    if plain and not quick and name + QUICK in open_clip.list_models():
        raise ConfigError(
            f"{where} does not say with which GELU it was trained. OpenAI's weights and what was "
            f"trained from them (CheXzero) have QuickGELU: --open-clip {right}. If these have "
            f"GELU (LAION's), add --activation gelu"
        )


def _other_activation(name: str, weights: str, right: str, *, quick: bool) -> ConfigError:
    trained, built = ("QuickGELU", "GELU") if quick else ("GELU", "QuickGELU")
    remedy = f"--open-clip {right}"
    if right not in open_clip.list_models():
        value = "true" if quick else "false"
        remedy = f'a configuration of {name} with "quick_gelu": {value}, as --open-clip FILE.json'
    return ConfigError(
        f"--open-clip {name} has {built}, and {weights} were trained with {trained}: the scores "
        f"would be wrong without a message. Use {remedy}"
    )


def _transform(request: Request, source: _Source, layout: str) -> Transform:
    if request.preprocess != OWN:
        return preprocessing.named(request.preprocess)
    if layout == "cxrclip":  # open_clip's defaults are not its own, and the layout says whose it is
        return preprocessing.named("cxrclip")
    return preprocessing.of_open_clip(merge_preprocess_dict(PreprocessCfg(), source.preprocess))


def _title(request: Request, source: _Source) -> str:
    name = request.name.removeprefix(HUB).removeprefix(FOLDER).rstrip("/")
    short = Path(name).stem if name.endswith(".json") else name.rsplit("/", 1)[-1]
    if not request.pretrained or request.pretrained.startswith(FOLDER):
        return short
    return f"{short} {source.path.stem if source.tag is None else request.pretrained}"


def _unavailable(what: str, error: Exception) -> ConfigError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return ConfigError(
        f"{what} cannot be loaded here ({reason}). Without a network, download it on a machine "
        "that has one, and give --pretrained FILE, or --open-clip local-dir:PATH with a folder "
        "that holds open_clip_config.json and the weights (HF_HUB_OFFLINE=1 avoids the wait)"
    )
