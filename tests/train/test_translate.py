"""Back-translation: the cache by wording, runs that are killed, files of other programs.

Contents: `upper` and `Shout` (translation to capitals), `stage` (a folder of the texts stage),
`run` and `command` (runs over a file and over a folder).
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from cxr_vlp.nlp.wording import translations
from cxr_vlp.train import translate, translator
from cxr_vlp.train.errors import ConfigError, DataError

ROWS = (
    {"key": "s1", "findings": "The lungs are clear.", "impression": "No edema."},
    {"key": "s2", "findings": "", "impression": "No edema."},
    {"key": "s3", "findings": "A small nodule.", "impression": None},
)
TEXTS = ["The lungs are clear.", "No edema.", "A small nodule."]


def upper(texts: Sequence[str]) -> list[str]:
    return [text.upper() for text in texts]


def stage(folder: Path, rows: Sequence[dict] = ROWS, source: str = "mock") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "texts.json").write_text(json.dumps({"source": source}))
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / f"{source}-train-00000.jsonl").write_text(lines)
    (folder / "rejects.jsonl").write_text('{"key_hash": "0", "code": "text.none"}\n')
    return folder


def run(out: Path, texts: Sequence[str], at_once: int = 2, by: translate.Translate = upper) -> int:
    """Translate the texts that the file lacks; return their number."""
    with translate.cache(out) as (stream, known):
        missing = [t for t in texts if bytes.fromhex(translations.digest(t)) not in known]
        return sum(translate.written(missing, by, stream, at_once))


@pytest.mark.parametrize(
    ("fields", "known", "expected"),
    [
        pytest.param(("findings", "impression"), [], TEXTS, id="each-wording-once"),
        pytest.param(("impression",), [], TEXTS[1:2], id="one-field"),
        pytest.param(("findings", "impression"), TEXTS[1:], TEXTS[:1], id="what-is-not-known"),
        pytest.param(("findings", "impression"), TEXTS, [], id="nothing-new"),
    ],
)
def test_untranslated_texts(tmp_path, fields, known, expected):
    digests = {bytes.fromhex(translations.digest(text)) for text in known}
    paths = translate.files([stage(tmp_path / "a"), stage(tmp_path / "b")])
    assert list(translate.untranslated(paths, fields, digests)) == expected


def test_only_the_rows_of_the_texts_stage_are_read(tmp_path):
    (tmp_path / "mimic").mkdir()
    with pytest.raises(ConfigError, match=r"no texts\.json .*cxr-vlp texts"):
        translate.files([tmp_path / "mimic"])
    folder = stage(tmp_path / "elsewhere", source="mimic")
    assert [p.name for p in translate.files([folder])] == ["mimic-train-00000.jsonl"]
    (folder / "mimic-train-00000.jsonl").write_text('{"findings": "a"}\n["edema"]\n')
    with pytest.raises(DataError, match="line 2 is damaged") as caught:
        list(translate.untranslated(translate.files([folder]), ("findings",), ()))
    assert "edema" not in str(caught.value)


def test_a_second_run_translates_nothing_and_a_third_what_is_new(tmp_path):
    out = tmp_path / "deep" / "er.jsonl"
    assert run(out, TEXTS) == 3
    first = out.read_bytes()
    assert [json.loads(line) for line in first.splitlines()] == [
        {"sha256": translations.digest(text), "text": text.upper()} for text in TEXTS
    ]
    assert run(out, TEXTS) == 0
    assert out.read_bytes() == first
    assert run(out, [*TEXTS, "An effusion."]) == 1
    assert out.read_bytes() == first + translations.line("An effusion.", "AN EFFUSION.")


@pytest.mark.parametrize("after", range(4))
@pytest.mark.parametrize("torn", [0, 1, 30, 90], ids=lambda n: f"{n}-bytes-of-the-next-line")
def test_a_killed_translation_resumes_to_the_same_bytes(tmp_path, after, torn):
    texts = [f"Text {n}." for n in range(7)]
    run(tmp_path / "whole", texts)
    whole = (tmp_path / "whole").read_bytes()
    kept = whole.splitlines(keepends=True)
    asked: list[list[str]] = []

    def listening(some: Sequence[str]) -> list[str]:
        asked.append(list(some))
        return upper(some)

    (tmp_path / "killed").write_bytes(b"".join(kept[: 2 * after]) + kept[2 * after][:torn])
    run(tmp_path / "killed", texts, by=listening)
    assert (tmp_path / "killed").read_bytes() == whole
    assert asked == [texts[n : n + 2] for n in range(2 * after, 7, 2)]  # the batches it had left


def test_a_model_that_fails_leaves_what_was_done(tmp_path):
    def failing(some: Sequence[str]) -> list[str]:
        if "c" in some:
            raise MemoryError
        return upper(some)

    with pytest.raises(MemoryError):
        run(tmp_path / "out", ["a", "b", "c"], by=failing)
    assert len((tmp_path / "out").read_bytes().splitlines()) == 2


GOOD = translations.line("a", "b")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"a file of somebody's", id="another-file"),
        pytest.param(b'{"key": "s1", "findings": "edema"}\n', id="texts"),
        pytest.param(GOOD + b"\n" + GOOD, id="a-blank-line"),
        pytest.param(GOOD + GOOD[:40] + b"\n" + GOOD, id="half-a-line"),
        pytest.param(GOOD + b'{"sha256": "00", "text": "edema"}\n', id="no-digest"),
        pytest.param(GOOD.replace(b'"b"', b"7"), id="a-number-for-a-text"),
        pytest.param(GOOD.replace(b'"b"', b'"\\ud800"'), id="half-a-surrogate-pair"),
        pytest.param(GOOD.replace(b"}", b', "edema": 1}'), id="one-key-too-many"),
        pytest.param(b"\xff\n", id="no-utf8"),
    ],
)
def test_a_file_that_is_no_cache_is_left_as_it_is(tmp_path, content):
    (tmp_path / "out").write_bytes(content)
    with pytest.raises(ConfigError, match=r"line [12] is no translation") as caught:
        run(tmp_path / "out", TEXTS)
    assert "edema" not in str(caught.value)
    assert (tmp_path / "out").read_bytes() == content


def test_two_runs_do_not_write_one_file(tmp_path):
    with (tmp_path / "out").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another run"):
            run(tmp_path / "out", TEXTS)


class Shout:
    """A translator without a model; counts its texts."""

    def __init__(self) -> None:
        self.asked = 0

    def fits(self, text: str) -> bool:
        return True

    def __call__(self, texts: Sequence[str]) -> list[str]:
        self.asked += len(texts)
        return upper(texts)


def command(folder: Path, *more: str) -> int:
    texts = stage(folder / "texts" / "mock")
    models = ["--there", str(folder / "none"), "--back", str(folder / "none")]
    return translate.main(["--texts", str(texts), *models, "--out", str(folder / "out"), *more])


def test_a_missing_model_stops_the_run_with_the_remedy(tmp_path, capsys):
    assert command(tmp_path) == 2
    assert "error: " in (said := capsys.readouterr().err)
    assert "huggingface-cli download" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("flags", [["--batch", "0"], ["--limit", "-1"], ["--fields", "labels"]])
def test_flags_that_make_no_sense_are_refused(tmp_path, flags, capsys):
    with pytest.raises(SystemExit) as caught:
        command(tmp_path, *flags)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_the_command_joins_texts_models_and_file(tmp_path, capsys, monkeypatch):
    model = Shout()
    monkeypatch.setattr(translator, "load", lambda _: model)
    for flags, asked in ((["--limit", "2"], 4), (["--batch", "1"], 6), ([], 6)):
        assert command(tmp_path, *flags) == 0
        assert model.asked == asked  # there and back
    rows = [json.loads(line) for line in (tmp_path / "out").read_bytes().splitlines()]
    assert [row["text"] for row in rows] == upper(TEXTS)
    said = capsys.readouterr()
    assert not any(text in said.out + said.err for text in (*TEXTS, *upper(TEXTS)))
