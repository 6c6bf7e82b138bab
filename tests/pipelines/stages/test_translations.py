"""Translations of reports: from the user's file into texts, shards and training samples.

Contents: `Shout` (a translator that needs no model), `translated` (the texts and shards of a
synthetic Open-i with and without a file of translations; made once).
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import stages
import torch
from breaking import codes, members, tar_of
from hypothesis import given
from hypothesis import strategies as st
from stages import samples
from test_incremental import work_of
from test_texts import row

from cxr_vlp.nlp.wording import translations as lines
from cxr_vlp.pipelines.config import Texts
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.stages import text_resources, translations
from cxr_vlp.pipelines.validate import manifest
from cxr_vlp.pipelines.validate import sample as fields
from cxr_vlp.train import translate, translator
from cxr_vlp.train.config.recipe import load
from cxr_vlp.train.data.loader import Loading, training
from cxr_vlp.train.data.shards import list_shards

SOURCE = "openi"
FINDINGS = (
    "The heart has a normal size. A small left pleural effusion is there. A line ends in the SVC."
)
IMPRESSION = "Small effusion, no pneumothorax."


def file(folder: Path, said: dict[str, str]) -> Texts:
    path = folder / "translations.jsonl"
    path.write_bytes(b"".join(lines.line(text, other) for text, other in said.items()))
    return Texts(translations=str(path))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param({IMPRESSION: "A bit of water."}, {"impression": "A bit of water."}, id="one"),
        pytest.param(
            {IMPRESSION: "I.", FINDINGS: "F."}, {"findings": "F.", "impression": "I."}, id="both"
        ),
        pytest.param({IMPRESSION: " A \n b. "}, {"impression": "A b."}, id="blanks-are-joined"),
        pytest.param({IMPRESSION: IMPRESSION}, None, id="the-same-words"),
        pytest.param({IMPRESSION: f" {IMPRESSION}\n"}, None, id="the-same-words-and-blanks"),
        pytest.param({IMPRESSION: " "}, None, id="no-words"),
        pytest.param({"Another text.": "I."}, None, id="another-study's"),
        pytest.param({"": "I."}, None, id="of-no-text"),
        pytest.param({}, None, id="an-empty-file"),
    ],
)
def test_a_row_has_the_translations_of_its_own_texts(tmp_path, said, expected):
    plain = row(Texts())
    found = row(file(tmp_path, said))
    assert found.pop("translations", None) == expected
    made_by = found.pop("text_fingerprint")
    assert (made_by == plain.pop("text_fingerprint")) == (expected is None)
    assert found == plain


def test_the_later_of_two_lines_counts_even_without_a_line_end(tmp_path):
    settings = file(tmp_path, {})
    path = Path(settings.translations)
    path.write_bytes(lines.line(IMPRESSION, "Old.") + lines.line(IMPRESSION, "New.").rstrip())
    assert row(settings)["translations"] == {"impression": "New."}


def test_only_its_own_translations_change_a_study(tmp_path):
    prints = []
    for said in ({IMPRESSION: "A."}, {IMPRESSION: "A.", "Another text.": "B."}, {IMPRESSION: "C."}):
        prints.append(row(file(tmp_path, said))["text_fingerprint"])
    assert prints[0] == prints[1] != prints[2]
    moved = Texts(translations=str(shutil.copy(tmp_path / "translations.jsonl", tmp_path / "b")))
    assert row(moved)["text_fingerprint"] == prints[2]


@given(
    st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=30),
    st.lists(st.text(max_size=9), max_size=5),
)
def test_every_text_finds_only_its_own_line(tmp_path_factory, said, others):
    folder = tmp_path_factory.getbasetemp()
    settings = file(folder, said)
    found = pickle.loads(pickle.dumps(translations.load(settings.translations)))  # to a worker
    for text in {*said, *others}:
        other = " ".join(said.get(text, "").split())
        assert found.of(text) == ("" if other == text else other)


def test_texts_with_the_same_start_of_their_digests_are_distinguished(tmp_path, monkeypatch):
    real = lines.digest
    monkeypatch.setattr(lines, "digest", lambda text: "0" * 16 + real(text)[16:])
    said = {f"text {n}": f"other {n}" for n in range(5)}
    found = translations.load(file(tmp_path, said).translations)
    assert {text: found.of(text) for text in said} == said
    assert found.of("text 6") == ""


GOOD = lines.line("a", "b")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, r"no file at .*texts\.translations"),
        (GOOD + GOOD[:40], "line 2 .* is no translation"),
        (GOOD + b"\n" + GOOD, "line 2 .* is no translation"),
        (b'{"sha256": "edema", "text": "edema"}\n', "line 1 .* is no translation"),
        (GOOD.replace(b'"b"', b"null"), "line 1 .* is no translation"),
        (GOOD.replace(b'"b"', rb'"edema \ud800"'), "line 1 .* is no translation"),
        (b"[" * 100_000 + b"\n", "line 1 .* is no translation"),
        (b"PK\x03\x04\xff", "line 1 .* is no translation"),
    ],
    ids=["gone", "torn", "blank", "no-digest", "no-text", "surrogate", "bomb", "another-file"],
)
def test_an_unusable_translation_file_stops_the_run_with_the_line_number(tmp_path, content, said):
    path = tmp_path / "own.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        text_resources.load(Texts(translations=str(path)))
    assert "edema" not in str(caught.value)


@pytest.mark.parametrize("change", ["rewritten", "gone"])
def test_a_translation_file_may_grow_during_a_run_but_not_change(tmp_path, change):
    path = Path(file(tmp_path, {"a": "b"}).translations)
    found = translations.load(str(path))
    path.write_bytes(path.read_bytes() + lines.line("c", "d"))
    assert (found.of("a"), found.of("c")) == ("b", "")
    path.write_bytes(b"{}\n") if change == "rewritten" else path.unlink()
    with pytest.raises(ConfigError, match="changed while it was read"):
        found.of("a")


SAMPLE = {"findings": "F.", "impression": ""}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"findings": "f."}, ""),
        ({}, ""),
        ({"findings": "F."}, "json.translations"),  # equal to its section
        ({"impression": "i."}, "json.translations"),  # of a section that is absent
        ({"findings": " "}, "json.translations"),
        ({"abnormal": "a."}, "json.field:translations"),
        ({"findings": 1}, "json.field:translations"),
        (["f."], "json.field:translations"),
        (None, "json.field:translations"),
    ],
)
def test_verify_checks_translations(built, value, code):
    folder = built / "shards" / SOURCE
    a_set = manifest.read(folder)
    (_, (name, data), (_, text), *_) = members(tar_of(folder))
    if isinstance(value, dict):
        value = dict.fromkeys(lines.FIELDS, "") | value
    sample = json.loads(data) | SAMPLE | {"translations": value}
    key = name.removesuffix(".json")
    made, found = fields.typed(sample)
    if made:
        found += fields.breaches(made, text, key, a_set.expected(a_set.tars[0]))
    # the fingerprint does not match the changed texts
    assert set(found) - {"provenance.text_differs"} == ({code} if code else set())


class Shout:
    """A translator that returns upper case in both directions."""

    def fits(self, text: str) -> bool:
        return len(text) < 60

    def __call__(self, texts: Sequence[str]) -> list[str]:
        return [text.upper() for text in texts]


@dataclass(frozen=True)
class Translated:
    """The output folders of the stages, without and with translations."""

    plain: Path
    out: Path
    file: Path


@pytest.fixture(scope="module")
def translated(raw, built, tmp_path_factory) -> Translated:
    """The steps of a user: texts, cxr_vlp.train.translate, texts and shards again."""
    out = tmp_path_factory.mktemp("translated")
    said = out / "translations.jsonl"
    stages.build(raw / SOURCE, SOURCE, out)
    arguments = ["--texts", str(out / "texts" / SOURCE), "--out", str(said)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(translator, "load", lambda _: Shout())
        assert translate.main([*arguments, "--there", ".", "--back", "."]) == 0
    stages.build(raw / SOURCE, SOURCE, out, texts={"translations": str(said)})
    return Translated(built, out, said)


def rows(folder: Path) -> list[dict[str, Any]]:
    paths = sorted((folder / "texts" / SOURCE).glob(f"{SOURCE}-*.jsonl"))
    return [row for path in paths for row in jsonl.read_records(path)]


def test_texts_and_shards_change_only_by_the_translations(translated):
    before, after = rows(translated.plain), rows(translated.out)
    known = dict(map(lines.parse, translated.file.read_bytes().splitlines()))
    for old, new in zip(before, after, strict=True):
        said = new.pop("translations", {})
        assert said == {n: known[lines.digest(old[n])] for n in lines.FIELDS if old[n]}
        assert all(text.isupper() for text in said.values())
        assert (new.pop("text_fingerprint") == old.pop("text_fingerprint")) == (not said)
        assert new == old
    old = dict(samples(translated.plain / "shards" / SOURCE))
    new = dict(samples(translated.out / "shards" / SOURCE))
    assert old.keys() == new.keys()
    assert not any(any(sample["translations"].values()) for sample in old.values())
    assert sum(any(sample["translations"].values()) for sample in new.values()) > 10
    for sample in (*old.values(), *new.values()):
        sample.pop("provenance")
        sample.pop("translations")
    assert new == old
    assert codes(translated.out / "shards" / SOURCE, deep=True) == set()


def test_translations_are_counted_and_not_printed(translated):
    counts = jsonl.read_json(translated.out / "texts" / SOURCE / "counts.json")
    said = [name for r in rows(translated.out) for name in r.get("translations", ())]
    found = Counter(f"translated.{name}" for name in said)
    assert {k: n for k, n in counts["notes"].items() if k.startswith("translated")} == found
    assert all(found.values())
    header = (translated.out / "texts" / SOURCE / "texts.json").read_text()
    assert str(translated.file) not in header
    plain = jsonl.read_json(translated.plain / "texts" / SOURCE / "counts.json")
    assert not any(key.startswith("translated") for key in plain["notes"])


def test_a_new_translation_rewrites_only_the_shard_of_its_study(translated, raw, tmp_path):
    kept = translated.file.read_bytes().splitlines(keepends=True)
    times = Counter(r[n] for r in rows(translated.plain) for n in lines.FIELDS)
    text = next(t for t, n in sorted(times.items()) if n == 1)
    without = [line for line in kept if lines.digest(text).encode() not in line]
    assert len(without) == len(kept) - 1
    out = tmp_path / "out"
    shutil.copytree(translated.out, out)
    own = out / "translations.jsonl"
    own.write_bytes(b"".join(without) + lines.line("A text of nobody's.", "Other words."))
    stages.build(raw / SOURCE, SOURCE, out, texts={"translations": str(own)})
    work = work_of(out, SOURCE)
    assert (work["kept"], work["rewritten"], work["decoded"]) == (3, 1, 0)


def tokenize(text: str) -> torch.Tensor:
    return torch.tensor([len(text), 1])


@pytest.mark.parametrize("recipe", ["cxrclip_tiny", "cxrclip"])
def test_a_recipe_with_translations_uses_both_wordings(translated, recipe):
    shards = list_shards([translated.out / "shards" / SOURCE], "train")
    chosen = load(recipe, {"run": {"shuffle": 8}, "text": {"policies": ["impression|findings"]}})
    assert chosen.text.translated == 0.5
    loading = Loading(chosen, 32, tokenize)
    shown = {text for epoch in range(4) for batch in training(shards, loading, epoch, 1)
             for texts in batch.texts for text in texts}  # fmt: skip
    assert any(text.isupper() for text in shown)
    assert any(not text.isupper() for text in shown)
