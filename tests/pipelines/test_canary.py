"""No failure prints report text or ids: a word is hidden in reports, names, cells and tags.

The tests search the printed output, the logs, and every output file except those with texts (parts
of `texts`, tars) or paths (parts of `scan`; its index is searched for texts of reports).
test_verify.py tests the output of verify, and tests/train/data/test_samples.py the messages of the
training readers.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import re
import shutil
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest
from launching import ROOT
from scenes import SOURCE, Scene
from sound import dicom
from stages import params

from cxr_vlp.pipelines import scan
from cxr_vlp.pipelines.cache import scan_index
from cxr_vlp.pipelines.files import atomic_dir
from cxr_vlp.pipelines.synthetic.layouts import mimic

CANARY = "Quxcanary"
STAGES = ("scan", "texts", "shards")


@pytest.fixture(scope="module")
def sown(tmp_path_factory) -> Path:
    """A synthetic MIMIC tree with the word in every place that people fill in."""
    folder = tmp_path_factory.mktemp("sown")
    mimic.write(folder, studies=8, seed=3, height=96)
    tree = folder / SOURCE
    for report in tree.rglob("s5*.txt"):
        report.write_text(report.read_text() + f"\n {CANARY} is seen.\n")
    for path in tree.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.PatientName = f"{CANARY}^Jane"
        dataset.StudyDescription = dataset.PatientComments = CANARY
        dataset.save_as(path)
    some = next(tree.rglob("*.dcm"))
    shutil.copy(some, some.with_name(f"{CANARY}.dcm"))
    return tree


@pytest.fixture(scope="module")
def hidden(sown) -> re.Pattern[str]:
    """The pattern that must not occur: the word, and the ids of patients, studies and images."""
    found = {CANARY}
    for path in sown.rglob("*.dcm"):
        found |= {path.stem, path.parent.name[1:], path.parent.parent.name[1:]}
    assert len(found) > 15
    return re.compile("|".join(sorted(found)), re.IGNORECASE)


def table(tree: Path, name: str) -> Path:
    return next(tree.rglob(f"mimic-cxr-2.0.0-{name}.csv*"))


def rewritten(path: Path, change: Callable[[str], str]) -> None:
    packed = path.suffix == ".gz"
    data = path.read_bytes()
    text = change((gzip.decompress(data) if packed else data).decode()).encode("utf-8", "replace")
    path.write_bytes(gzip.compress(text) if packed else text)


def ragged(tree: Path) -> None:
    rewritten(table(tree, "metadata"), lambda t: t + f"{CANARY},{CANARY}\n")


def quote(tree: Path) -> None:
    rewritten(table(tree, "split"), lambda t: t + f'"{CANARY},1,2\n')


def column(tree: Path) -> None:
    rewritten(table(tree, "split"), lambda t: t.replace("split", CANARY, 1))


def label(tree: Path) -> None:
    rewritten(table(tree, "chexpert"), lambda t: re.sub(r"1\.0", CANARY, t))


def conflict(tree: Path) -> None:
    rewritten(table(tree, "chexpert"), lambda t: t + re.sub("1.0", "0.0", t.splitlines()[1]))


def unknown_split(tree: Path) -> None:
    rewritten(table(tree, "split"), lambda t: re.sub(",(train|validate|test)\n", f",{CANARY}\n", t))


def dicoms(tree: Path) -> None:
    paths = sorted(tree.rglob("*.dcm"))
    for place, path in enumerate(paths):
        data = path.read_bytes()
        dataset = pydicom.dcmread(io.BytesIO(data))
        if place % 4 == 0:
            path.write_bytes(data[: 300 + len(data) // 50 * (place % 50)])
        elif place % 4 == 1:
            dataset.Rows = 0
            dataset.save_as(path)
        elif place % 4 == 2:
            dataset.PatientAge = CANARY
            dataset.Modality = CANARY
            dataset.save_as(path)


def reports(tree: Path) -> None:
    paths = sorted(tree.rglob("s5*.txt"))
    paths[0].write_bytes(b"\xff\xfe" + CANARY.encode("utf-16"))
    paths[1].write_text("")
    paths[2].write_text(f"version https://git-lfs.github.com/spec/v1\noid {CANARY}\nsize 1\n")
    paths[3].write_bytes(CANARY.encode() + b"\x81\x00" * 9)
    paths[4].write_text(f"FINDINGS: {CANARY} " + "(" * 20_000)


def gone(tree: Path) -> None:
    for path in tree.rglob("*.dcm"):
        path.unlink()


def changed(tree: Path) -> None:
    for path in tree.rglob("*.dcm"):
        path.write_bytes(path.read_bytes() + b"\0\0")


def nothing(_: Path) -> None:
    """Damage nothing: the run itself fails."""


CASES = [
    # what is damaged before which stage, the exit code, options of the run
    (ragged, "scan", 0, {}),
    (quote, "scan", 0, {}),
    (column, "scan", 65, {}),
    (label, "scan", 0, {}),
    (conflict, "scan", 0, {}),
    (unknown_split, "scan", 65, {}),
    (dicoms, "scan", 0, {}),
    (gone, "texts", 0, {}),
    (reports, "texts", 65, {}),
    (gone, "shards", 65, {}),
    (changed, "shards", 65, {}),
    (nothing, "scan", 65, {"broken": "cxr_vlp.pipelines.sources.mimic:Mimic.assemble"}),
    (nothing, "scan", 65, {"broken": "cxr_vlp.pipelines.stages.scan_study:read_files"}),
    (nothing, "scan", 65, {"broken": "cxr_vlp.pipelines.stages.scan_study:dumps"}),
    (nothing, "scan", 65, {"broken": "cxr_vlp.pipelines.format.accounting:imbalance"}),
    (nothing, "texts", 65, {"broken": "cxr_vlp.nlp.annotate:annotate"}),
    (nothing, "texts", 65, {"broken": "cxr_vlp.pipelines.stages.text_stats:counts"}),
    (nothing, "shards", 65, {"broken": "cxr_vlp.pipelines.stages.sample_members:sample"}),
    (nothing, "shards", 65, {"broken": "cxr_vlp.pipelines.stages.manifest_writer:write"}),
    (nothing, "scan", 74, {"file_limit": 900}),
    (nothing, "texts", 74, {"file_limit": 900}),
    (nothing, "shards", 74, {"file_limit": 900}),
]  # fmt: skip
# those that also run in the default suite; each tests another way into an output
FEW = (
    "scan-ragged-", "scan-dicoms-", "texts-reports-", "shards-changed-", "scan-nothing-read_files",
    "texts-nothing-annotate", "shards-nothing-document", "shards-nothing-write",
)  # fmt: skip


def named(case: tuple) -> str:
    return f"{case[1]}-{case[0].__name__}-" + "-".join(map(str, case[3].values())).split(":")[-1]


@pytest.fixture(scope="module")
def before(sown, launcher, tmp_path_factory) -> dict[str, Path]:
    """Folders in which the stages before a stage are done, on the undamaged tree."""
    folder = tmp_path_factory.mktemp("before")
    params(folder)
    made = {}
    for stage in STAGES:
        made[stage] = tmp_path_factory.mktemp(f"before-{stage}") / "x"
        shutil.copytree(folder, made[stage])
        run = launcher.run(stage, Scene(folder, stage, sown, {}, {}).arguments(folder), inline=True)
        assert run.code == 0, run.said
    return made


def searched_files(place: Path) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of every file that must not contain it."""
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place)
        state = name.parts[0] == ".cxr" and name.parts[1:2] != ("logs",)
        part = re.match(r"\.?mimic-\w+-\d+\.(tar|jsonl)", path.name)
        # the index of a scan has paths and cells of the tables, as the parts beside it; never the
        # text of a report. It is as closed as they are (test_scan_changes.py)
        part = part or path.name == "index.sqlite"
        if path.is_file() and not state and not part and path.suffix != ".tar":
            yield str(name), path.read_text(errors="replace")


@pytest.mark.sampled(3)
@pytest.mark.parametrize("case", [
    pytest.param(case, id=named(case), marks=() if named(case) in FEW else pytest.mark.slow)
    for case in CASES
])  # fmt: skip
def test_no_failure_prints_text_or_ids(sown, hidden, before, launcher, tmp_path, case):
    damage, stage, code, options = case
    tree, place = tmp_path / "raw" / SOURCE, tmp_path / "x"
    shutil.copytree(sown, tree)
    shutil.copytree(before[stage], place)
    damage(tree)
    scene = Scene(place, stage, tree, {}, {})
    run = launcher.run(stage, scene.arguments(place), inline=bool(options), **options)
    said = run.said + launcher.said.read_text()
    found = hidden.findall(said) + [
        name for name, text in searched_files(place) if hidden.search(text)
    ]
    assert (run.code, found) == (code, []), said
    assert run.code == 0 or said.count("error: ") >= 1


def cells(index: Path) -> Iterator[bytes]:
    """Yield every cell of an index, unpacked."""
    with contextlib.closing(sqlite3.connect(f"file:{index}?mode=ro", uri=True)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        rows = [row for (name,) in tables for row in database.execute(f"SELECT * FROM {name}")]
    for cell in (cell for row in rows for cell in row):
        data = cell if isinstance(cell, bytes) else str(cell).encode()
        with contextlib.suppress(zlib.error):
            data = zlib.decompress(data)
        yield data


def own_table(folder: Path) -> Path:
    """A table of one's own whose reports are in a column, long enough for rows to be packed."""
    (folder / "raw").mkdir()
    for number in range(3):
        shutil.copy(ROOT / "docs/figures/page.png", folder / "raw" / f"{number}.png")
    rows = [f'{n}.png,p{n},"FINDINGS: {CANARY} is seen. {"No effusion. " * 60}"' for n in range(3)]
    (folder / "raw/films.csv").write_text("\n".join(["image,patient_id,report", *rows]) + "\n")
    return folder / "raw"


@pytest.mark.parametrize("source", [SOURCE, "clinic"])
def test_the_index_of_a_scan_holds_no_text_of_a_report(sown, tmp_path, source):
    root = own_table(tmp_path) if source == "clinic" else sown
    chosen = {"preset": "table"} if source == "clinic" else {}
    file = params(tmp_path, sources={source: {"root": str(root), **chosen}})
    out = tmp_path / "scan" / source
    common = ["--params", str(file), "--state", str(tmp_path / "state"), "--out", str(out)]
    assert scan.main([source, *common]) == 0
    found = list(cells(out / scan_index.NAME))
    assert len(found) > 20
    assert any(b".png" in cell or b".dcm" in cell for cell in found)
    assert not [cell for cell in found if f"{CANARY} is seen".encode() in cell]


def test_a_locked_output_prints_no_text_or_ids(sown, hidden, before, launcher, tmp_path):
    place = tmp_path / "x"
    shutil.copytree(before["shards"], place)
    scene = Scene(place, "shards", sown, {}, {})
    with atomic_dir.lock(scene.out(place)):
        run = launcher.run("shards", scene.arguments(place))
    assert run.code == 75
    assert not hidden.search(run.said)


ENCODE = """
import sys
from pathlib import Path
from cxr_vlp.pipelines.stages import scan_study
from cxr_vlp.pipelines.imaging import encode
from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.config import Shards
data = Path(sys.argv[1]).read_bytes()
print(scan_study._peek(data))
try:
    encode.encode(data, ".dcm", Shards(side=64))
except IngestError as error:
    print(error)
"""


def test_words_in_place_of_numbers_are_not_printed(tmp_path):
    """pydicom's warnings quote them; in a separate process, because pytest collects warnings."""
    word = f"{CANARY} ".encode()
    odd = b"".join(
        tag + kind + len(word).to_bytes(2, "little") + word
        for tag, kind in ((b"\x28\0\x08\0", b"IS"), (b"\x28\0\x50\x10", b"DS"))
    )
    data = dicom()
    at = data.index(b"\x28\0\x10\0US")
    (tmp_path / "odd.dcm").write_bytes(data[:at] + odd + data[at:])
    command = [sys.executable, "-W", "always", "-c", ENCODE, str(tmp_path / "odd.dcm")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert CANARY not in done.stdout + done.stderr
