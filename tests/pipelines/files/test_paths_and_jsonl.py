"""Nothing outside the root is opened; a reader never sees an unfinished file."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.pipelines.errors import ConfigError, IngestError, LockedError, as_stop
from cxr_vlp.pipelines.files import atomic_dir, jsonl, paths
from cxr_vlp.pipelines.storage.place import place


@pytest.mark.parametrize(
    "relative",
    ["../secret", "a/../../secret", "/etc/passwd", "a\0b", "", "out/secret", "leak", "in/leak"],
    ids=["up", "up-inside", "absolute", "nul", "empty", "link-out", "file-link", "by-two-links"],
)
def test_paths_that_leave_the_root_are_refused(tmp_path, relative):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret").write_text("x")
    (root / "out").symlink_to(tmp_path)
    (root / "leak").symlink_to(tmp_path / "secret")
    (root / "in").symlink_to(root)
    with pytest.raises(IngestError, match=r"path\.escape"):
        paths.inside(root, relative)


@pytest.mark.parametrize("relative", ["a/image", "in/a/image", "link", "gone/image", "x" * 300])
def test_paths_inside_the_root_are_returned_even_without_a_file(tmp_path, relative):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "image").write_text("x")
    (tmp_path / "in").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "a" / "image")
    assert paths.inside(tmp_path, relative) == tmp_path / relative


def test_walk_is_sorted_follows_links_inside_and_ends_in_a_loop(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2.png").write_text("")
    (tmp_path / "b" / "1.png").write_text("")
    (tmp_path / "a").symlink_to(tmp_path)  # a loop
    (tmp_path / "z").symlink_to("/etc")  # a way out
    assert list(paths.walk(tmp_path)) == ["b/1.png", "b/2.png"]


def test_a_listing_has_the_files_of_a_walk_each_with_its_state(tmp_path):
    root = tmp_path / "root"
    for name in ("b/2.png", "b/1.png", "b-c/x", "z.csv", "a/deep/er/y"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "loop").symlink_to(root)
    (root / "again").symlink_to(root / "b")  # is visited before b, and b then is not
    (root / "out").symlink_to("/etc")
    (root / "nowhere").symlink_to(root / "gone")
    (root / "itself").symlink_to(root / "itself")
    (root / "file").symlink_to(root / "z.csv")
    os.mkfifo(root / "pipe")
    codes: dict[str, list[str]] = {"listing": [], "walk": []}
    listed = list(paths.listing(root, codes["listing"].append))
    assert [each.path for each in listed] == list(paths.walk(root, codes["walk"].append))
    assert codes["listing"] == codes["walk"] == ["path.escape"]
    assert [each.path for each in listed] == [
        "file", "itself", "nowhere", "pipe", "z.csv", "a/deep/er/y", "again/1.png", "again/2.png",
        "b-c/x",
    ]  # fmt: skip
    for each in listed:
        now = paths.state(root, each.path)
        assert each[1:4] == (now.st_size, now.st_mtime_ns, str(now.st_ino)), each.path
        linked = (root / each.path).is_symlink()
        assert each.link == (str((root / each.path).readlink()) if linked else "")


NAMES = st.text("ab.-_ \xe9", min_size=1, max_size=3).filter(lambda name: name.strip("."))


@given(names=st.lists(st.lists(NAMES, min_size=1, max_size=4), max_size=12))
def test_a_store_is_listed_in_the_order_of_a_disk(tmp_path_factory, names):
    root = tmp_path_factory.mktemp("order")
    store = place(f"memory://{root.name}/raw")
    for parts in names:
        path = root.joinpath(*parts)
        with contextlib.suppress(OSError):  # a file where a folder must be, or the other way
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
            (store.joinpath(*parts)).fs.pipe_file(store.joinpath(*parts).path, b"x")
    here = list(paths.walk(root))
    assert (list(paths.walk(paths.root(str(store)))) if here else []) == here


def lead_out(tmp_path: Path) -> Path:
    """A root with a file and a folder that are links out of it, and their targets."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "1.png").write_text("x")
    root = tmp_path / "root"
    root.mkdir()
    (root / "one.png").symlink_to(tmp_path / "store" / "1.png")
    (root / "folder").symlink_to(tmp_path / "store")
    return root


def test_links_out_of_the_root_are_followed_only_with_the_option(tmp_path):
    root = lead_out(tmp_path)
    tree = paths.RawTree(root, links=True)
    assert list(paths.walk(root)) == ["one.png"]
    assert list(paths.walk(tree)) == ["one.png", "folder/1.png"]
    with pytest.raises(IngestError, match=r"path\.escape"):
        paths.inside(root, "one.png")
    assert paths.inside(tree, "one.png").read_text() == "x"
    for relative in ("../store/1.png", "/etc/passwd", "a\0b", ""):
        with pytest.raises(IngestError, match=r"path\.escape"):
            paths.inside(tree, relative)


def test_links_in_a_loop_give_a_code(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert list(paths.walk(tmp_path)) == ["a", "b"]
    assert paths.state(tmp_path, "a").st_size >= 0
    with pytest.raises(IngestError, match=r"path\.(loop|escape)"):
        paths.inside(tmp_path, "a")


def test_a_vanished_file_and_a_link_to_nowhere_have_a_state(tmp_path):
    (tmp_path / "gone").symlink_to(tmp_path / ".git/annex/objects/x")
    assert paths.state(tmp_path, "gone").st_ino
    assert paths.state(tmp_path, "never").st_size == 0


@pytest.mark.parametrize("kind", ["fifo", "socket", "folder"])
def test_only_plain_files_are_opened(tmp_path, kind):
    path = tmp_path / "x"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    with pytest.raises(IngestError, match=r"image\.not_file"):
        paths.plain(path, "image")


def test_the_summary_of_a_root_has_counts_and_remedies_but_no_names(tmp_path):
    root = lead_out(tmp_path)
    (root / "nowhere").symlink_to(tmp_path / "annex")
    for name in ("SECRET1.JPG", "SECRET2.JPG", "a.tar.gz", "t.csv.gz", "12345"):
        (root / name).write_text("")
    said = paths.summary(root)
    assert said.startswith("below the root there are 2 .JPG, ")
    for part in ("1 .tar.gz", "1 .csv.gz", "2 links that lead out of it",
                 "1 links that lead nowhere", "unpack the 1 .tar.gz", "-execdir tar -xf",
                 "links: true", "git annex get"):  # fmt: skip
        assert part in said
    assert "SECRET" not in said
    assert "12345" not in said
    assert "links: true" not in paths.summary(paths.RawTree(root, links=True))
    (tmp_path / "empty").mkdir()
    assert "empty" in paths.summary(tmp_path / "empty")


@pytest.mark.parametrize("name", ["train.csv", "TRAIN.CSV", "Train.csv.gz", "a/b/c/d/train.csv"])
def test_a_table_is_found_in_any_case_and_some_folders_down(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text("")
    assert paths.find(tmp_path, "train.csv", "train.csv.gz") == name


def test_a_table_that_is_a_link_out_names_the_option(tmp_path):
    root = lead_out(tmp_path)
    (tmp_path / "store" / "t.csv").write_text("")
    (root / "train.csv").symlink_to(tmp_path / "store" / "t.csv")
    with pytest.raises(ConfigError, match="links: true"):
        paths.find(root, "train.csv")
    assert paths.find(paths.RawTree(root, links=True), "train.csv") == "train.csv"


def test_two_releases_side_by_side_are_refused(tmp_path):
    for release in ("2.0.0", "2.1.0"):
        (tmp_path / release).mkdir()
        (tmp_path / release / "train.csv").write_text("")
    with pytest.raises(ConfigError, match="several releases"):
        paths.find(tmp_path, "train.csv")
    assert paths.find(tmp_path / "2.0.0", "train.csv") == "train.csv"


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    jsonl.write_json(path, {"old": 1})
    with pytest.raises(RuntimeError), jsonl.replacing(path) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == [path]
    assert "old" in path.read_text()


def publish(out: Path, text: str) -> None:
    with atomic_dir.publishing(out, "header") as staging:
        (staging / "header").write_text(text)


def test_a_set_is_replaced_completely_or_not_at_all(tmp_path):
    out = tmp_path / "set"
    publish(out, "one")
    (out / "stale").write_text("")
    publish(out, "two")
    assert sorted(p.name for p in out.iterdir()) == ["header"]
    with pytest.raises(RuntimeError), atomic_dir.publishing(out, "header") as staging:
        (staging / "header").write_text("three")
        raise RuntimeError
    assert (out / "header").read_text() == "two"


def test_a_folder_of_somebody_else_is_not_replaced(tmp_path):
    (tmp_path / "mine.txt").write_text("")
    with pytest.raises(ConfigError, match="not empty"):
        publish(tmp_path, "x")
    assert (tmp_path / "mine.txt").exists()


def test_a_second_run_names_the_process_that_locks_the_output(tmp_path):
    out = tmp_path / "set"
    code = "import sys; from pathlib import Path; from cxr_vlp.pipelines.files import atomic_dir\n"
    code += "with atomic_dir.lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    held = subprocess.Popen(
        [sys.executable, "-c", code, str(out)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    held.stdout.readline()
    with pytest.raises(LockedError, match=str(held.pid)), atomic_dir.lock(out):
        pass
    held.communicate()
    with atomic_dir.lock(out):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_place_is_an_os_error(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(PermissionError):
        publish(tmp_path / "set", "x")


def test_a_storage_error_names_the_path_without_ids():
    error = OSError(28, "No space left on device", "/raw/files/p10/p10000032/s50414267.txt")
    assert str(as_stop(error)) == "No space left on device (/raw/files/p10/p.../s....txt)"


def test_a_failed_copy_names_the_full_disk():
    """shutil.copyfile gives both names, the one it reads first."""
    full = OSError(28, "No space left on device", "/stock/a.tar", None, "/small/a.tar")
    assert str(as_stop(full)) == "No space left on device (/small/a.tar)"
    lost = OSError(2, "No such file or directory", "/stock/a.tar", None, "/small/a.tar")
    assert str(as_stop(lost)) == "No such file or directory (/stock/a.tar)"
