"""Models of open_clip from everywhere: equal features, exact preprocessing, refused mismatches."""

from __future__ import annotations

import io
import json
import logging
import math
import pickle
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import open_clip
import pytest
import torch
from open_clip.push_to_hf_hub import save_config_for_hf
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision.transforms import InterpolationMode, Normalize, Resize

from cxr_vlp.train.config.recipe import ImageConfig
from cxr_vlp.train.data.batches import to_input
from cxr_vlp.train.data.images import full_square
from cxr_vlp.train.data.shards import list_shards
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.models import checkpoints, open_clip_model, preprocessing
from cxr_vlp.train.evaluation.models.open_clip_model import Request, model
from cxr_vlp.train.evaluation.models.preprocessing import Transform, foreign, pixels, transformed
from cxr_vlp.train.evaluation.reading import batches
from tests.train.conftest import write_source

TEXTS = ["no pleural effusion", "Cardiomegaly."]
SMALL = {
    "embed_dim": 32,
    "quick_gelu": False,
    "vision_cfg": {
        "image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16,
    },
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Architectures of a small CLIP, as open_clip's .json files."""
    made = tmp_path_factory.mktemp("models")
    larger = SMALL | {"vision_cfg": SMALL["vision_cfg"] | {"image_size": 96}}
    for name, config in (
        ("small-vit", SMALL),
        ("small-vit-quickgelu", SMALL | {"quick_gelu": True}),
        ("small-vit-96", larger),
    ):
        (made / f"{name}.json").write_text(json.dumps(config))
        open_clip.add_model_config(made / f"{name}.json")
    return made


@pytest.fixture(scope="module")
def source(folder) -> nn.Module:
    """A CLIP whose logit scale is trained: it is not the start value."""
    torch.manual_seed(5)
    made = open_clip.create_model("small-vit-quickgelu").eval()
    made.logit_scale.data.fill_(math.log(31.5))
    return made


@torch.no_grad()
def features(net: nn.Module, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    tokens = open_clip.get_tokenizer("small-vit")(TEXTS)
    return net.encode_image(image, normalize=True), net.encode_text(tokens, normalize=True)


def openai_archive(state: dict[str, torch.Tensor], path: Path) -> None:
    """Write weights as a TorchScript archive in half precision, as OpenAI's releases are."""

    class Holder(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    holder = Holder()
    for name, value in state.items():
        *parents, last = name.split(".")
        place = holder
        for parent in parents:
            if not hasattr(place, parent):
                place.add_module(parent, Holder())
            place = getattr(place, parent)
        place.register_buffer(last, value.clone())
    for name in ("input_resolution", "context_length", "vocab_size"):
        holder.register_buffer(name, torch.tensor(64))
    torch.jit.script(holder).save(path)


def written(source: nn.Module, kind: str, path: Path) -> Request:
    """Write the model as `kind` and return how the command line names it."""
    state = {name: value.clone() for name, value in source.state_dict().items()}
    name, file = "small-vit-quickgelu", path / "weights.pt"
    match kind:
        case "chexzero" | "bare":  # CheXzero's train.py: torch.save(model.state_dict())
            torch.save(state, file)
            return Request(name, str(file), "chexzero" if kind == "chexzero" else "own")
        case "training":
            inner = {f"module.{key}": value for key, value in state.items()}
            torch.save({"epoch": 1, "name": "a-run", "state_dict": inner, "optimizer": {}}, file)
        case "compiled":
            torch.save({f"_orig_mod.{key}": value for key, value in state.items()}, file)
        case "safetensors":
            file = path / "weights.safetensors"
            save_file(state, file)
        case "archive":
            openai_archive(state, file)
        case "folder":
            save_file(state, path / "open_clip_model.safetensors")
            source.visual.preprocess_mean, source.visual.preprocess_std = (0.4,) * 3, (0.3,) * 3
            config = SMALL | {"quick_gelu": True}
            save_config_for_hf(source, path / "open_clip_config.json", config)
            return Request(f"local-dir:{path}")
        case "folder and name":
            written(source, "folder", path)
            return Request(name, f"local-dir:{path}")
    return Request(name, str(file))


KINDS = (
    "bare", "chexzero", "training", "compiled", "safetensors", "archive", "folder",
    "folder and name",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_those_of_the_source(kind, source, tmp_path, caplog, capfd):
    request = written(source, kind, tmp_path)
    with warnings.catch_warnings(), caplog.at_level(logging.DEBUG):
        warnings.simplefilter("error")
        made = model(request)
    grey = torch.randint(0, 256, (3, 1, 64, 64), dtype=torch.uint8)
    image, text = features(source, to_input(grey, made.image))
    assert torch.allclose(made.encode_images(grey).whole, image, atol=1e-6)
    assert torch.allclose(made.encode_texts(TEXTS).whole, text, atol=1e-6)
    assert made.scale == pytest.approx(31.5)  # as trained
    assert not caplog.records
    assert "random" not in "".join(capfd.readouterr())


def test_what_decides_a_number_is_recorded(source, tmp_path):
    made = model(written(source, "chexzero", tmp_path))
    assert made.name == "small-vit-quickgelu weights"
    assert len(made.digest) == 64
    wanted = {"kind": "open_clip", "activation": "quickgelu", "preprocessing": "chexzero"}
    assert wanted.items() <= made.facts.items()
    assert made.facts["logit_scale"] == pytest.approx(31.5)
    assert made.facts["transform"]["first"] == 320
    json.dumps(made.facts)


def test_the_random_state_of_torch_stays(source, tmp_path):
    request = written(source, "bare", tmp_path)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    model(request)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("request_", "right"),
    [
        (Request("ViT-B-32", "openai"), "Use --open-clip ViT-B-32-quickgelu$"),
        (Request("ViT-B-32-quickgelu", "laion2b_s34b_b79k"), "Use --open-clip ViT-B-32$"),
        (Request("ViT-L-14", "openai"), "Use --open-clip ViT-L-14-quickgelu$"),
    ],
)
def test_a_tag_of_another_gelu_is_refused_before_any_download(request_, right, monkeypatch):
    monkeypatch.setattr(open_clip_model, "download_pretrained", lambda _: pytest.fail("asked"))
    with pytest.raises(ConfigError, match=right):
        model(request_)


@pytest.mark.parametrize("kind", ["chexzero", "archive", "bare"])
def test_a_file_of_openais_layout_needs_the_quickgelu_twin(kind, source, tmp_path):
    request = written(source, kind, tmp_path)
    wrong = Request("small-vit", request.pretrained, request.preprocess)
    with pytest.raises(ConfigError, match="--open-clip small-vit-quickgelu"):
        model(wrong)


def test_a_file_that_says_nothing_is_believed_with_the_users_word(source, tmp_path):
    request = written(source, "bare", tmp_path)
    model(Request("small-vit", request.pretrained, activation="gelu"))
    with pytest.raises(ConfigError, match="trained with QuickGELU"):
        model(Request("small-vit", request.pretrained, activation="quickgelu"))
    with pytest.raises(ConfigError, match=r"Use --open-clip small-vit$"):
        model(Request("small-vit-quickgelu", request.pretrained, activation="gelu"))


def test_a_run_that_was_named_after_another_architecture(source, tmp_path):
    state = source.state_dict()
    run = "2024_01_31-11_02_03-model_small-vit-lr_0.0005-b_64-j_4-p_amp"
    torch.save({"epoch": 1, "name": run, "state_dict": state}, tmp_path / "epoch_1.pt")
    model(Request("small-vit", str(tmp_path / "epoch_1.pt")))
    with pytest.raises(ConfigError, match=r"trained as small-vit, .* --open-clip small-vit$"):
        model(Request("small-vit-quickgelu", str(tmp_path / "epoch_1.pt")))


def test_another_image_size_is_not_stretched(source, tmp_path):
    file = written(source, "safetensors", tmp_path).pretrained
    with pytest.raises(ConfigError, match=r"visual.positional_embedding .*another image size"):
        model(Request("small-vit-96", file))


def test_another_context_length_is_not_cut(source, tmp_path, folder):
    short = SMALL | {"text_cfg": SMALL["text_cfg"] | {"context_length": 32}}
    (folder / "small-short.json").write_text(json.dumps(short))
    file = written(source, "safetensors", tmp_path).pretrained
    with pytest.raises(ConfigError, match=r"such as positional_embedding \(\(77, 32\)"):
        model(Request(str(folder / "small-short.json"), file))


def test_weights_of_another_model_are_counted(source, tmp_path):
    state = source.state_dict()
    state.pop("ln_final.bias")
    save_file(state | {"x": torch.zeros(1)}, tmp_path / "odd.safetensors")
    with pytest.raises(ConfigError, match=r"1 missing \(such as ln_final.bias\), 1 not known"):
        model(Request("small-vit-quickgelu", str(tmp_path / "odd.safetensors")))


def test_weights_that_are_not_finite(source, tmp_path):
    state = source.state_dict() | {"ln_final.bias": torch.full((32,), math.nan)}
    save_file(state, tmp_path / "nan.safetensors")
    with pytest.raises(ConfigError, match="1 weights are not finite"):
        model(Request("small-vit-quickgelu", str(tmp_path / "nan.safetensors")))


class Trap:
    """An object whose unpickling would run code."""

    def __reduce__(self):
        return (Path.touch, (Path("ran"),))


def test_a_pickle_that_needs_code_is_refused_and_does_not_run(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": source.state_dict(), "config": Trap()}, "cxr.pt")
    with pytest.raises(ConfigError, match=r"would run code .* save its weights alone"):
        model(Request("small-vit", "cxr.pt"))
    Path("old.pt").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ConfigError, match=r"old.pt"):
        model(Request("small-vit", "old.pt"))
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot read this file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        ({"epoch": 3}, "no tensors"),
        ({}, "holds nothing"),
    ],
)
def test_files_without_weights(content, message, tmp_path, folder):
    path = tmp_path / "weights.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ConfigError, match=message):
        model(Request("small-vit", str(path)))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request("small-vti"), "did you mean small-vit"),
        (Request("ViT-B-32"), "without weights: add --pretrained .* its tags are openai"),
        (Request("ViT-B-32", "nothing.pt"), "no file of this name, and no tag of ViT-B-32"),
        (Request("ViT-B-32", "s3://a/b.pt"), "--pretrained"),
        (Request("local-dir:nowhere"), "no open_clip_config.json in it"),
        (Request("local-dir:nowhere", "x.pt"), "holds its own weights"),
        (Request("hf-hub:a/b", "x.pt"), "holds its own weights"),
        (Request("nowhere.json", "x.pt"), "no such file"),
    ],
)
def test_names_that_mean_nothing(request_, message, folder):
    with pytest.raises(ConfigError, match=message):
        model(request_)


def test_a_folder_of_another_architecture_than_the_named_one(source, tmp_path):
    written(source, "folder", tmp_path)
    with pytest.raises(ConfigError, match="is not small-vit-96: quick_gelu, vision_cfg differ"):
        model(Request("small-vit-96", f"local-dir:{tmp_path}"))
    (tmp_path / "open_clip_model.safetensors").unlink()
    with pytest.raises(ConfigError, match="no weights in it"):
        model(Request(f"local-dir:{tmp_path}"))


def offline(*_: object, **__: object) -> str:
    raise FileNotFoundError("no route to host\nand a long tail")


@pytest.mark.parametrize(
    "name",
    ["hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224", "ViT-B-32-quickgelu"],
)
def test_without_a_network_the_remedy_is_named(name, monkeypatch):
    monkeypatch.setattr(open_clip_model, "download_pretrained", offline)
    monkeypatch.setattr(open_clip.factory, "_get_hf_config", offline)
    tag = "" if name.startswith("hf-hub:") else "openai"
    with pytest.raises(ConfigError) as caught:
        model(Request(name, tag))
    assert "cannot be loaded here (no route to host)" in str(caught.value)
    assert "local-dir:PATH" in str(caught.value)


def test_a_tag_is_loaded_with_its_own_preprocessing(source, tmp_path, monkeypatch):
    record = {"quick_gelu": True, "mean": (0.1, 0.2, 0.3), "std": (1.0, 0.5, 0.25)}
    record |= {"interpolation": "bilinear", "resize_mode": "squash"}
    file = written(source, "bare", tmp_path).pretrained
    monkeypatch.setattr(open_clip_model, "get_pretrained_cfg", lambda *_: record)
    monkeypatch.setattr(open_clip_model, "download_pretrained", lambda _: file)
    made = model(Request("small-vit-quickgelu", "some-tag"))
    assert made.name == "small-vit-quickgelu some-tag"
    assert made.image.transform == Transform("squash", "bilinear", *list(record.values())[1:3])


def test_siglips_bias_is_loaded(source, tmp_path):
    state = source.state_dict() | {"logit_bias": torch.tensor(-3.0)}
    save_file(state, tmp_path / "siglip.safetensors")
    made = model(Request("small-vit-quickgelu", str(tmp_path / "siglip.safetensors")))
    assert made.model.logit_bias.item() == -3.0


@pytest.fixture
def film() -> Image.Image:
    rng = np.random.default_rng(0)
    smooth = np.kron(rng.integers(0, 256, (12, 9)), np.ones((31, 31)))
    return Image.fromarray(smooth.astype(np.uint8))


@pytest.mark.parametrize("resize", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_the_input_is_that_of_open_clips_own_transform(resize, interpolation, film):
    mean, std = (0.48, 0.45, 0.40), (0.26, 0.25, 0.27)
    config = PreprocessCfg(
        64, mean=mean, std=std, interpolation=interpolation, resize_mode=resize, fill_color=7
    )
    wanted = image_transform_v2(config, is_train=False)(film.convert("RGB"))
    image = foreign(Transform(resize, interpolation, mean, std, 7))
    buffer = io.BytesIO()
    film.save(buffer, "PNG")
    made = pixels(buffer.getvalue(), image, 64)
    assert made.dtype == torch.uint8
    assert torch.allclose(to_input(made[None], image)[0], wanted, atol=1e-6)


def test_chexzeros_input_is_that_of_its_code(film):
    # data_process.py: to a black square of 320 by Lanczos; zero_shot.py: normalised, then bicubic
    ratio = 320 / max(film.size)
    small = film.resize(tuple(int(side * ratio) for side in film.size), Image.Resampling.LANCZOS)
    square = Image.new("L", (320, 320))
    square.paste(small, tuple((320 - side) // 2 for side in small.size))
    grey = torch.from_numpy(np.array(square)).float()[None].repeat(3, 1, 1)
    normal = Normalize((101.48761,) * 3, (83.43944,) * 3)(grey)
    wanted = Resize(224, InterpolationMode.BICUBIC, antialias=False)(normal)
    image = foreign(preprocessing.named("chexzero"))
    made = transformed(film, image.transform, 224)
    assert torch.allclose(to_input(made[None], image)[0], wanted, atol=1e-5)


def test_an_own_preprocessing_from_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("resize: longest\nmean: 0.4978\nstd: [0.2, 0.3, 0.4]\n")
    assert preprocessing.named(str(path)) == Transform(
        "longest", mean=(0.4978,) * 3, std=(0.2, 0.3, 0.4)
    )
    path.write_text("resise: longest\n")
    with pytest.raises(ConfigError, match="did you mean resize"):
        preprocessing.named(str(path))
    with pytest.raises(ConfigError, match="did you mean chexzero"):
        preprocessing.named("chexzer")


def test_a_squashed_window_is_the_whole_image():
    window = full_square(40, 80, "squash")
    assert (window.x, window.y, window.width, window.height) == (40, 20, 80, 40)


def test_shards_are_read_with_the_transform(source, tmp_path):
    made = model(written(source, "chexzero", tmp_path))
    shards = write_source(tmp_path, "mock", {"test": (6,)})
    batch = next(batches(list_shards([shards], "test"), made.image, made.size, limit=4))
    assert batch.pixels.shape == (4, 1, 64, 64)
    assert batch.pixels.dtype == torch.float32
    assert made.encode_images(batch.pixels).whole.shape == (4, 32)


def test_our_models_are_read_as_before():
    image = ImageConfig(mean=0.5, std=0.25)
    grey = torch.full((1, 1, 2, 2), 255, dtype=torch.uint8)
    assert torch.equal(to_input(grey, image), torch.full((1, 3, 2, 2), 2.0))
    assert grey.min() == 255


def test_a_tower_that_is_not_square():
    odd = SimpleNamespace(visual=SimpleNamespace(image_size=(64, 32)))
    with pytest.raises(ConfigError, match="64 x 32, not a square"):
        open_clip_model.encoder_of(odd, "odd")


def test_another_pickle_protocol_is_an_error_of_its_own_and_no_warning(tmp_path, recwarn):
    path = tmp_path / "four.pt"
    torch.save({"visual.proj": torch.zeros(2)}, path, pickle_protocol=4)
    with pytest.raises(ConfigError, match="saved with another pickle protocol than torch's own"):
        checkpoints.read(path)
    assert not recwarn.list
