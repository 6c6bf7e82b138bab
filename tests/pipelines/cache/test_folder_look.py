"""The folders that differ from an index are found, whichever process looks at them."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import alive, until

from cxr_vlp.pipelines.cache import folder_look, tree_listing
from cxr_vlp.pipelines.cache.scan_index import NAME, DamagedError, ScanIndex
from cxr_vlp.pipelines.files.paths import RawTree

FOLDERS = 40
PAST = time.time() - 3600


@pytest.fixture
def tree(tmp_path) -> Path:
    """A tree of old files, two in each folder."""
    top = tmp_path / "raw"
    for number in range(FOLDERS):
        folder = top / f"p{number:02}"
        folder.mkdir(parents=True)
        for name in ("a", "b"):
            (folder / name).write_text(name)
            os.utime(folder / name, (PAST, PAST))
        os.utime(folder, (PAST, PAST))
    os.utime(top, (PAST, PAST))
    return top


@pytest.fixture
def index(tree, tmp_path) -> Path:
    """Its index."""
    path = tmp_path / NAME
    made = ScanIndex.new(path)
    made.set_folders(tree_listing.listed(RawTree(tree), Counter(), linked=False))
    made.close()
    return path


@pytest.fixture(params=[1, 3])
def processes(request, monkeypatch) -> int:
    """The number of processes that look."""
    monkeypatch.setattr(folder_look, "SHARE", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(request.param), raising=False)
    return request.param


def found(index: Path, tree: Path) -> list[str]:
    opened = ScanIndex.opened(index)
    return sorted(path for path, _ in folder_look.differing(opened, index, str(tree)))


def change(tree: Path) -> list[str]:
    """Change folders at the begin, in the middle and at the end of the index."""
    (tree / "p00/a").write_text("longer")
    (tree / "p20/b").unlink()
    (tree / "p39/c").write_text("new")
    return ["p00", "p20", "p39"]


def test_a_tree_as_it_was_has_no_folder_that_differs(tree, index, processes):
    assert found(index, tree) == []


def test_every_folder_that_differs_is_found_by_any_number_of_processes(tree, index, processes):
    wanted = change(tree)
    assert found(index, tree) == wanted


def test_all_folders_of_a_tree_that_is_gone_differ(tree, index, processes):
    assert len(found(index, tree.with_name("none"))) == FOLDERS + 1


@pytest.mark.parametrize("processes", [3], indirect=True)
@pytest.mark.parametrize("how", ["cannot start", "is no program", "ends with an error"])
def test_what_another_process_does_not_do_is_done_here(tree, index, processes, how, monkeypatch):
    if how == "ends with an error":
        monkeypatch.setattr(folder_look, "MODULE", "cxr_vlp.pipelines.cache.none")
    else:
        python = "/dev/null/python" if how == "cannot start" else "/bin/false"
        monkeypatch.setattr(sys, "executable", python)
    wanted = change(tree)
    assert found(index, tree) == wanted


@pytest.mark.parametrize("row", [2, FOLDERS])
def test_a_damaged_row_is_found_in_every_share(tree, index, processes, row):
    data = index.read_bytes()
    name = ScanIndex.opened(index).folder_of(row)[0]
    at = data.index(f"{name}[[".encode())
    index.write_bytes(data[: at + 4] + bytes([data[at + 4] ^ 1]) + data[at + 5 :])
    with pytest.raises(DamagedError):
        found(index, tree)


def test_a_process_looks_at_no_index_but_the_one_of_its_run(tree, index, capsys):
    inode = index.stat().st_ino
    asked = (str(tree), "1", str(FOLDERS + 2), str(os.getppid()))
    assert folder_look.main((str(index), str(inode), *asked)) == 0
    assert capsys.readouterr().out == f"[{FOLDERS + 1}, []]"
    assert folder_look.main((str(index), str(inode + 1), *asked)) == 1
    index.unlink()
    assert folder_look.main((str(index), str(inode), *asked)) == 1


@given(st.integers(0, 1_000_000), st.integers(1, 9))
def test_the_shares_are_all_rows_each_once(last, free):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda _: range(free), raising=False)
        shares = folder_look._shares(last)
    assert shares[0].start == 1
    assert shares[-1].stop == last + 1
    assert all(one.stop == other.start for one, other in itertools.pairwise(shares))
    assert len(shares) == max(1, min(free, last // folder_look.SHARE, folder_look.PROCESSES))


WAITING = """
import os, sys, time
from cxr_vlp.pipelines.cache import folder_look
folder_look._again = lambda *_: time.sleep(600)
sys.exit(folder_look.main(sys.argv[1:]))
"""


def test_a_process_does_not_outlive_a_killed_run(tree, index, tmp_path):
    asked = [str(index), str(index.stat().st_ino), str(tree), "1", "9"]
    script = f"""
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {WAITING!r}, *{asked!r}, str(os.getpid())])
print(child.pid, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    until(lambda: not alive(child))
