"""Measures `dvc repro` up to the shards of a collection of MIMIC's shape: all, nothing, one image.

    python benchmarks/change_speed.py                     2,000 images, some minutes
    python benchmarks/change_speed.py --images 377110 --folder /data/change

A tree of small JPEG files in the layout of MIMIC-CXR-JPG, with a report a study, goes through
`dvc repro shards@mimic`: once from nothing, then with nothing changed, then with one image changed.
Beside the wall seconds of DVC it prints those of each stage alone with nothing changed, the number
of kept tars, and how many of them are still the same file (inode). The aims at 377,110 images on
two cores are 5 s with nothing changed and 30 s with one image changed.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import rebuild_speed
import timing
import yaml

ROOT = Path(__file__).resolve().parents[1]
PER_PART = 1_500  # images of a part, as in use
JPG, REPORTS = "mimic-cxr-jpg/2.1.0", "mimic-cxr/2.1.0"
METADATA = "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime,ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning\n"  # noqa: E501 - one line of a table
LABELS = "Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,Fracture,Lung Lesion,Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,Pneumothorax,Support Devices"  # noqa: E501 - one line of a table
REPORT = (
    "FINDINGS:\n There is a {} mm nodule. The heart is normal in size. No pleural effusion.\n\n"
    "IMPRESSION:\n Pulmonary nodule.\n"
)
PAST = time.time() - 3600
CHANGED = "one image changed"
NOTHING = "nothing changed"


def project(folder: Path, images: int) -> Path:
    """Write a DVC project over a tree of `images` images; return the image that is changed."""
    for name in (".src", "nlp", "pipelines", "train"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignore)
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    wanted = {name: stages[name] for name in ("scan", "texts", "shards")}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": wanted}), encoding="utf-8")
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["collections"] = ["mimic"]
    parts = {"train": max(1, images // PER_PART), "validate": 1, "test": 1}
    params["sources"]["mimic"] |= {
        "root": "data/raw/mimic", "parts": parts, "reader": {"images": "jpg", "labels": "chexpert"},
    }  # fmt: skip
    params["shards"]["side"] = 64
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    shutil.copy(ROOT / ".dvcignore", folder)
    changed = tree(folder / "data/raw/mimic", images)
    rebuild_speed.run(folder, "git", "init", "-q")
    rebuild_speed.run(folder, "dvc", "init", "-q")
    shutil.copy(ROOT / ".dvc/config", folder / ".dvc/config")
    return changed


def tree(raw: Path, images: int) -> Path:
    """Write the files and tables; return the path of the first image."""
    tables = {
        "metadata": [METADATA],
        "split": ["dicom_id,study_id,subject_id,split\n"],
        "chexpert": [f"subject_id,study_id,{LABELS}\n"],
    }
    first = None
    for number, (patient, study, image) in enumerate(films(images)):
        place = f"files/p{str(patient)[:2]}/p{patient}"
        path = f"{raw}/{JPG}/{place}/s{study}/{image}.jpg"
        if number % 2 == 0:
            put(f"{raw}/{REPORTS}/{place}/s{study}.txt", REPORT.format(3 + study % 400).encode())
            tables["chexpert"].append(f"{patient},{study},,,,,,,1.0,,,,,,,\n")
        put(path, picture(number))
        first = first or Path(path)
        view = "PA" if number % 2 == 0 else "LATERAL"
        tables["metadata"].append(f"{image},{patient},{study},,{view},64,64,21580101,0.0,,,\n")
        split = "test" if patient % 100 == 0 else "train"
        tables["split"].append(f"{image},{study},{patient},{split}\n")
    for name, lines in tables.items():
        with gzip.open(raw / JPG / f"mimic-cxr-2.0.0-{name}.csv.gz", "wt", compresslevel=1) as file:
            file.writelines(lines)
    assert first is not None
    return first


def films(images: int) -> Iterator[tuple[int, int, str]]:
    """Yield (patient, study, image): two images a study, four studies a patient."""
    for number in range(images):
        text = f"{number:08x}"
        yield 10_000_000 + number // 8, 50_000_000 + number // 2, "-".join([text] * 5)


def put(path: str, data: bytes) -> None:
    """Write a file with an old time, and its folder; without pathlib, as there are a million."""
    folder(os.path.dirname(path))  # noqa: PTH120
    with open(path, "wb") as stream:  # noqa: PTH123
        stream.write(data)
    os.utime(path, (PAST, PAST))


@functools.lru_cache(maxsize=1000)
def folder(path: str) -> None:
    """Make a folder."""
    os.makedirs(path, exist_ok=True)  # noqa: PTH103


@functools.cache
def _film() -> bytes:
    ramp = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    return cv2.imencode(".jpg", ramp, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def picture(number: int) -> bytes:
    """Return a JPEG of 64 x 64 pixels that is unlike every other: by a comment in it."""
    film, said = _film(), number.to_bytes(8, "big")
    return film[:2] + b"\xff\xfe" + (2 + len(said)).to_bytes(2, "big") + said + film[2:]


def tars(folder: Path) -> dict[str, int]:
    """Return name -> inode of the tars of the set."""
    return {path.name: path.stat().st_ino for path in folder.glob("data/shards/mimic/*/*.tar")}


def stages_alone(folder: Path) -> dict[str, float]:
    """Return the seconds of each stage with nothing changed, without DVC."""
    given = {"scan": (), "texts": ("scan",), "shards": ("scan", "texts")}
    times = {}
    for stage, needs in given.items():
        words = [word for need in needs for word in (f"--{need}", f"data/{need}/mimic")]
        command = (sys.executable, "-m", "cxr_vlp", stage, "mimic", *words)
        out = f"data/{stage}/mimic"
        os.environ["DVC_STAGE"] = f"{stage}@mimic"  # as DVC runs it: no second links
        times[f"{stage} alone, {NOTHING}"] = rebuild_speed.run(folder, *command, "--out", out)
        del os.environ["DVC_STAGE"]
    return times


def measured(folder: Path, images: int, rounds: int) -> tuple[dict[str, list[float]], str]:
    """Return the seconds of each kind of run, and what happened to the tars."""
    changed = project(folder, images)
    repro = ("dvc", "repro", "-q", "shards@mimic")
    times = {"first build": [rebuild_speed.run(folder, *repro)] * rounds}
    times[NOTHING] = [rebuild_speed.run(folder, *repro) for _ in range(rounds)]
    times |= {name: [seconds] * rounds for name, seconds in stages_alone(folder).items()}
    before, took = tars(folder), []
    for _ in range(rounds):
        image = cv2.imread(str(changed), cv2.IMREAD_GRAYSCALE)
        cv2.imwrite(str(changed), 255 - image)
        took.append(rebuild_speed.run(folder, *repro))
    after = tars(folder)
    same = sum(before[name] == inode for name, inode in after.items())
    return times | {CHANGED: took}, f"{same} of {len(after)} tars are the same file as before"


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="an absent folder for the project; it is kept")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = flags.folder or Path(scratch) / "project"
        folder.mkdir(parents=True)
        times, note = measured(folder, flags.images, flags.rounds)
    rows = timing.compare(f"{flags.images:,} images", times, to="first build")
    good = timing.publish("change_speed", rows, packages=("dvc", "apache-beam"), note=note)
    sys.stdout.write(f"{note}\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
