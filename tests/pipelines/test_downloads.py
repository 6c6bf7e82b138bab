"""Every collection in the archives it comes in gives the shards of its unpacked tree."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from archiving import files_of, tarred, zipped
from stages import PARTS, build, params, run_scan, tree_bytes

from cxr_vlp.pipelines import verify
from cxr_vlp.pipelines.synthetic import layouts

PICTURES = (".png", ".jpg", ".dcm", ".dicom")
SLOW = pytest.mark.slow


def one_zip(tree: Path, root: Path) -> None:
    """As Kaggle's and PhysioNet's downloads: tables and images in one file."""
    zipped(root / "download.zip", files_of(tree))


def zip_of_each_folder(tree: Path, root: Path) -> None:
    """As PadChest's 0.zip to 54.zip and CheXpert Plus's chunks: tables beside zips of images."""
    groups: dict[tuple[Path, str], dict[str, bytes]] = {}
    for name, data in files_of(tree).items():
        path = Path(name)
        if path.suffix not in PICTURES:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
            continue
        top, folder, rest = path.parts[0], path.parts[1], Path(*path.parts[1:])
        zipped_as = (Path(top), folder if path.parent != Path(top) else "all")
        groups.setdefault(zipped_as, {})[rest.as_posix()] = data
    for (top, folder), files in groups.items():
        zipped(root / top / f"{folder}.zip", files)


CASES = [
    ("siim", one_zip),
    ("padchest", zip_of_each_folder),
    pytest.param("vindr", one_zip, marks=SLOW),
    ("shenzhen", one_zip),
    pytest.param("rsna", one_zip, marks=SLOW),
    pytest.param("vinbigdata", one_zip, marks=SLOW),
    pytest.param("vindrpcxr", one_zip, marks=SLOW),
    pytest.param("padchest", one_zip, marks=SLOW),
    pytest.param("montgomery", one_zip, marks=SLOW),
    pytest.param("chexpertplus", one_zip, marks=SLOW),
    pytest.param("chexpertplus", zip_of_each_folder, marks=SLOW),
    pytest.param("brax", one_zip, marks=SLOW),
    pytest.param("candid", one_zip, marks=SLOW),
    pytest.param("candid", zip_of_each_folder, marks=SLOW),
    pytest.param("rexgradient", one_zip, marks=SLOW),
    pytest.param("rexgradient", zip_of_each_folder, marks=SLOW),
    pytest.param("bimcv", one_zip, marks=SLOW),
]


def written(folder: Path, name: str) -> Path:
    layouts.writer(name)(folder, studies=8, seed=5, height=96)
    return folder / name


@pytest.mark.slow
@pytest.mark.parametrize(("name", "pack"), CASES)
def test_a_collection_as_downloaded_gives_the_shards_of_its_tree(tmp_path, name, pack):
    tree = written(tmp_path / "raw", name)
    pack(tree, tmp_path / "packed")
    sources = {name: {"parts": PARTS, "max_rejects": 0.5}}  # Spanish reports, in a tiny set
    plain = build(tree, name, tmp_path / "plain-out", sources=sources)
    made = build(tmp_path / "packed", name, tmp_path / "packed-out", sources=sources)
    bytes_of = tree_bytes(made)
    assert any(path.endswith(".tar") and data for path, data in bytes_of.items())
    assert bytes_of == tree_bytes(plain)
    assert verify.check([made], deep=True)["breaches"] == []


@pytest.mark.sampled(2)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_layer_in_an_archive_says_the_same(tmp_path, pack):
    for name in ("mimic", "mscxr", "mscxrt"):
        layouts.writer(name)(tmp_path / "raw", studies=8, seed=4, height=64)
    found = {}
    for kind in ("plain", "packed"):
        layers = {name: str(tmp_path / kind / name) for name in ("mscxr", "mscxrt")}
        for name, folder in layers.items():
            if kind == "plain":
                shutil.copytree(tmp_path / "raw" / name, folder)
            else:
                pack(Path(folder) / f"layer.{pack.__name__[:3]}", files_of(tmp_path / "raw" / name))
        sources = {"mimic": {"parts": PARTS, "layers": layers}}
        options = ["--root", str(tmp_path / "raw/mimic")]
        options += ["--params", str(params(tmp_path / f"{kind}-out", sources=sources))]
        run_scan("mimic", options, tmp_path / f"{kind}-out")
        found[kind] = tree_bytes(tmp_path / f"{kind}-out/scan/mimic")
    assert any(b'"mscxr"' in data for data in found["plain"].values())
    assert found["packed"] == found["plain"]
