"""Publishing in a store: one set or the other, one of two publishers, after a kill too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest
from processes import PATIENCE
from published_sets import OWNER, files_of, publish, read

from cxr_vlp.pipelines.errors import ConfigError, DataError, LockedError, StorageError
from cxr_vlp.pipelines.files import atomic_dir, jsonl
from cxr_vlp.pipelines.format import manifest
from cxr_vlp.pipelines.storage import lease, objects, publication
from cxr_vlp.pipelines.storage.place import place

HERE = Path(__file__).resolve().parent
# publishes the set that its arguments name, as `publish` does
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from published_sets import publish
from cxr_vlp.pipelines.storage.place import place
publish(place(sys.argv[2]), sys.argv[3])
"""


def read_directly(out: Path, server: str) -> dict[str, bytes]:
    """Return the same through another client, without the proxy."""
    client = boto3.client("s3", endpoint_url=server)
    bucket, _, prefix = str(out).removeprefix("s3://").partition("/")

    def get(name: str) -> bytes:
        return client.get_object(Bucket=bucket, Key=name)["Body"].read()

    try:
        head = get(f"{prefix}/{OWNER}")
    except client.exceptions.NoSuchKey:
        return {}
    folder = f"{prefix}/{publication.name_of(head, OWNER)}/"
    found = client.list_objects_v2(Bucket=bucket, Prefix=folder).get("Contents", [])
    return {each["Key"].removeprefix(folder): get(each["Key"]) for each in found}


def test_a_reader_finds_what_was_published(stores):
    out = stores / "set"
    for version in ("one", "two", "one"):
        publish(out, version)
        assert read(out) == files_of(version)
        assert (out / OWNER).read_bytes() == files_of(version)[OWNER]
        assert jsonl.read_header(out, OWNER, "texts")["version"] == version


def test_what_a_publishing_leaves(s3):
    out = place(f"{s3}/set")
    names = {}
    for version in ("one", "two", "three"):
        publish(out, version)
        names[version] = publication.folder_of(out, OWNER).name
    # the set before stays for those who still read it, the one before that does not
    assert {each.name for each in out.iterdir()} == {OWNER, names["two"], names["three"]}
    publish(out, "three")
    assert {each.name for each in out.iterdir()} == {OWNER, names["two"], names["three"]}


def test_a_reader_after_every_request_of_a_publishing(proxy, s3, server):
    out = place(f"{s3}/set")
    publish(out, "old")
    wanted = [files_of("old"), files_of("new")]
    seen = []

    def look(*_: object) -> str:
        seen.append(read_directly(out, server))
        return ""

    proxy.choose = look
    publish(out, "new")
    seen.append(read_directly(out, server))
    assert all(found in wanted for found in seen)
    assert len(seen) > 20
    assert [found == wanted[1] for found in seen] == sorted(found == wanted[1] for found in seen)
    assert seen[-1] == wanted[1]


@pytest.mark.parametrize(
    "point",
    [
        pytest.param("PUT .lock", marks=pytest.mark.slow),
        pytest.param("PUT .staging/train/a.jsonl", marks=pytest.mark.slow),
        "PUT train/same.jsonl",
        "PUT texts.json",
        "after texts.json",
        pytest.param("DELETE .lock", marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_leaves_a_set_and_its_rerun_completes_it(proxy, s3, server, point):
    out = place(f"{s3}/set")
    publish(out, "older")
    publish(out, "old")
    number = len(proxy.seen)
    killer = Killer(point, f"{str(out).removeprefix('s3:/')}/")
    proxy.choose = killer
    words = [sys.executable, "-c", SCRIPT, str(HERE.parent), str(out), "new"]
    child = subprocess.Popen(words)
    killer.child.append(child)
    assert child.wait(timeout=PATIENCE) == -signal.SIGKILL, proxy.seen[number:]
    found = read_directly(out, server)
    assert found == files_of("new" if point in ("after texts.json", "DELETE .lock") else "old")
    proxy.choose = lambda *_: ""
    publish(out, "new")
    assert read(out) == files_of("new")
    publish(out, "newest")
    folders = {each.name for each in out.iterdir()}
    assert len(folders) == 3, "the header, the set and the one before"


class Killer:
    """Kills a process before a request reaches the store; "after NAME": after that one."""

    def __init__(self, point: str, base: str) -> None:
        self.method, _, self.name = point.partition(" ")
        self.base, self.child, self.armed = base, [], False

    def __call__(self, _: int, method: str, path: str) -> str:
        name = path.partition("?")[0].removeprefix(self.base)
        below = name.partition("/")[2] if publication._FOLDER.match(name) else name
        if self.method == "after":
            hit, self.armed = self.armed, self.armed or (method, name) == ("PUT", self.name)
        else:
            # the header is in the folder too: the one of the set is meant
            hit = method == self.method and self.name in (
                {name} if self.name == OWNER else {name, below}
            )
        if hit:
            self.child[0].kill()
            self.child[0].wait()
            return "cut"
        return ""


def test_of_two_publishers_the_second_is_told_and_changes_nothing(stores):
    out = stores / "set"
    with (
        pytest.raises(LockedError, match="another run"),
        atomic_dir.publishing(out, OWNER, resume=True),
    ):
        publish(out, "two")
    assert not (out / OWNER).exists()


def test_a_run_whose_lock_was_taken_does_not_overwrite_the_other_set(s3):
    out = place(f"{s3}/set")
    publish(out, "old")
    with pytest.raises(LockedError), atomic_dir.publishing(out, OWNER, resume=True) as staging:
        jsonl.write_json(staging / OWNER, {"source": "x", "version": "slow"})
        objects.remove(out / lease.NAME)  # as somebody does who believes the run dead
        publish(out, "other")
    assert read(out) == files_of("other")


def test_a_header_that_changed_meanwhile_is_not_overwritten(s3, monkeypatch):
    """Even a run that wrongly believes that it holds the lock is stopped by the put."""
    out = place(f"{s3}/set")
    publish(out, "old")
    monkeypatch.setattr(lease.Lease, "check", lambda _: None)
    with (
        pytest.raises(LockedError, match="its output stays"),
        atomic_dir.publishing(out, OWNER, resume=True) as staging,
    ):
        objects.remove(out / lease.NAME)
        publish(out, "other")
        jsonl.write_json(staging / OWNER, {"source": "x", "version": "slow"})
    assert read(out) == files_of("other")


def test_many_publishers_at_once(s3):
    out = place(f"{s3}/set")
    publish(out, "old")
    barrier = threading.Barrier(4)

    def run(number: int) -> bool:
        barrier.wait()
        try:
            publish(out, f"v{number}")
        except LockedError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(run, range(4)))
    assert any(done)
    assert read(out) in [files_of(f"v{n}") for n, success in enumerate(done) if success]
    assert not (out / lease.NAME).exists()


def test_an_answer_that_is_lost_is_no_foreign_publication(proxy, s3):
    """The put succeeds, its answer is lost, and the second try finds another identity."""
    out = place(f"{s3}/set")
    publish(out, "old")
    lost = []

    def choose(_: int, method: str, path: str) -> str:
        if method == "PUT" and path.endswith(f"/set/{OWNER}") and not lost:
            lost.append(path)
            return "lost"
        return ""

    proxy.choose = choose
    publish(out, "new")
    assert lost
    assert read(out) == files_of("new")


def test_an_answer_to_the_lock_that_is_lost_locks_nobody_out(proxy, s3):
    out = place(f"{s3}/set")
    proxy.choose = lambda _, method, path: (
        "lost" if method == "PUT" and proxy.seen.count(f"PUT {path}") == 1 else ""
    )
    publish(out, "new")
    assert read(out) == files_of("new")


def test_files_of_others_are_not_replaced(stores):
    out = stores / "set"
    jsonl.write_json(out / "thesis.json", {})
    with pytest.raises(ConfigError, match="choose another"):
        publish(out, "one")
    assert [each.name for each in out.iterdir()] == ["thesis.json"]


@pytest.mark.parametrize("resume", [False, True])
def test_only_a_run_that_can_be_continued_leaves_its_staging_folder(stores, resume):
    out = stores / "set"
    with pytest.raises(DataError), atomic_dir.publishing(out, OWNER, resume=resume) as staging:
        jsonl.write_json(staging / "part", {})
        raise DataError("damaged")
    assert (atomic_dir.staging(out) / "part").exists() == resume
    assert not (out / OWNER).exists()


def test_a_kept_file_is_copied_once_from_the_old_set(proxy, s3):
    out = place(f"{s3}/set")
    publish(out, "old")
    old = publication.folder_of(out, OWNER)
    start = len(proxy.seen)
    with atomic_dir.publishing(out, OWNER, resume=True) as staging:
        jsonl.write_json(staging / OWNER, {"source": "x", "version": "new"})
        kept = {"train/same.jsonl": old / "train/same.jsonl"}
        atomic_dir.keep_only(staging, {OWNER, *kept}, kept)
    touched = [each for each in proxy.seen[start:] if "same.jsonl" in each]
    assert [each.split()[0] for each in touched if "GET" in each] == []
    assert len([each for each in touched if each.startswith("PUT")]) == 1
    assert read(out)["train/same.jsonl"] == b'"same"\n'
    assert set(read(out)) == {OWNER, "train/same.jsonl"}


def test_a_file_that_is_lost_on_the_way_stops_the_publishing(s3, monkeypatch):
    out = place(f"{s3}/set")
    publish(out, "old")
    copy = objects.copy
    monkeypatch.setattr(
        objects, "copy", lambda a, b: None if b.name == "same.jsonl" else copy(a, b)
    )
    with pytest.raises(StorageError, match="nothing was published"):
        publish(out, "new")
    assert read(out) == files_of("old")


def test_a_set_is_in_the_folder_of_its_digest(s3):
    out = place(f"{s3}/set")
    header = {"source": "x", "digest": "0123456789abcdef" * 4}
    with atomic_dir.publishing(out, manifest.NAME, resume=True) as staging:
        jsonl.write_records(staging / manifest.NAME, [header])
    assert publication.folder_of(out, manifest.NAME) == out / "0123456789abcdef"


@pytest.mark.parametrize("digest", ["../../../../../../etc", "", 5, None, "0123456789ABCDEF" * 4])
def test_a_digest_that_is_none_names_no_folder(digest):
    data = json.dumps({"digest": digest}).encode()
    assert manifest.folder_name({"digest": digest}) == ""
    assert publication._FOLDER.fullmatch(publication.name_of(data, manifest.NAME))


def holder(path: Path, **changes: object) -> None:
    jsonl.write_json(path, {**lease._holder(), "token": uuid.uuid4().hex, **changes})


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({"process": os.getppid(), "start": lease._start(os.getppid())}, False),
        ({}, True),  # of this process, which could not remove it
        ({"process": 2**22 + 7}, True),  # a process of this machine that has ended
        ({"start": "1"}, True),  # another process has its number now
        ({"machine": "other boot", "process": 2**22 + 7}, False),
        ({"machine": ""}, False),
    ],
)
def test_whose_lock_is_taken_over_at_once(s3, changes, taken):
    out = place(f"{s3}/set")
    holder(out / lease.NAME, **changes)
    if taken:
        publish(out, "new")
        assert read(out) == files_of("new")
    else:
        with pytest.raises(LockedError, match="10 minutes"):
            publish(out, "new")
        assert (out / lease.NAME).exists()


@pytest.mark.parametrize("silent", [False, True])
def test_a_lock_of_another_machine_ends_when_it_is_not_renewed(s3, monkeypatch, silent):
    out = place(f"{s3}/set")
    holder(out / lease.NAME, machine="another", host="another")
    monkeypatch.setattr(lease, "DEAD", -1.0 if silent else 600.0)
    if silent:
        publish(out, "new")
        assert read(out) == files_of("new")
    else:
        with pytest.raises(LockedError, match="on another"):
            publish(out, "new")


def test_a_damaged_lock_is_a_lock_until_it_is_old(s3, monkeypatch):
    out = place(f"{s3}/set")
    jsonl.write_lines(out / lease.NAME, ["{"])
    with pytest.raises(LockedError, match="unknown"):
        publish(out, "new")
    monkeypatch.setattr(lease, "DEAD", -1.0)
    publish(out, "new")


def test_a_lock_is_renewed_while_a_run_goes_on(s3):
    out = place(f"{s3}/set")
    with lease.held(out, renewed=0.05) as held:
        first = held.identity
        while held.identity == first:
            held.ended.wait(0.05)
        held.check()
        objects.remove(out / lease.NAME)
        with pytest.raises(LockedError):
            held.check()
    assert not (out / lease.NAME).exists()


def test_a_store_that_ignores_conditions_is_refused(proxy, s3):
    """Some servers that speak S3 answer such a put with "done"."""
    out = place(f"{s3}/set")
    proxy.deaf = True
    with pytest.raises(StorageError, match="ignores If-None-Match"):
        publish(out, "new")
    assert not (out / OWNER).exists()
