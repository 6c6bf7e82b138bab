"""A card is complete and deterministic, tells the terms, and replaces only what it made."""

from __future__ import annotations

import builtins
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image
from stages import samples, tree_bytes

from cxr_vlp.pipelines import errors, verify
from cxr_vlp.pipelines.cards import (
    command,
    contact_sheet,
    facts,
    hub_header,
    sample_table,
    subject,
    terms,
)
from cxr_vlp.pipelines.cards.subject import Part, Shard, Subject
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.selection import command as select
from cxr_vlp.pipelines.sources import BUILT_IN, PRESETS, layers, reader
from cxr_vlp.pipelines.stages import inventory_header

SOURCES = ("chexpert", "mimic", "nih", "openi")
QUICK = ("--no-plots", "--no-images")


def run(shards: Path, out: Path, *words: str) -> int:
    state = out.parent / ".cxr"
    arguments = [str(shards), "--out", str(out), "--state", str(state), *words]
    return errors.run(lambda: command.main(arguments), "")


def header_of(card: Path) -> dict:
    text = (card / "README.md").read_text()
    return yaml.safe_load(text.split("---\n")[1])


def test_the_files_of_a_card(cards):
    for name in (*SOURCES, "joined"):
        files = {p.relative_to(cards / name).as_posix() for p in (cards / name).rglob("*")}
        assert {"README.md", "card.json", "croissant.json", "features.json", "samples.parquet",
                "wids.json", "train/sizes.json", "figures/plot-labels.png",
                "figures/contact-sheet.jpg"} <= files  # fmt: skip


def test_every_link_opens_and_sizes_json_names_all(cards, built):
    for name in (*SOURCES, "joined"):
        wanted = {}
        for each in SOURCES if name == "joined" else (name,):
            _, lines = manifest.read(built / "shards" / each)
            wanted |= {f"{x['split']}/{x['name']}": x["samples"] for x in lines if x["samples"]}
        found = {}
        for path in (cards / name).glob("*/sizes.json"):
            for tar, number in json.loads(path.read_bytes()).items():
                assert (path.parent / tar).is_symlink()
                assert not (path.parent / tar).readlink().is_absolute()
                assert (path.parent / tar).stat().st_size > 0
                found[f"{path.parent.name}/{tar}"] = number
        assert found == wanted


def test_the_same_set_gives_the_same_bytes_elsewhere(cards, built, tmp_path):
    shutil.copytree(built / "shards" / "nih", tmp_path / "other" / "nih")
    assert run(tmp_path / "other" / "nih", tmp_path / "out") == 0
    first, again = tree_bytes(cards / "nih"), tree_bytes(tmp_path / "out")
    assert first.keys() == again.keys()
    assert [name for name, data in first.items() if data != again[name]] == []


def test_no_report_text_and_no_id_on_the_page(cards, built):
    for name in SOURCES:
        texts = "".join(
            (cards / name / file).read_text()
            for file in ("README.md", "card.json", "croissant.json")
        )
        for key, sample in samples(built / "shards" / name):
            assert key not in texts
            assert not re.search(rf"\b{re.escape(sample['study'])}\b", texts)
            assert not any(s["text"] in texts for s in sample["sentences"] if len(s["text"]) > 20)


def test_the_counts_of_a_card_add_up(cards):
    for name in (*SOURCES, "joined"):
        card = json.loads((cards / name / "card.json").read_bytes())
        table = pq.read_table(cards / name / "samples.parquet")
        images = sum(split["images"] for splits in card["splits"].values() for split in splits)
        assert images == table.num_rows
        written = 0
        for rows in card["flow"].values():
            (_, listed), *lost, (_, left) = rows
            assert listed == left + sum(number for _, number in lost)
            written += left
        assert written == images
        for label, counts in card["labels"].items():
            column = table.column(f"label_{label}").to_pylist()
            assert counts["positive"] == column.count(1)
            assert counts["negative"] == column.count(0)
            assert counts["uncertain"] == column.count(-1)


def test_the_row_of_the_joined_table_finds_the_image(cards):
    for row in pq.read_table(cards / "joined" / "samples.parquet").to_pylist()[::9]:
        with (cards / "joined" / row["split"] / row["shard"]).open("rb") as tar:
            tar.seek(row["offset"])
            assert tar.read(2) == b"\xff\xd8"


def test_sets_with_tars_of_one_name_are_joined_too(built, tmp_path, capsys):
    for name in ("a b", "ä"):
        shutil.copytree(built / "shards" / "nih", tmp_path / "sets" / name)
    assert run(tmp_path / "sets", tmp_path / "cards", *QUICK) == 0
    count = pq.read_metadata(tmp_path / "cards" / "a b" / "samples.parquet").num_rows
    assert f"{count} samples are in more than one set" in " ".join(capsys.readouterr().out.split())
    joined = tmp_path / "cards" / "joined"
    table = pq.read_table(joined / "samples.parquet")
    assert table.num_rows == 2 * count
    for split in set(table.column("split").to_pylist()):
        tars = {path.name for path in (joined / split).glob("*.tar")}
        assert tars == json.loads((joined / split / "sizes.json").read_bytes()).keys()
    assert {path.name[:3] for path in joined.glob("*/*.tar")} == {"00-", "01-"}


def test_one_set_gets_its_card_as_out_itself(built, tmp_path):
    assert run(built / "shards" / "nih", tmp_path / "card", *QUICK) == 0
    assert (tmp_path / "card" / "README.md").is_file()
    assert not (tmp_path / "card" / "figures").exists()
    assert "figures" not in (tmp_path / "card" / "README.md").read_text()


def test_joined_alone(built, tmp_path):
    assert run(built / "shards", tmp_path / "all", "--joined", *QUICK) == 0
    assert len(header_of(tmp_path / "all")["configs"]) == 1 + len(SOURCES)


def test_the_parameters_limit_the_joined_sets(built, tmp_path, capsys):
    params = tmp_path / "params.yaml"
    params.write_text("collections: [nih]\n")
    words = ("--joined", "--params", str(params), *QUICK)
    assert run(built / "shards", tmp_path / "all", *words) == 0
    assert "not in collections, not used" in capsys.readouterr().out
    assert {path.name.split("-")[0] for path in (tmp_path / "all").glob("*/*.tar")} == {"nih"}


def test_a_collection_without_a_set_stops(built, tmp_path, capsys):
    shutil.copytree(built / "shards" / "nih", tmp_path / "sets" / "nih")
    (tmp_path / "params.yaml").write_text("collections: [nih, mimic]\n")
    words = ("--joined", "--params", str(tmp_path / "params.yaml"))
    assert run(tmp_path / "sets", tmp_path / "all", *words) == 2
    assert "no set of mimic" in capsys.readouterr().err


def test_a_folder_of_somebody_else_is_not_replaced(built, tmp_path, capsys):
    out = tmp_path / "mine"
    out.mkdir()
    (out / "README.md").write_text("mine")
    assert run(built / "shards" / "nih", out, *QUICK) == 2
    (out / "card.json").write_text('{"made_by": "me"}')
    assert run(built / "shards" / "nih", out, *QUICK) == 2
    assert "choose another --out" in capsys.readouterr().err
    assert (out / "README.md").read_text() == "mine"


def test_a_file_that_somebody_added_to_a_card_is_not_deleted(built, tmp_path, capsys):
    out = tmp_path / "card"
    assert run(built / "shards" / "nih", out) == 0
    (out / ".git").mkdir()
    (out / ".git" / "config").write_text("a clone of the hub")
    assert run(built / "shards" / "nih", out, *QUICK) == 2
    assert "holds 1 files that the card did not write" in capsys.readouterr().err
    assert (out / ".git" / "config").read_text() == "a clone of the hub"


@pytest.mark.parametrize("below", ["", "/card"])
def test_a_file_in_the_place_of_a_card_stops(built, tmp_path, capsys, below):
    (tmp_path / "mine").write_text("mine")
    words = (*QUICK, "--state", str(tmp_path / "state"))
    assert run(built / "shards" / "nih", Path(f"{tmp_path}/mine{below}"), *words) == 2
    assert "mine is a file" in capsys.readouterr().err


@pytest.mark.parametrize("below", ["", "card", "train/card"])
def test_a_card_is_not_written_into_its_set(built, tmp_path, below):
    folder = Path(shutil.copytree(built / "shards" / "nih", tmp_path / "nih"))
    assert run(folder, folder / below, *QUICK, "--state", str(tmp_path / "state")) == 2
    assert verify.main([str(folder)]) == 0


def test_what_a_selection_left_out_is_no_loss(built, tmp_path):
    words = [str(built / "shards" / "openi"), "--out", str(tmp_path / "chosen"),
             "--state", str(tmp_path / "state"), "--where", "split='train'"]  # fmt: skip
    assert select.main(words) == 0
    assert run(tmp_path / "chosen", tmp_path / "card") == 0
    page = (tmp_path / "card" / "README.md").read_text()
    rows = json.loads((tmp_path / "card" / "card.json").read_bytes())["flow"]["chosen"]
    names = [name for name, _ in rows]
    assert names[-2:] == [facts.LEFT_OUT, "samples written"]  # what came first is first
    assert f"| left out by the selection | {rows[-2][1]:,} |" in page
    assert "lost: select" not in page
    assert "is a selection of the set with the digest" in page


def test_patients_of_two_splits_are_counted(built, tmp_path, capsys):
    for name in ("a", "b"):
        shutil.copytree(built / "shards" / "nih", tmp_path / "sets" / name)
    _resplit(tmp_path / "sets" / "b")
    assert run(tmp_path / "sets", tmp_path / "all", "--joined", *QUICK) == 0
    count = json.loads((tmp_path / "all" / "card.json").read_bytes())["crossing_patients"]
    assert count > 0
    assert f"{count} patients are in more than one split" in capsys.readouterr().out


def _resplit(folder: Path) -> None:
    """Make every patient of a set one of the split `test`."""
    top = folder.parent.parent
    patients = sample_table.build(folder).column("patient").unique().to_pylist()
    (top / "split.csv").write_text("patient,split\n" + "".join(f"{p},test\n" for p in patients))
    words = [str(folder), "--out", str(top / "new"), "--resplit", str(top / "split.csv")]
    assert select.main([*words, "--state", str(top / "state")]) == 0
    shutil.rmtree(folder)
    (top / "new").rename(folder)


@pytest.mark.slow
def test_a_set_is_not_replaced_by_its_card(built, tmp_path):
    sets = Path(shutil.copytree(built / "shards", tmp_path / "sets"))
    before = tree_bytes(sets)
    words = (*QUICK, "--state", str(tmp_path / "state"))
    assert run(sets / "nih", sets / "nih", *words) == 2
    assert run(sets, sets, *words) == 2
    assert tree_bytes(sets) == before


def test_a_card_is_made_again_in_its_place(built, tmp_path):
    assert run(built / "shards" / "nih", tmp_path / "card") == 0
    assert run(built / "shards" / "openi", tmp_path / "card", *QUICK) == 0
    assert [path.name[:5] for path in (tmp_path / "card" / "test").glob("*.tar")] == ["openi"]
    assert not (tmp_path / "card" / "figures").exists()


def test_no_set_stops(tmp_path, capsys):
    assert run(tmp_path, tmp_path / "out") == 2
    assert "no manifest.jsonl" in capsys.readouterr().err


def test_a_set_called_joined_stops(built, tmp_path, capsys):
    shutil.copytree(built / "shards" / "nih", tmp_path / "sets" / "joined")
    assert run(tmp_path / "sets", tmp_path / "out", *QUICK) == 2
    assert "rename it" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*"))


def test_an_empty_set_has_no_card(built, tmp_path, capsys):
    folder = Path(shutil.copytree(built / "shards" / "nih", tmp_path / "nih"))
    rewrite(folder, {}, {"samples": 0})
    assert run(folder, tmp_path / "out") == 65
    assert "holds no sample" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def rewrite(folder: Path, header: dict, line: dict) -> None:
    """Change the header, and all lines, of a manifest."""
    first, lines = manifest.read(folder)
    rows = [first | header, *(each | line for each in lines)]
    (folder / manifest.NAME).write_text("".join(json.dumps(row) + "\n" for row in rows))


def closed_set(built: Path, place: Path, **header) -> Path:
    folder = Path(shutil.copytree(built / "shards" / "mimic", place))
    source = reader("mimic", {})
    real = {"title": source.title, "licence": source.licence, "credentialed": True}
    rewrite(folder, real | header, {})
    return folder


def test_the_card_of_a_credentialed_set_is_private_and_gated(built, tmp_path):
    out = tmp_path / "cards" / "mimic"
    assert run(closed_set(built, tmp_path / "mimic"), out, *QUICK) == 0
    assert {
        oct(p.stat().st_mode & 0o077) for p in (out, *out.rglob("*.*")) if not p.is_symlink()
    } == {"0o0"}
    header = header_of(out)
    assert header["license"] == "other"
    assert "physionet" in header["license_name"]
    assert header["license_link"].startswith("https://physionet.org/")
    assert "checkbox" in header["extra_gated_fields"].values()
    assert "must be private" in (out / "README.md").read_text()


def test_joined_with_one_credentialed_set_is_private(built, tmp_path):
    closed_set(built, tmp_path / "sets" / "mimic")
    shutil.copytree(built / "shards" / "nih", tmp_path / "sets" / "nih")
    assert run(tmp_path / "sets", tmp_path / "cards", *QUICK) == 0
    assert (tmp_path / "cards" / "joined" / "samples.parquet").stat().st_mode & 0o077 == 0
    assert (tmp_path / "cards" / "nih" / "samples.parquet").stat().st_mode & 0o044 == 0o044
    header = header_of(tmp_path / "cards" / "joined")
    assert header["license"] == "other"
    assert header["extra_gated_prompt"]


def test_salted_ids_are_said_to_be_no_anonymisation(built, tmp_path):
    folder = closed_set(
        built, tmp_path / "own", source="ours", title="Ours", licence="Own <data>", ids="salted"
    )
    assert run(folder, tmp_path / "card", *QUICK) == 0
    page = (tmp_path / "card" / "README.md").read_text()
    assert "does not de-identify" in page
    assert header_of(tmp_path / "card")["license_name"] == "own-data"


# what `table` reads has the terms that its user gives
NAMED = [*(name for name in BUILT_IN if name != "table"), *PRESETS]


def header_for(made: Any, **changed: Any) -> dict[str, Any]:
    """Return what a manifest says of the terms of a collection or a layer."""
    said = {name: getattr(made, name) for name in ("title", "licence", "credentialed")}
    return {"source": made.name, "ids": "source", **said, **changed}


def complete(found: terms.Terms, licence: str) -> bool:
    names = (licence.lower(), re.sub(r"[^a-z0-9.]+", "-", licence.lower()))
    said = found.licence_name if found.licence == "other" else found.licence
    assert any(said.split("-")[0] in name for name in names), "another licence than its reader's"
    assert re.search(r"https://doi\.org/10\.\d+/\S+", found.citation)
    assert found.home.startswith("https://")
    assert re.fullmatch(r"20\d\d", found.published)
    return bool(found.sharing)


@pytest.mark.parametrize("name", NAMED)
def test_every_collection_has_terms(name):
    made = reader(name, {})
    found = terms.of(header_for(made))
    assert found is terms.KNOWN[made.title]
    assert complete(found, made.licence)
    assert bool(found.asked) == made.credentialed


def test_no_terms_are_of_a_collection_that_has_no_reader():
    assert set(terms.KNOWN) == {reader(name, {}).title for name in NAMED}
    assert set(terms.LAYERS) == {layers.layer(name).title for name in layers.LAYERS}


@pytest.mark.parametrize("name", layers.LAYERS)
def test_every_layer_has_terms(name):
    made = layers.layer(name)
    found = terms.of_layer(header_for(made))
    assert found is terms.LAYERS[made.title]
    assert complete(found, made.licence)
    assert found.asked


@pytest.mark.parametrize("name", ["vindr", "openi"])
def test_a_collection_under_a_name_of_yours_keeps_its_terms(name):
    found = terms.of(header_for(reader("mine", {}, preset=name)))
    assert found is terms.KNOWN[reader(name, {}).title]


def test_a_table_of_your_own_has_your_terms():
    options = {"title": "Ward 7", "licence": "CC BY 4.0", "credentialed": False}
    for name in ("mine", "mimic"):  # also where its name is the one of a published collection
        made = reader(name, options, preset="table")
        found = terms.of(header_for(made))
        assert (found.licence, found.licence_name, found.asked) == ("cc-by-4.0", "", {})
        assert "CC BY 4.0" in found.sharing
    closed = reader("mine", {"licence": "Ours <only>"}, preset="table")
    found = terms.of(header_for(closed))
    assert (found.licence, found.licence_name) == ("other", "ours-only")
    assert list(found.asked) == ["I have the agreement of the hospital that these images come from"]
    assert not found.citation


def test_a_table_without_a_title_is_called_by_its_name(tmp_path):
    made = reader("mine", {}, preset="table")
    assert inventory_header.terms(made, tmp_path, ())["title"] == "mine"


def test_a_layer_adds_its_terms_and_its_citation():
    layer = header_for(layers.layer("mscxr"))
    header = header_for(reader("nih", {}), layers=[layer])
    found = terms.of(header)
    assert "PhysioNet user name" in found.asked
    assert "MS-CXR" in found.sharing
    assert [text.split()[0] for text in terms.citations(header)] == ["Wang", "Boecking"]
    made_up = {**layer, "title": "MS-CXR (synthetic)", "credentialed": False}
    assert not terms.of(header | {"layers": [made_up]}).asked


def test_without_matplotlib_the_remedy_is_said(built, tmp_path, capsys, monkeypatch):
    real = builtins.__import__

    def refused(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refused)
    assert run(built / "shards" / "nih", tmp_path / "card") == 2
    assert 'pip install "cxr-vlp[share]"' in capsys.readouterr().err
    assert not (tmp_path / "card").exists()


def shard(name: str) -> Shard:
    return Shard("set", "train", name, Path(name), 1, 1, "")


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["a-00000.tar"], "f/a-00000.tar"),
        (["a-00000.tar", "a-00001.tar", "a-00002.tar"], "f/a-{00000..00002}.tar"),
        (["a-00000.tar", "a-00002.tar"], "f/a-00000.tar::f/a-00002.tar"),
        (["a-00008.tar", "b-00009.tar"], "f/a-00008.tar::f/b-00009.tar"),
        (["a-9.tar", "a-10.tar"], "f/a-9.tar::f/a-10.tar"),
        (["odd.tar", "odd2.tar"], "f/odd.tar::f/odd2.tar"),
    ],
)
def test_brace_patterns_name_exactly_the_tars(names, wanted):
    from webdataset.shardlists import expand_urls

    found = subject.pattern([shard(name) for name in names], "f/")
    assert found == wanted
    assert expand_urls(found) == [f"f/{name}" for name in names]


def test_sets_of_any_name_have_names_that_datasets_takes(built):
    header, lines = manifest.read(built / "shards" / "nih")
    empty = sample_table.SCHEMA.empty_table()
    sets = ("default", "a|b", "a*b", "ä b", "nih")
    parts = tuple(Part(name, Path(name), header, lines, empty) for name in sets)
    about = Subject("joined", parts, joined=True)
    names = [hub_header.config_of(about, name) for name in sets]
    assert names == ["00-default", "01-a-b", "02-a-b", "ä b", "nih"]


def test_the_contact_sheet_shows_every_collection_split_and_view(cards):
    table = pq.read_table(cards / "joined" / "samples.parquet")
    shown = table.take(contact_sheet.chosen(table))
    assert shown.num_rows == contact_sheet.MOST
    groups = [
        tuple(row[name] for name in ("dataset", "split", "view")) for row in shown.to_pylist()
    ]
    everything = {
        tuple(row[name] for name in ("dataset", "split", "view")) for row in table.to_pylist()
    }
    assert len(set(groups)) == min(len(everything), contact_sheet.MOST)
    image = Image.open(cards / "joined" / "figures" / contact_sheet.NAME)
    assert (image.mode, image.width) == ("L", 6 * 166 + 6)


def test_sets_of_jpg_and_png_have_both_columns(built):
    header, lines = manifest.read(built / "shards" / "nih")
    png = header | {"shards": header["shards"] | {"format": "png"}}
    empty = sample_table.SCHEMA.empty_table()
    parts = (Part("a", Path("a"), header, lines, empty), Part("b", Path("b"), png, lines, empty))
    columns = Subject("joined", parts, joined=True).features
    assert list(columns) == ["__key__", "__url__", "jpg", "json", "txt", "png"]


def test_the_contact_sheet_of_many_collections_shows_each(built, tmp_path):
    # 13 sets with 3 groups each are more groups than tiles: no set is left out for its name
    rows = [(f"{name}-{number}", name, split, "PA") for name in "abcdefghijklm"
            for number in range(4) for split in ("test", "train", "validate")]  # fmt: skip
    columns = dict(zip(("key", "dataset", "split", "view"), zip(*rows, strict=True), strict=True))
    table = pa.table({name: list(values) for name, values in columns.items()})
    shown = table.take(contact_sheet.chosen(table)).column("dataset").to_pylist()
    assert len(shown) == contact_sheet.MOST
    assert set(shown) == set("abcdefghijklm")


@pytest.mark.slow
def test_a_set_without_a_tile_on_the_contact_sheet_is_joined(built, tmp_path, monkeypatch):
    monkeypatch.setattr(contact_sheet, "MOST", 2)
    assert run(built / "shards", tmp_path / "all", "--joined", "--no-plots") == 0
    assert (tmp_path / "all" / "figures" / contact_sheet.NAME).is_file()
