"""`cxr-vlp plan`: the arithmetic by hand, numbers of images, names, units, a scanned collection."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import pytest
from stages import build, params

from cxr_vlp.pipelines import plan
from cxr_vlp.pipelines.cache.entries import Entries, Entry
from cxr_vlp.pipelines.planning import costs, measured_here, numbers
from cxr_vlp.pipelines.planning.costs import Collection, Estimate, Facts, Kind, Load
from cxr_vlp.pipelines.records import Image

FACTS = Facts(
    version="0",
    date="2000-01-01",
    machine="none",
    start=10.0,
    row=0.001,
    report=0.01,
    labels=0.002,
    writing=0.001,
    kinds={
        "JPEG": Kind(bytes=1_000_000, scan=0.002, shards=0.02, sample=100_000),
        "PNG": Kind(bytes=500_000, scan=0.001, shards=0.01, sample=50_000),
    },
)
SPLIT = {"train": 9_000, "validate": 900, "test": 100}
FILMS = Collection("films", (Load("JPEG", 10_000, 20e9),), SPLIT, studies=5_000, reports=4_000)


def seen(words: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, list[list[str]]]:
    """Run the command; return the cells of each row of each table, by the table's title."""
    assert plan.main(words) == 0
    tables: dict[str, list[list[str]]] = {}
    for block in capsys.readouterr().out.split("\n\n"):
        title, *lines = block.strip("\n").splitlines()
        tables[title] = [[c for c in line.split("  ") if c] for line in lines]
    return tables


def column(table: list[list[str]], place: int) -> dict[str, str]:
    return {row[0]: row[place].strip() for row in table[1:]}


# ---- the arithmetic


def test_a_cost_is_what_is_computed_by_hand():
    # images of 2 MB, twice the measured ones: 4 ms to read, 40 ms to convert
    found = costs.cost(FILMS, FACTS, tar=100e6)
    assert found.read == 40e9
    assert found.written == 1e9
    assert found.parts == {"train": 9, "validate": 1, "test": 1}
    assert found.rows == pytest.approx(10.0)
    assert found.scan == pytest.approx(40.0)
    assert found.texts == pytest.approx(4_000 * 0.01 + 1_000 * 0.002)
    assert found.shards == pytest.approx(400.0)
    assert found.seconds == pytest.approx(10 + 40 + 42 + 400)


@pytest.mark.parametrize(
    ("workers", "turns"), [(1, 11), (2, 6), (10, 2), (11, 1), (12, 1), (512, 1)]
)
def test_no_more_workers_are_busy_than_there_are_parts(workers, turns):
    found = costs.cost(FILMS, FACTS, tar=100e6)
    assert found.wall(workers) == pytest.approx(10 + 10 + 40 / workers + 442 * turns / 11)
    assert found.rate(workers) == pytest.approx(20e9 / 400 * min(workers, 11))


def test_what_is_not_shared_stays_with_any_number_of_workers():
    found = costs.cost(FILMS, FACTS, tar=1e6)
    assert found.wall(10**9) > found.start + found.rows


def test_kinds_of_files_in_one_collection_add_up():
    mixed = Collection("both", (*FILMS.loads, Load("PNG", 10, 5e6)), SPLIT, 5_000, 4_000)
    one, both = costs.cost(FILMS, FACTS, 100e6), costs.cost(mixed, FACTS, 100e6)
    assert both.shards - one.shards == pytest.approx(0.1)
    assert both.scan - one.scan == pytest.approx(0.01)
    assert both.written - one.written == pytest.approx(500_000)
    assert both.images == 10_010


def test_collections_are_converted_one_after_the_other():
    small = FILMS.times(0.5)
    each = [costs.cost(found, FACTS, 100e6) for found in (FILMS, small)]
    whole = Estimate("both", tuple(each))
    assert whole.wall(8) == each[0].wall(8) + each[1].wall(8)
    assert whole.sum_of("images") == 15_000
    assert whole.parts == sum(each[0].parts.values()) + sum(each[1].parts.values())
    assert whole.rate(8) == max(found.rate(8) for found in each)


def test_ten_times_the_images_cost_ten_times_the_seconds():
    once, often = (costs.cost(FILMS.times(n), FACTS, 100e6) for n in (1, 10))
    assert often.seconds == pytest.approx(10 * once.seconds)
    assert often.read == pytest.approx(10 * once.read)
    assert sum(often.parts.values()) == 90 + 9 + 1


# ---- the stored numbers


def test_every_published_collection_has_a_measured_kind_and_plausible_sizes():
    kinds = costs.facts().kinds
    for name, found in costs.published().items():
        (load,) = found.loads
        assert load.kind in kinds
        assert found.images == sum(found.splits.values())
        assert found.reports <= found.studies <= found.images
        assert found.same_images == "" or found.same_images in costs.published()
        # the measured file is of about the size of the collection's: at most twice or half
        assert 0.5 <= load.bytes / load.images / kinds[load.kind].bytes <= 2, name


@pytest.mark.parametrize(
    ("name", "images", "megabytes"),
    [
        ("mimic", 377_110, 12.5),
        ("mimic-jpg", 377_110, 1.48),
        ("chexpert", 224_316, 1.96),
        ("chexpert-small", 223_648, 0.049),
        ("nih", 112_120, 0.39),
    ],
)
def test_the_sizes_are_the_published_ones(name, images, megabytes):
    found = costs.published()[name]
    assert found.images == images
    assert found.bytes / found.images / 1e6 == pytest.approx(megabytes, rel=0.01)


def test_the_measured_seconds_are_above_zero_and_name_their_machine():
    found = costs.facts()
    assert "core" in found.machine
    assert found.version
    assert set(found.kinds) == {"raw DICOM", "JPEG", "PNG", "small JPEG"}
    for kind in found.kinds.values():
        assert min(kind.bytes, kind.scan, kind.shards, kind.sample) > 0
    assert min(found.row, found.report, found.labels, found.start, found.writing) > 0


# ---- numbers and units


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1", 1),
        ("377110", 377_110),
        ("377,110", 377_110),
        ("377_110", 377_110),
        ("500k", 500_000),
        ("100M", 100_000_000),
        ("100m", 100_000_000),
        ("2.5M", 2_500_000),
        ("1B", 10**9),
        ("1000B", 10**12),
        ("1e8", 10**8),
        ("2.5E6", 2_500_000),
    ],
)
def test_forms_of_a_number_of_images(text, number):
    assert numbers.images(text) == number


@pytest.mark.parametrize(
    "text",
    ["", "0", "-5", "0k", "1.5", "1.0005k", "M", "1e", "1e13", "1e-3", "1e8k", "nan", "inf",
     "1,00", "1,0000", "100 T",
     "100MB", "1001B", "9" * 5000, "٣"],
)  # fmt: skip
def test_other_numbers_of_images_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError):
        numbers.images(text)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0.00"),
        (17, "0.00"),
        (19, "0.01"),
        (3600, "1.00"),
        (9.994 * 3600, "9.99"),
        (9.996 * 3600, "10.0"),
        (99.94 * 3600, "99.9"),
        (99.96 * 3600, "100"),
        (12_345 * 3600, "12,345"),
    ],
)
def test_hours_on_both_sides_of_rounding(seconds, said):
    assert numbers.hours(seconds) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.4, "999 B"),
        (999.6, "1.00 kB"),
        (1000, "1.00 kB"),
        (12_500_000, "12.5 MB"),
        (999_400_000, "999 MB"),
        (999_600_000, "1.00 GB"),
        (4.7e12, "4.70 TB"),
        (2.5e15, "2.50 PB"),
        (7e18, "7,000 PB"),
    ],
)
def test_bytes_have_the_unit_of_which_there_is_at_least_one(number, said):
    assert numbers.size(number) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [(40_000, "40,000"), (999_999, "999,999"), (1e6, "1 million"), (2.5e6, "2.5 million")],
)
def test_a_number_of_images_in_a_title(number, said):
    assert numbers.short(number) == said


# ---- the command without a scanned collection


def test_the_default_has_every_collection_their_sum_and_100_million(capsys):
    tables = seen([], capsys)
    images = column(tables["images, bytes, parts"], 1)
    assert list(images) == [
        *(found.title for found in costs.published().values()), "together", "100 million images"
    ]  # fmt: skip
    # MIMIC-CXR-JPG and CheXpert-small are other files of images that are counted already
    assert images["together"] == f"{377_110 + 224_316 + 112_120:,}"
    assert images["100 million images"] == "100,000,000"
    hours = tables["hours from the first command to the last, by the number of workers"]
    assert [cell.strip() for cell in hours[0]] == ["1", "2", "8", "64", "512"]


def test_named_collections_are_all_counted(capsys):
    images = column(seen(["--collections", "mimic,mimic-jpg"], capsys)["images, bytes, parts"], 1)
    assert images["together"] == f"{2 * 377_110:,}"


def test_one_collection_has_no_sum(capsys):
    tables = seen(["--collections", "nih", "--images", "2.5M"], capsys)
    images = column(tables["images, bytes, parts"], 1)
    assert images == {"NIH ChestX-ray14": "112,120", "2.5 million images": "2,500,000"}


def test_core_hours_are_the_sum_of_the_stages(capsys):
    for row in seen([], capsys)["core hours"][1:]:
        scan, _, texts, shards, whole = (float(cell.replace(",", "")) for cell in row[1:])
        assert whole == pytest.approx(scan + texts + shards, rel=0.01, abs=0.02)


def test_smaller_tars_are_more_parts(capsys):
    few, many = (
        int(column(seen(["--collections", "nih", "--tar", size], capsys)["images, bytes, parts"], 4)
            ["NIH ChestX-ray14"].replace(",", ""))
        for size in ("300", "150")
    )  # fmt: skip
    assert many == pytest.approx(2 * few, abs=3)


def test_another_number_of_workers_has_a_column(capsys):
    hours = "hours from the first command to the last, by the number of workers"
    assert "16" in [c.strip() for c in seen(["--workers", "16"], capsys)[hours][0]]


def test_the_assumptions_are_said(capsys):
    assert plan.main([]) == 0
    said = " ".join(capsys.readouterr().out.split())
    found = costs.facts()
    assert f"cxr-vlp {found.version} on {found.date} on {found.machine}" in said
    for part in ("Each file is read twice", "no more workers than parts are busy",
                 "The last row has the mix of MIMIC-CXR, CheXpert, NIH"):  # fmt: skip
        assert part in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--collections", "mimc"], "did you mean mimic"),
        (["--collections", ""], "unknown collection"),
        (["--collections", "nih,nih"], "named twice"),
        (["--images", "many"], "is not a number"),
        (["--tar", "0"], "megabytes"),
        (["--tar", "nan"], "megabytes"),
        (["--scan", "x"], "--scan is about a scanned collection"),
        (["--sample", "3"], "--sample is about a scanned collection"),
        (["--timed"], "--timed is about a scanned collection"),
        (["mimic"], "cxr-vlp plan --collections mimic"),
        (["mimic", "--scan", "x", "--images", "24"], "--sample K"),
        (["mimic", "--scan", "x", "--collections", "nih"], "without a scanned collection"),
        (["mimic", "--scan", "x", "--sample", "0"], "at least 1"),
    ],
)
def test_flags_that_contradict_or_say_nothing_are_refused(words, said, capsys):
    with pytest.raises(SystemExit) as end:
        plan.main(words)
    assert end.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())


# ---- a scanned collection


@pytest.mark.parametrize(
    ("path", "size", "kind"),
    [
        ("a/b.dcm", 9, "raw DICOM"),
        ("a/b.dicom", 9, "raw DICOM"),
        ("a/1.2.840.1", 9, "raw DICOM"),
        ("a/b.dcm.gz", 9, "raw DICOM"),
        ("a/b.PNG", 9, "PNG"),
        ("a/b.jpg", 149_999, "small JPEG"),
        ("a/b.jpeg", 150_000, "JPEG"),
    ],
)
def test_the_kind_of_a_file(path, size, kind):
    assert measured_here.kind_of(Image("k", path, size=size)) == kind


def entry(part: str, seconds: float, decoded: int, samples: int) -> Entry:
    return Entry(
        part=part,
        fingerprint=part,
        file="f",
        sha256="0" * 64,
        md5="",
        bytes=1,
        lasting=True,
        result={"line": {"samples": samples}, "counts": {}},
        seconds=seconds,
        decoded=decoded,
    )


def test_seconds_of_earlier_runs_leave_parts_out_whose_images_were_copied(tmp_path):
    entries = Entries.of_stage(tmp_path, "shards")
    entries.write(entry("films-train-00000", 6.0, 100, 100))
    entries.write(entry("films-train-00001", 3.0, 50, 99))
    entries.write(entry("films-train-00002", 50.0, 50, 100))  # half of them: copied as many
    entries.write(entry("films-test-00000", 7.0, 0, 100))
    assert measured_here.seconds_of_image(tmp_path, "films") == pytest.approx(9 / 150)
    assert measured_here.seconds_of_image(tmp_path, "others") is None
    assert measured_here.seconds_of_study(tmp_path, "films") is None


def test_measured_seconds_replace_the_stored_ones_of_the_kinds_at_hand():
    found = measured_here.with_image(FACTS, FILMS, seconds=0.03, sample=10)
    cost = costs.cost(FILMS, found, 1e6)
    assert cost.shards == pytest.approx(300)
    assert cost.scan == pytest.approx(40)  # as before: only `shards` was measured
    assert cost.written == 100_000
    assert found.kinds["PNG"] == FACTS.kinds["PNG"]
    kept = measured_here.with_image(FACTS, FILMS, seconds=None, sample=10)
    assert costs.cost(FILMS, kept, 1e6).shards == pytest.approx(400)


@pytest.fixture(scope="module")
def scanned(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """The words of `plan` for a small set that was built, and its folder."""
    folder = tmp_path_factory.mktemp("planned")
    build(raw / "mimic", "mimic", folder)
    words = ["mimic", "--root", str(raw / "mimic"), "--params", str(params(folder))]
    return [*words, "--scan", str(folder / "scan" / "mimic")], folder


def test_a_built_set_says_what_its_images_took(scanned, capsys):
    words, folder = scanned
    assert plan.main([*words, "--state", str(folder / ".cxr")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    took = measured_here.seconds_of_image(folder / ".cxr", "mimic")
    assert took
    assert f"An image takes what it took in earlier runs here: {1000 * took:,.3g} ms" in said
    assert "A study takes what it took in earlier runs here" in said
    assert "parts: {train: " in said


def test_without_earlier_runs_the_stored_seconds_are_named(scanned, tmp_path, capsys):
    assert plan.main([*scanned[0], "--state", str(tmp_path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "The time of an image is a stored one" in said
    assert "earlier runs here" not in said


def test_timed_images_are_those_of_this_machine(scanned, tmp_path, capsys):
    assert plan.main([*scanned[0], "--state", str(tmp_path), "--timed", "--sample", "3"]) == 0
    assert "An image was timed here: " in capsys.readouterr().out


def test_the_inventory_gives_images_bytes_and_studies(scanned):
    _, folder = scanned
    scan = folder / "scan" / "mimic"
    header = json.loads((scan / "inventory.json").read_text())
    names = [path.stem for path in scan.glob("mimic-*.jsonl")]
    found = measured_here.collection("mimic", plan._studies(scan, names))
    assert found.images == header["images"] == sum(found.splits.values())
    assert found.studies == header["studies"]
    assert found.bytes > 1000 * found.images
    assert not math.isnan(found.bytes)
