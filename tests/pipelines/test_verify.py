"""verify finds every way to break the contract; each case breaks a good set in one way."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import manifest, storage, verify
from pipelines.tars import TarWriter

Members = list[tuple[str, bytes]]


@pytest.fixture
def good(built, tmp_path) -> Path:
    folder = tmp_path / "mimic"
    shutil.copytree(built / "shards" / "mimic", folder)
    return folder


def breaches(folder: Path, *, deep: bool = False) -> set[str]:
    return {b["code"] for b in verify.check([folder], deep=deep)["breaches"]}


def first_tar(folder: Path) -> Path:
    return next(iter(sorted(folder.glob("train/*.tar"))))


def rewrite(folder: Path, change: Callable[[Members], Members]) -> None:
    """Rewrite a tar and its manifest line, so that only the change itself is wrong."""
    path = first_tar(folder)
    with tarfile.open(path) as tar:
        members = [(m.name, tar.extractfile(m).read()) for m in tar]
    stream = io.BytesIO()
    writer = TarWriter(stream)
    for name, data in change(members):
        writer.add(name, data)
    sha256, size = writer.finish()
    path.write_bytes(stream.getvalue())
    restate(folder, path.name, sha256=sha256, bytes=size)


def restate(folder: Path, name: str, **values) -> None:
    header, lines = manifest.read(folder)
    lines = [line | values if line["name"] == name else line for line in lines]
    storage.write_records(folder / manifest.NAME, [header, *lines])


def edit(**values) -> Callable[[Members], Members]:
    def change(members: Members) -> Members:
        name, data = members[1]
        document = json.loads(data)
        for key, value in values.items():
            if value is None:
                document.pop(key)
            else:
                document[key] = value
        return [members[0], (name, json.dumps(document).encode()), *members[2:]]

    return change


def renamed(members: Members) -> Members:
    return [(name.replace("mimic-", "mimic.", 1), data) for name, data in members]


def swapped(members: Members) -> Members:
    return [*members[3:6], *members[:3], *members[6:]]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(lambda m: m[1:], "sample.members", id="a-member-is-missing"),
        pytest.param(lambda m: [m[1], m[0], *m[2:]], "sample.members", id="members-in-other-order"),
        pytest.param(lambda m: [*m, ("x.pyd", b"")], "sample.members", id="a-pickle-member"),
        pytest.param(renamed, "sample.key", id="a-dot-in-the-key"),
        pytest.param(swapped, "shard.order", id="samples-out-of-order"),
        pytest.param(lambda m: m[:-3], "shard.count", id="a-sample-is-missing"),
        pytest.param(
            lambda m: [*m[:2], (m[2][0], b" \n"), *m[3:]], "caption.empty", id="no-caption"
        ),
        pytest.param(
            lambda m: [*m[:2], (m[2][0], b"x"), *m[3:]], "caption.differs", id="other-caption"
        ),
        pytest.param(lambda m: [m[0], (m[1][0], b"{"), *m[2:]], "json.broken", id="broken-json"),
        pytest.param(edit(findings=None), "json.field:findings", id="a-field-is-missing"),
        pytest.param(edit(labels=[1, 0]), "json.field:labels", id="labels-by-position"),
        pytest.param(edit(labels={"Edema": 2}), "json.labels", id="a-label-that-is-none"),
        pytest.param(edit(split="test"), "json.split", id="split-of-another-folder"),
        pytest.param(edit(view="PA"), "json.view", id="a-projection-as-view"),
        pytest.param(edit(prompts=["a", ""]), "json.prompts", id="an-empty-prompt"),
        pytest.param(
            edit(sentences=[{"status": "fine", "mentions": []}]), "json.sentences", id="odd-status"
        ),
    ],
)
def test_a_tar_that_breaks_the_contract(good, change, code):
    assert breaches(good) == set()
    rewrite(good, change)
    assert code in breaches(good)


@pytest.mark.parametrize(
    ("picture", "code"),
    [(b"not a picture", "picture.unreadable"), (b"", "picture.unreadable")],
)
def test_deep_decodes_the_pictures(good, picture, code):
    rewrite(good, lambda members: [(members[0][0], picture), *members[1:]])
    assert code not in breaches(good)
    assert code in breaches(good, deep=True)


def header_change(**values) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        header, lines = manifest.read(folder)
        storage.write_records(folder / manifest.NAME, [header | values, *lines])

    return change


def flip(folder: Path) -> None:
    path = first_tar(folder)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        pytest.param(flip, "shard.digest", id="one-bit"),
        pytest.param(lambda f: first_tar(f).unlink(), "shard.missing", id="a-tar-is-gone"),
        pytest.param(
            lambda f: shutil.copy(first_tar(f), f / "test" / "x.tar"),
            "shard.unlisted",
            id="a-tar-more",
        ),
        pytest.param(
            lambda f: (f / "train" / "sizes.json").write_text("{}"), "sizes.differ", id="sizes"
        ),
        pytest.param(header_change(written=1), "flow.unbalanced", id="counts-do-not-add-up"),
        pytest.param(
            lambda f: (f / manifest.REJECTS).write_text(""), "rejects.differ", id="rejects-are-gone"
        ),
        pytest.param(lambda f: (f / manifest.NAME).write_text(""), "manifest.broken", id="empty"),
    ],
)
def test_a_set_that_breaks_the_contract(good, damage, code):
    damage(good)
    assert code in breaches(good)


def test_every_cut_at_a_block_is_seen(good):
    path = first_tar(good)
    whole = path.read_bytes()
    for end in range(0, len(whole), max(512, len(whole) // 40 // 512 * 512)):
        path.write_bytes(whole[:end])
        assert "shard.digest" in breaches(good)


def test_the_same_key_in_two_sets_is_seen(good, tmp_path):
    shutil.copytree(good, tmp_path / "twin")
    result = verify.check([good, tmp_path / "twin"], deep=False)
    assert {b["code"] for b in result["breaches"]} == {"key.twice"}


def test_the_command_answers_in_json_and_by_exit_code(good, capsys):
    assert verify.main([str(good.parent), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["breaches"] == []
    flip(good)
    assert verify.main([str(good), "--json"]) == 65
    assert json.loads(capsys.readouterr().out)["breaches"][0]["code"] == "shard.digest"
    with pytest.raises(verify.ConfigError, match=r"no manifest\.jsonl"):
        verify.main([str(good / "train")])
