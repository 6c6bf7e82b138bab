"""The checks of one tar: each case breaks a valid tar in one way, and the manifest agrees."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from breaking import called, codes, edit, members, put, replace, restate, rewrite, tar_of
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_vlp.pipelines.format import schema
from cxr_vlp.pipelines.format.errors import FormatError
from cxr_vlp.pipelines.format.tar import DigestingReader, TarWriter
from cxr_vlp.pipelines.validate import manifest, runner
from cxr_vlp.pipelines.validate import sample as fields
from cxr_vlp.pipelines.validate.shard import check_tar


@pytest.fixture
def good(built, tmp_path) -> Path:
    folder = tmp_path / "mimic"
    shutil.copytree(built / "shards" / "mimic", folder)
    return folder


@pytest.fixture(scope="module")
def sample(built) -> dict:
    return json.loads(members(tar_of(built / "shards" / "mimic"))[1][1])


@pytest.fixture(scope="module")
def expected(built) -> fields.Expected:
    a_set = manifest.read(built / "shards" / "mimic")
    return a_set.expected(a_set.tars[0])


def test_a_valid_set_has_no_breach(good):
    assert codes(good, deep=True) == set()


def sentence(**values) -> list[dict]:
    mention = {
        **dict.fromkeys(("label", "anatomy", "side", "severity", "trigger"), ""),
        **{"finding": "edema", "assertion": "present", "start": 0, "end": 5},
        **{"implied": False, "device": False, "certainty": "definite", "sizes_mm": []},
        **dict.fromkeys(("change", "change_words", "position", "tip"), ""),
        **{"places": [], "suggests": []},
    }
    whole = {"text": "Edema.", "section": "findings", "index": 0, "rule": "r", "mentions": []}
    whole |= {"prior_free": "Edema.", "edit": "kept"}
    given_mentions = [mention | m for m in values.pop("mentions", [])]
    return [whole | {"status": "abnormal"} | values | {"mentions": given_mentions}]


BOX = {"label": "Edema", "x": 1.0, "y": 1.0, "w": 5.0, "h": 5.0, "phrase": "", "layer": ""}
CHANGE = {"label": "Edema", "change": "worse", "earlier": "", "layer": "mscxrt"}


def inside(field: str, **values):
    """Return a change of keys inside one of the sample's objects; None removes a key."""

    def change(before):
        whole = json.loads(before[1][1])[field] | values
        gone = {name for name, value in values.items() if value is None}
        return edit(**{field: {k: v for k, v in whole.items() if k not in gone}})(before)

    return change


def since_itself(before):
    earlier = before[1][0].removesuffix(".json")
    return edit(changes=[CHANGE | {"earlier": earlier}])(before)


def other(name: str, value: int = 1) -> dict:
    return {"name": name, "value": value}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(lambda m: m[1:], "sample.members", id="a-member-is-missing"),
        pytest.param(lambda m: [m[1], m[0], *m[2:]], "sample.members", id="in-another-order"),
        pytest.param(lambda m: [*m[:3], *m[:3], *m[3:]], "sample.members", id="members-twice"),
        pytest.param(
            lambda m: [(m[0][0].replace(".jpg", ".png"), m[0][1]), *m[1:]],
            "sample.members",
            id="a-png-in-a-set-of-jpgs",
        ),
        pytest.param(lambda m: [*m, ("zz.pyd", b"")], "member.runnable", id="a-pickle"),
        pytest.param(lambda m: [*m, ("zz.PKL", b"")], "member.runnable", id="a-pickle-in-capitals"),
        pytest.param(lambda m: [*m, ("zz.pt.gz", b"")], "member.runnable", id="a-packed-pickle"),
        pytest.param(lambda m: [*m, ("zz.xdecode", b"")], "member.runnable", id="an-xdecode"),
        pytest.param(lambda m: [*m, ("zz.mp4", b"")], "member.unknown", id="an-unknown-kind"),
        pytest.param(lambda m: [*m, ("zz", b"")], "member.unknown", id="no-kind-at-all"),
        pytest.param(called(2, "pipe:true .txt"), "member.pipe", id="a-command"),
        pytest.param(called(2, "../x.txt"), "member.path", id="a-path-that-leaves"),
        pytest.param(called(2, "x\\y.txt"), "member.path", id="a-path-of-another-system"),
        pytest.param(
            lambda m: [(name.replace("-", ".", 1), data) for name, data in m],
            "sample.key",
            id="a-dot-in-the-key",
        ),
        pytest.param(
            lambda m: [(name.upper(), data) for name, data in m], "sample.key", id="capitals"
        ),
        pytest.param(lambda m: [*m[3:6], *m[:3], *m[6:]], "shard.order", id="out-of-order"),
        pytest.param(lambda m: m[:-3], "shard.samples", id="a-sample-is-missing"),
        pytest.param(put(2, b" \n"), "caption.empty", id="no-caption"),
        pytest.param(put(2, b"\xff"), "caption.encoding", id="a-caption-in-latin-1"),
        pytest.param(put(2, b"x"), "caption.differs", id="another-caption"),
        pytest.param(put(1, b"{"), "json.broken", id="broken-json"),
        pytest.param(put(1, b"[" * 100_000), "json.broken", id="a-nested-bomb"),
        pytest.param(put(1, b'{"age":NaN}'), "json.broken", id="nan-is-no-json"),
        pytest.param(put(1, b'{"age":1e999}'), "json.form", id="a-number-beyond-all"),
        pytest.param(put(1, b"[]"), "json.broken", id="no-object"),
        pytest.param(put(1, b'{"caption": "x"}'), "json.form", id="a-space-in-the-json"),
        pytest.param(put(1, rb'{"caption":"\ud800"}'), "json.form", id="half-a-surrogate"),
        *(
            pytest.param(edit(**{name: None}), f"json.field:{name}", id=f"without-{name}")
            for name in schema.FIELDS
        ),
        pytest.param(edit(format=1), "json.format", id="an-older-format"),
        pytest.param(edit(format=2.0), "json.field:format", id="a-format-with-a-point"),
        pytest.param(edit(labels=[1, 0]), "json.field:labels", id="labels-by-position"),
        pytest.param(edit(labels={"Scoliosis": 1}), "json.field:labels", id="an-unknown-label"),
        pytest.param(edit(name="x"), "json.unknown", id="a-field-too-many"),
        pytest.param(edit(study=""), "json.empty", id="no-study"),
        pytest.param(edit(study="s1"), "json.key", id="another-study-than-in-the-key"),
        pytest.param(edit(study="s1"), "study.elsewhere", id="a-study-of-another-shard"),
        pytest.param(edit(dataset="nih"), "json.dataset", id="another-collection"),
        pytest.param(edit(split="test"), "json.split", id="split-of-another-folder"),
        pytest.param(edit(view="PA"), "json.view", id="a-projection-as-view"),
        pytest.param(edit(sex="female"), "json.sex", id="sex-in-words"),
        pytest.param(edit(age=-1), "json.age", id="unborn"),
        pytest.param(edit(age=2**63), "json.field:age", id="an-age-beyond-64-bits"),
        pytest.param(edit(order="first"), "json.field:order", id="order-in-words"),
        pytest.param(edit(labels={"Edema": 2}), "json.labels", id="a-label-that-is-none"),
        pytest.param(edit(labels={"Edema": True}), "json.field:labels", id="true-is-no-label"),
        pytest.param(edit(labels_other=[other("Edema")]), "json.labels_other", id="not-another"),
        pytest.param(edit(labels_other=[other("b"), other("a")]), "json.labels_other", id="order"),
        pytest.param(edit(labels_other=[other("a", 2)]), "json.labels_other", id="two-is-none"),
        pytest.param(
            edit(labels_other=[{"name": "a"}]), "json.field:labels_other", id="a-name-alone"
        ),
        pytest.param(edit(prompts=["a", ""]), "json.prompts", id="an-empty-prompt"),
        pytest.param(
            edit(statements=[1]), "json.field:statements", id="a-statement-that-is-no-text"
        ),
        pytest.param(inside("sections", history=" "), "json.sections", id="a-blank-section"),
        pytest.param(inside("sections", history=None), "json.field:sections", id="one-too-few"),
        pytest.param(inside("sections", more=""), "json.field:sections", id="one-too-many"),
        pytest.param(
            inside("translations", findings=None), "json.field:translations", id="half-of-them"
        ),
        pytest.param(edit(sentences=sentence(status="fine")), "json.sentences", id="odd-status"),
        pytest.param(edit(sentences=sentence(edit="cleaned")), "json.sentences", id="odd-edit"),
        pytest.param(
            edit(sentences=sentence(prior_free="")), "json.sentences", id="kept-without-text"
        ),
        pytest.param(
            edit(sentences=sentence(edit="dropped")), "json.sentences", id="dropped-with-text"
        ),
        pytest.param(
            edit(sentences=sentence(mentions=[{"certainty": "possible"}])),
            "json.sentences",
            id="a-certainty-that-is-not-the-assertion",
        ),
        pytest.param(
            edit(sentences=sentence(mentions=[{"change": "bigger"}])),
            "json.sentences",
            id="odd-change",
        ),
        pytest.param(
            edit(sentences=sentence(mentions=[{"tip": "svc"}])),
            "json.sentences",
            id="a-tip-of-a-finding",
        ),
        pytest.param(
            edit(sentences=sentence(mentions=[{"sizes_mm": [-1.0]}])),
            "json.sentences",
            id="a-size-below-zero",
        ),
        pytest.param(
            edit(sentences=sentence(mentions=[{"assertion": "maybe"}])),
            "json.sentences",
            id="odd-assertion",
        ),
        pytest.param(
            edit(sentences=sentence(mentions=[{"end": 7}])), "json.sentences", id="a-span-too-long"
        ),
        pytest.param(
            edit(sentences=sentence(mentions=[{"side": None}])),
            "json.field:sentences",
            id="a-side-that-is-null",
        ),
        pytest.param(edit(boxes=[BOX | {"x": 9999.0}]), "json.boxes", id="a-box-off-the-image"),
        pytest.param(edit(boxes=[BOX | {"w": 0.0}]), "json.boxes", id="a-box-without-width"),
        pytest.param(edit(boxes=[BOX | {"y": "1"}]), "json.field:boxes", id="a-box-in-words"),
        pytest.param(edit(boxes=[BOX | {"y": 1}]), "json.field:boxes", id="a-whole-number"),
        pytest.param(edit(boxes=[BOX | {"phrase": None}]), "json.field:boxes", id="no-phrase"),
        pytest.param(edit(changes=[CHANGE | {"change": ""}]), "json.changes", id="no-change"),
        pytest.param(edit(changes=[CHANGE | {"label": ""}]), "json.changes", id="of-no-finding"),
        pytest.param(edit(changes=[CHANGE | {"layer": ""}]), "json.changes", id="of-no-layer"),
        pytest.param(
            edit(changes=[CHANGE | {"earlier": "nih-1-0"}]), "json.changes", id="of-another-set"
        ),
        pytest.param(since_itself, "json.changes", id="since-itself"),
        pytest.param(edit(pixels={"height": 1}), "json.field:pixels", id="half-the-facts"),
        pytest.param(inside("pixels", notes=["b", "a"]), "json.pixels", id="notes-out-of-order"),
        pytest.param(inside("pixels", notes="a"), "json.field:pixels", id="a-note-alone"),
        pytest.param(inside("pixels", recipe="minmax"), "json.recipe", id="another-recipe"),
        pytest.param(edit(provenance={}), "json.field:provenance", id="from-nowhere"),
        pytest.param(inside("provenance", image_sha256=""), "json.provenance", id="from-no-image"),
    ],
)
def test_a_tar_that_breaks_the_contract(good, change, code):
    rewrite(good, change)
    assert code in codes(good)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(edit(labels={"Hernia": 1}), id="a-label"),
        pytest.param(edit(labels_other=[other("Scoliosis")]), id="a-label-of-its-own"),
        pytest.param(inside("translations", findings="In other words."), id="other-words"),
        pytest.param(inside("provenance", report_sha256="0" * 64), id="another-report"),
    ],
)
def test_changed_texts_do_not_match_their_fingerprint(good, change):
    rewrite(good, change)
    assert "provenance.text_differs" in codes(good)


def test_valid_sentences_and_boxes_are_no_breach(good):
    earlier = CHANGE | {"earlier": "mimic-s1-0"}
    boxes = [BOX | {"phrase": "Mild edema.", "layer": "mscxr"}, BOX]
    rewrite(good, edit(sentences=sentence(mentions=[{}]), boxes=boxes, changes=[CHANGE, earlier]))
    assert codes(good) == set()


def test_an_image_made_with_other_parameters_than_the_header_is_a_breach(good, sample):
    origin = sample["provenance"]
    rewrite(good, edit(provenance=origin | {"image_fingerprint": origin["text_fingerprint"]}))
    assert codes(good) == {"provenance.differs"}


def test_header_parameters_that_do_not_match_the_images_are_a_breach(good):
    header = manifest.read(good).header
    restate(good, shards=header["shards"] | {"quality": 7})
    assert codes(good) == {"provenance.differs"}


def test_texts_made_with_a_users_rules_are_not_checked_by_fingerprint(good):
    restate(good, exceptions=1)
    rewrite(good, edit(labels={"Hernia": 1}))
    assert codes(good) == set()


@pytest.mark.parametrize("change", [{"pixels_epoch": 0}, {"toolchain": {}}])
def test_images_of_another_code_version_are_not_checked_by_fingerprint(good, change):
    restate(good, **change)
    result = runner.check([good], deep=True)
    assert result["breaches"] == []
    assert result["notes"] == [{"code": "fingerprints.other_code", "where": "mimic", "count": 1}]


def test_a_study_with_scattered_images_is_a_breach(good):
    before = members(tar_of(good))
    studies = [json.loads(data)["study"] for name, data in before if name.endswith(".json")]
    assert studies[-2] != studies[0]
    rewrite(good, edit(len(studies) - 1, study=studies[0]))
    assert "study.scattered" in codes(good)


@pytest.mark.parametrize("name", ["samples", "studies", "patients"])
def test_a_wrong_count_in_the_manifest_is_a_breach(good, name):
    line = manifest.read(good).tars[0]
    restate(good, line["name"], **{name: line[name] + 1})
    assert f"shard.{name}" in codes(good)


def jpg(values: np.ndarray, *options: int) -> bytes:
    return cv2.imencode(".jpg", values, options)[1].tobytes()


def drawn_image(height: int, width: int) -> np.ndarray:
    return np.add.outer(np.arange(height), np.arange(width)).astype(np.uint8)


def commented(image: bytes) -> bytes:
    return image[:2] + b"\xff\xfe\x00\x06Name" + image[2:]


@pytest.mark.parametrize(
    ("make", "code"),
    [
        pytest.param(lambda p, h, w: b"not an image", "image.unreadable", id="no-image"),
        pytest.param(lambda p, h, w: b"", "image.unreadable", id="empty"),
        pytest.param(lambda p, h, w: p[: len(p) // 2], "image.cut", id="half-of-it"),
        pytest.param(lambda p, h, w: p + b"behind the end", "image.cut", id="more-behind-it"),
        pytest.param(lambda p, h, w: jpg(drawn_image(h, w + 1)), "image.size", id="another-size"),
        pytest.param(
            lambda p, h, w: jpg(np.dstack([drawn_image(h, w)] * 3)), "image.not_grey", id="colour"
        ),
        pytest.param(
            lambda p, h, w: jpg(np.full((h, w), 9, np.uint8)), "image.constant", id="one-grey"
        ),
        pytest.param(lambda p, h, w: commented(p), "image.metadata", id="a-comment-inside"),
        pytest.param(
            lambda p, h, w: cv2.imencode(".png", drawn_image(h, w))[1].tobytes(),
            "image.unreadable",
            id="a-png-under-another-name",
        ),
    ],
)
def test_deep_checks_the_images(good, sample, make, code):
    image = members(tar_of(good))[0][1]
    facts = sample["pixels"]
    rewrite(good, put(0, make(image, facts["height"], facts["width"])))
    assert codes(good) == set()
    assert code in codes(good, deep=True)


@pytest.mark.parametrize("side", [10_000, 65_500])
def test_a_bomb_is_not_decoded(good, monkeypatch, side):
    image = bytearray(members(tar_of(good))[0][1])
    start = image.index(b"\xff\xc0")  # height and width are five bytes after the marker
    image[start + 5 : start + 9] = side.to_bytes(2, "big") * 2
    rewrite(good, put(0, bytes(image)))
    decoded = []
    monkeypatch.setattr(cv2, "imdecode", lambda data, how: decoded.append(len(data)))
    check = manifest.read(good)
    seen = check_tar(tar_of(good), check.tars[0], check.expected(check.tars[0]), deep=True)
    assert "image.too_large" in seen.breaches
    assert len(decoded) == seen.samples - 1


def rewritten(path: Path, form: int, **values) -> bytes:
    """Return a tar with the same members by another writer."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as tar:
        for name, data in members(path):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o444
            for key, value in values.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("form", "values"),
    [
        pytest.param(tarfile.USTAR_FORMAT, {"mtime": 1}, id="a-clock"),
        pytest.param(tarfile.USTAR_FORMAT, {"uid": 1000}, id="an-owner"),
        pytest.param(tarfile.USTAR_FORMAT, {"uname": "ann"}, id="a-name-of-an-owner"),
        pytest.param(tarfile.USTAR_FORMAT, {"mode": 0o644}, id="writable"),
        pytest.param(tarfile.PAX_FORMAT, {"mtime": 0.5}, id="a-pax-header"),
        pytest.param(tarfile.USTAR_FORMAT, {"name": "x\udcff.txt"}, id="a-name-that-is-no-utf-8"),
        pytest.param(tarfile.USTAR_FORMAT, {"name": "x/" * 60 + ".txt"}, id="a-long-name"),
        pytest.param(tarfile.USTAR_FORMAT, {"type": tarfile.SYMTYPE}, id="a-link"),
        pytest.param(tarfile.GNU_FORMAT, {}, id="gnu"),
    ],
)
def test_tar_headers_of_other_writers_are_a_breach(good, form, values):
    path = tar_of(good)
    replace(good, path, rewritten(path, form, **values))
    assert "member.header" in codes(good)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(lambda data: data[:-512], "shard.end", id="a-short-end"),
        pytest.param(lambda data: data + bytes(10240), "shard.end", id="a-long-end"),
        pytest.param(lambda data: data[:-1] + b"x", "shard.end", id="something-behind-the-end"),
        pytest.param(lambda data: data + data, "shard.end", id="two-tars-in-one-file"),
        pytest.param(lambda data: b"x" * 512 + data, "shard.torn", id="no-header"),
        pytest.param(lambda data: data[:1000], "shard.torn", id="a-member-without-room"),
        pytest.param(lambda data: b"", "shard.end", id="empty"),
    ],
)
def test_damaged_tars_that_tarfile_accepts_are_a_breach(good, change, code):
    path = tar_of(good)
    replace(good, path, change(path.read_bytes()))
    assert code in codes(good)


names = st.from_regex(r"[a-z0-9_-]{1,90}\.(jpg|json|txt)", fullmatch=True)
listing = st.lists(st.tuples(names, st.binary(max_size=1500)), max_size=6)


@given(listing)
def test_tars_of_our_writer_are_read_as_plain(content):
    stream = io.BytesIO()
    writer = TarWriter(stream)
    for name, data in content:
        writer.add(name, data)
    sha256, _ = writer.finish()
    stream.seek(0)
    tar = DigestingReader(stream)
    assert [(m.name, m.data, m.plain) for m in tar.members()] == [(n, d, True) for n, d in content]
    assert tar.finish() == (sha256, True)


@given(st.binary(max_size=3000))
def test_any_bytes_are_read_or_reported_as_torn(data):
    tar = DigestingReader(io.BytesIO(data))
    with contextlib.suppress(FormatError):
        list(tar.members())
    assert tar.finish()[1] is False  # random bytes are never a tar of our writer


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)
paths = st.sampled_from(
    [(n,) for n in sorted(schema.FIELDS)]
    + [("sentences", 0, n) for n in ("text", "index", "status", "mentions")]
    + [("sentences", 0, "mentions", 0, n) for n in ("finding", "assertion", "start", "end")]
    + [("boxes", 0, n) for n in ("label", "x", "w", "phrase")]
    + [("changes", 0, n) for n in ("label", "change", "earlier", "layer")]
    + [("pixels", n) for n in ("height", "width", "bits")]
    + [("provenance", "image_sha256")]
)


@settings(max_examples=300)
@given(paths, json_values)
def test_no_value_in_any_field_crashes_the_check(sample, expected, path, value):
    changed = json.loads(json.dumps(sample)) | {
        "sentences": sentence(mentions=[{}]),
        "boxes": [dict(BOX)],
        "changes": [dict(CHANGE)],
    }
    inner = changed
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    document = json.dumps(changed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    parsed, code = fields.parse(document.encode("utf-8", "surrogatepass"))
    made, more = fields.typed(parsed) if not code else (None, [code])
    found = more + (list(fields.breaches(made, b"x", "key", expected)) if made else [])
    assert all(isinstance(code, str) for code in found)
