"""The pages: what they show of every collection, and of sets that are damaged or change."""

from __future__ import annotations

import io
import json
import re
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
from inspecting import change_header, client_of, rewrite
from PIL import Image
from processes import PATIENCE

from cxr_vlp.pipelines.cards import stored
from cxr_vlp.pipelines.errors import ConfigError, DataError
from cxr_vlp.pipelines.inspector import pages
from cxr_vlp.pipelines.inspector.filters import PER_PAGE
from cxr_vlp.pipelines.inspector.session import Session, protected

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;"


def keys_on(page):
    return re.findall(r'href="/sample/[^/]+/([a-z0-9_-]+)', page)


def test_the_grid_shows_the_samples_page_by_page(client, session):
    keys = session.now.opened.table.column("key").to_pylist()
    shown = []
    for number in range(1, 2 + len(keys) // PER_PAGE):
        shown += keys_on(client.get(f"/?page={number}").text)
    assert shown == keys
    assert f"{len(keys):,} samples" in client.get("/").text


@pytest.mark.parametrize("number", ["0", "-3", "99999", "x", ""])
def test_a_page_that_is_not_there_shows_one_that_is(client, number):
    assert keys_on(client.get(f"/?page={number}").text)


def test_the_address_holds_the_state(client):
    page = client.get("/?split=train&label=Edema:1&q=&where=").text
    assert re.search(r'value="train" checked', page)
    assert re.search(r'value="Edema:1"[^>]* checked', page)
    links = re.findall(r'href="(/sample/[^"]*)"', page)
    assert all(link.endswith("?split=train&amp;label=Edema%3A1") for link in links)
    assert links


def test_next_and_previous_follow_the_selection(client):
    keys = keys_on(client.get("/?split=test&view=frontal").text)
    page = client.get(f"/sample/{keys[1].split('-')[0]}/{keys[1]}?split=test&view=frontal").text
    before, after = (re.search(rf'rel="{rel}"[^>]*href="([^"]*)"', page)[1] for rel in
                     ("prev", "next"))  # fmt: skip
    assert keys[0] in before
    assert keys[2] in after
    assert "2 of" in page


@pytest.mark.parametrize("source", ["mimic", "openi", "chexpert", "nih"])
def test_a_sample_shows_all_its_texts(client, session, source):
    (opened,) = (each for each in session.now.opened.sets if each.name == source)
    for sample in list(stored.samples(opened.folder, opened.table))[:12]:
        page = client.get(f"/sample/{source}/{sample.row['key']}").text
        document = json.loads(sample.document)
        plain = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", page))
        for text in (document["caption"], document["abnormal"], *document["statements"],
                     *(s["text"] for s in document["sentences"]),
                     *(s["rule"] for s in document["sentences"])):  # fmt: skip
            assert escaped(text) in plain
        assert page.count('class="boxes"') == bool(document["boxes"])
        assert page.count("<rect ") == len(document["boxes"])
        assert ("<h2>Sentences</h2>" in page) == bool(document["sentences"])
        image = client.get(f"/image/{source}/{sample.row['key']}")
        assert image.data == sample.image
        assert image.mimetype == "image/jpeg"


def escaped(text):
    from markupsafe import escape

    return re.sub(r"\s+", " ", str(escape(text)))


def test_sets_without_reports_have_no_panels_of_reports(copied, tmp_path):
    page = client_of(Session(copied("nih"), tmp_path / "state")).get("/").text
    assert "<legend>Report</legend>" not in page
    assert 'name="devices"' not in page
    assert 'name="boxes"' in page


def test_all_images_of_a_study_are_shown_together(client, session):
    rows = session.now.opened.table.to_pylist()
    study = next(r for r in rows if sum(o["study"] == r["study"] for o in rows) > 1)
    page = client.get(f"/sample/{study['dataset']}/{study['key']}").text
    same = [row["key"] for row in rows if row["study"] == study["study"]]
    assert all(f'alt="{row["view"]} view, {row["key"]}"' in page for row in rows
               if row["key"] in same)  # fmt: skip


def test_mentions_that_overlap_leave_the_sentence_whole():
    mentions = [
        {"finding": "a", "assertion": "present", "start": 0, "end": 9},
        {"finding": "b", "assertion": "absent", "start": 4, "end": 99},
    ]
    found = pages.pieces({"text": "some words of one", "mentions": mentions})
    assert "".join(piece.text for piece in found) == "some words of one"
    assert [len(piece.mentions) for piece in found] == [1, 2, 1]


def test_hostile_text_is_shown_as_text(copied, tmp_path):
    folder = copied("openi")

    def poison(name, data):
        if name.endswith(".json"):
            row = json.loads(data)
            for field in ("caption", "findings", "abnormal", "prior_free"):
                row[field] = EVIL
            for sentence in row["sentences"]:
                sentence["text"] = sentence["rule"] = EVIL
            row["sections"]["history"] = row["projection"] = EVIL
            row["labels_other"] = [{"name": EVIL, "value": 1}]
            data = json.dumps(row).encode()
        yield name, data

    rewrite(folder, poison)
    session = Session(folder, tmp_path / "state")
    client = client_of(session)
    key = session.now.opened.table.column("key")[0].as_py()
    for address in ("/", f"/sample/openi/{key}", "/?where=" + EVIL, "/?q=" + EVIL,
                    "/?label=" + EVIL + ":1", "/?dataset=" + EVIL):  # fmt: skip
        page = client.get(address).text
        assert "<script>alert" not in page, address
        assert "<img src=x" not in page, address
        assert "alert(1)" in page, address


def test_an_empty_result_shows_what_each_filter_finds(client):
    answer = client.get("/?split=train&label=Edema:1&label=No+Finding:1")
    assert answer.status_code == 200
    assert "0 samples" in answer.text
    assert "Each of them alone finds" in answer.text
    assert "Edema: positive</td>" in answer.text
    assert "cxr-vlp select" not in answer.text


@pytest.mark.parametrize("query", ["where=view+%3D", "where=nothing%3D1", "age_from=old", "q=-x",
                                   "label=Nothing:1", "where=sleep"])  # fmt: skip
def test_a_wrong_filter_shows_why_and_keeps_what_was_typed(client, query):
    answer = client.get(f"/?{query}")
    assert answer.status_code == 400
    assert "This filter does not work" in answer.text
    assert 'class="chip"' in answer.text


def test_a_search_offers_its_keys_and_a_condition_a_command(client, session):
    for index in session.now.search.indexes:
        index.start()
        index.wait(PATIENCE)
    page = client.get("/?q=effusion&split=train").text
    assert "--keys keys.txt" in page
    answer = client.get("/keys.txt?q=effusion&split=train")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="keys.txt"'
    keys = answer.text.splitlines()
    assert f"{len(keys)} sample" in page
    assert keys[: len(keys_on(page))] == keys_on(page)
    assert "--where=" in client.get("/?split=train").text


def test_rejects_are_shown_with_meaning_and_remedy(copied, tmp_path):
    folder = copied("mimic")
    row = {"code": "dicom.truncated", "images": 3, "key_hash": "0123456789abcdef", "step": "shards"}
    (folder / "rejects.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps(row)}\nno json\n")
    page = client_of(Session(folder, tmp_path / "state")).get("/rejects").text
    assert "dicom.truncated" in page
    assert '<td class="n" data-head="images">6</td>' in page
    assert "download it again" in page
    assert "0123456789abcdef" in page
    assert "cannot be read to its end" in page


def test_the_sets_show_their_flow(client, session):
    page = client.get("/sets").text
    for each in session.now.opened.sets:
        assert f"{each.header['listed']:,}</td>" in page
        assert each.header["title"] in page


def test_a_cut_tar_gives_a_tile_that_says_so(copied, tmp_path):
    folder = copied("nih")
    session = Session(folder, tmp_path / "state")
    client = client_of(session)
    row = session.now.opened.table.to_pylist()[-1]
    path = folder / row["split"] / row["shard"]
    with path.open("r+b") as stream:
        stream.truncate(row["offset"] + 10)
    answer = client.get(f"/image/nih/{row['key']}")
    assert answer.mimetype == "image/svg+xml"
    assert "the tar is cut off" in answer.text
    page = client.get(f"/sample/nih/{row['key']}")
    assert page.status_code == 200
    assert "cannot be read: the tar is cut off" in page.text
    path.unlink()
    assert "the tar is not there" in client.get(f"/image/nih/{row['key']}").text


@pytest.mark.parametrize("harm", ["cut", "missing", "long"])
def test_of_a_damaged_set_the_other_tars_are_shown(copied, tmp_path, harm):
    folder, state = copied("openi"), tmp_path / "state"
    whole = Session(folder, tmp_path / "other").now.opened.table
    tar = max(folder.glob("train/*.tar"), key=lambda path: path.stat().st_size)
    data = tar.read_bytes()
    tar.unlink()
    if harm != "missing":
        tar.write_bytes(data[:-5000] if harm == "cut" else data * 2)
    client = client_of(session := Session(folder, state))
    left = [row for row in whole.to_pylist() if row["shard"] != tar.name]
    page = client.get("/").text
    assert f"{len(left)} samples" in page
    assert "1 damaged tar:" in page
    assert str(tar) in page
    assert "cxr-vlp verify" in page
    assert all(client.get(f"/image/openi/{row['key']}").status_code == 200 for row in left)
    search_of(session, client)
    tar.write_bytes(data)
    assert client.post("/read-again").status_code == 303
    assert "damaged tar" not in client.get("/").text
    assert session.now.opened.table.num_rows == whole.num_rows
    search_of(session, client)  # not with the index of the damaged set


def search_of(session, client):
    """Check that a search finds the samples whose caption holds a word."""
    (index,) = session.now.search.indexes
    index.start()
    index.wait(PATIENCE)
    (each,) = session.now.opened.sets
    samples = stored.samples(each.folder, session.now.opened.table)
    held = [s.row["key"] for s in samples if re.search(rb"\beffusion\b", s.caption, re.I)]
    assert held
    assert client.get("/keys.txt?q=effusion&in=caption").text.split() == held


def test_no_image_of_another_sample_is_shown_when_a_tar_is_replaced(copied, tmp_path):
    folder = copied("nih")
    client = client_of(session := Session(folder, tmp_path / "state"))
    first = session.now.opened.table.to_pylist()[0]
    before = f"{first['key']}."
    rewrite(folder, lambda name, data: [] if name.startswith(before) else [(name, data)])
    answer = client.get(f"/image/nih/{first['key']}")
    assert "the tar has changed" in answer.text
    assert "the tar has changed" in client.get(f"/sample/nih/{first['key']}").text


def test_a_set_that_changes_is_announced_and_read_again(copied, tmp_path):
    folder = copied("nih")
    client = client_of(session := Session(folder.parent, tmp_path / "state"))
    assert "Read the sets again" not in client.get("/").text
    change_header(folder, digest="0" * 64)
    assert "has changed since" in client.get("/").text
    copied("openi")
    assert "<b>openi</b> is new" in client.get("/sets").text
    assert client.post("/read-again").status_code == 303
    assert [each.name for each in session.now.opened.sets] == ["nih", "openi"]
    assert "Read the sets again" not in client.get("/").text
    shutil.rmtree(folder)
    assert "<b>nih</b> is gone" in client.get("/").text


def test_a_set_that_cannot_be_read_again_leaves_the_old_pages(copied, tmp_path):
    folder = copied("nih")
    client = client_of(Session(folder, tmp_path / "state"))
    shutil.rmtree(folder)
    answer = client.post("/read-again")
    assert answer.status_code == 500
    assert "is not a folder" in answer.text
    assert client.get("/").status_code == 200


def test_images_in_png_are_shown(copied, tmp_path):
    folder = copied("nih", "ünï cödé & png")

    def as_png(name, data):
        if name.endswith(".jpg"):
            out = io.BytesIO()
            Image.open(io.BytesIO(data)).save(out, "PNG")
            name, data = name.removesuffix("jpg") + "png", out.getvalue()
        yield name, data

    rewrite(folder, as_png)
    client = client_of(session := Session(folder, tmp_path / "state"))
    links = re.findall(r'<img src="([^"]*)"', client.get("/").text)
    answer = client.get(links[0].replace("&amp;", "&"))
    assert answer.mimetype == "image/png"
    assert np.asarray(Image.open(io.BytesIO(answer.data))).ndim == 2
    assert session.now.opened.sets[0].name == "ünï cödé & png"


def test_two_sets_of_one_collection_keep_their_own_images(copied, tmp_path):
    one = copied("nih", "a")
    other = copied("nih", "b")
    rewrite(other, lambda n, d: [(n, d + b"\0" if n.endswith("jpg") else d)])
    client = client_of(session := Session(one.parent, tmp_path / "state"))
    key = session.now.opened.table.column("key")[0].as_py()
    assert f"/sample/a/{key}" in client.get("/").text
    assert client.get(f"/image/b/{key}").data == client.get(f"/image/a/{key}").data + b"\0"
    assert client.get(f"/image/c/{key}").status_code == 404


def test_a_set_without_samples_is_shown(copied, tmp_path):
    folder = copied("nih")
    path = folder / "manifest.jsonl"
    head, *lines = map(json.loads, path.read_text().splitlines())
    lines = [line | {"samples": 0, "sha256": "", "bytes": 0} for line in lines]
    path.write_text("\n".join(map(json.dumps, [head, *lines])) + "\n")
    page = client_of(Session(folder, tmp_path / "state")).get("/")
    assert page.status_code == 200
    assert "The sets hold no sample." in page.text


@pytest.mark.parametrize("name", ["../../secret.tar", "/etc/passwd", "a/b.tar"])
def test_a_manifest_that_names_a_file_outside_is_refused(copied, tmp_path, name):
    folder = copied("nih")
    path = folder / "manifest.jsonl"
    head, first, *lines = path.read_text().splitlines()
    first = json.dumps(json.loads(first) | {"name": name})
    path.write_text("\n".join([head, first, *lines]) + "\n")
    with pytest.raises(DataError, match="outside"):
        Session(folder, tmp_path / "state")


@pytest.mark.parametrize("header", [{"credentialed": True}, {"ids": "salted"}])
def test_what_is_kept_of_a_private_set_is_private(copied, tmp_path, header):
    folder, state = copied("openi", **header), tmp_path / "state"
    with protected(folder, state):
        session = Session(folder, state)
        (index,) = session.now.search.indexes
        index.start()
        index.wait(PATIENCE)
    files = [path for path in state.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".parquet", ".sqlite"}
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in files)


def test_folders_without_sets_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path, tmp_path / "absent", tmp_path / "file"):
        with pytest.raises(ConfigError):
            Session(Path(folder), tmp_path / "state")
