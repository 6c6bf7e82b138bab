"""Raw trees in an object store: the same inventory, texts and shards as from a disk, and faults.

No fault of the network or of the account may look like a fault of the files, and no message may
hold a key, a password or the name of an object.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import buckets
import pytest
import s3fs
from archiving import tarred, zipped
from faulty_proxy import FaultyProxy
from stages import build, params, run_scan, tree_bytes

from cxr_vlp.pipelines import errors, scan, shards, texts
from cxr_vlp.pipelines.cache import checksums
from cxr_vlp.pipelines.errors import ConfigError, DataError, IngestError, StorageError
from cxr_vlp.pipelines.files import paths, raw_objects
from cxr_vlp.pipelines.format.remote import store
from cxr_vlp.pipelines.records import Image
from cxr_vlp.pipelines.sources import reading
from cxr_vlp.pipelines.stages.source_files import SourceFiles
from cxr_vlp.pipelines.synthetic import layouts

COLLECTIONS = tuple(layouts.WRITERS)


@pytest.fixture(scope="session")
def tree_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives a small raw tree of a collection."""
    folder = tmp_path_factory.mktemp("trees")

    def made(source: str) -> Path:
        if not (folder / source).is_dir():
            layouts.writer(source)(folder, studies=6, seed=1, height=128)
        return folder / source

    return made


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 2)  # pauses between its tries are seconds


def upload(tree: Path, bucket: str) -> str:
    """Copy a tree to a bucket; return its address."""
    buckets.put(buckets.server(), tree, tree.name, bucket.removeprefix("s3://"))
    return f"{bucket}/{tree.name}"


def put(root: str, name: str, data: bytes) -> None:
    bucket, _, folder = root.removeprefix("s3://").partition("/")
    client: Any = boto3.client("s3")
    client.put_object(Bucket=bucket, Key=f"{folder}/{name}", Body=data)


def scanned(root: str | Path, source: str, out: Path, **sections: Any) -> dict[str, bytes]:
    """Return the files of an inventory."""
    file = params(out, **sections)
    run_scan(source, ["--root", str(root), "--params", str(file)], out)
    return tree_bytes(out / "scan" / source)


@pytest.mark.sampled(len(COLLECTIONS))
@pytest.mark.parametrize("source", COLLECTIONS)
def test_the_inventory_of_a_store_is_that_of_a_disk(source, tree_of, s3, tmp_path):
    root = upload(tree_of(source), s3)
    here = scanned(tree_of(source), source, tmp_path / "disk")
    assert scanned(root, source, tmp_path / "store") == here
    assert len(here) > 2


@pytest.mark.slow  # test_stages_in_a_store.py does it with one collection
@pytest.mark.parametrize("source", ["openi", "candid", "mimic", "rexgradient"])
def test_texts_and_shards_from_a_store_are_those_from_a_disk(source, tree_of, s3, tmp_path):
    root = upload(tree_of(source), s3)
    made = {
        name: build(Path(where) if name == "disk" else where, source, tmp_path / name)
        for name, where in (("disk", tree_of(source)), ("store", root))
    }
    for stage in ("scan", "texts", "shards"):
        of = [tree_bytes(tmp_path / name / stage) for name in made]
        assert of[0] == of[1], stage
    assert list(made["store"].glob("*/*.tar"))


def small(s3: str, *others: tuple[str, bytes]) -> str:
    """Put four files below a root, and return its address."""
    root = f"{s3}/raw"
    files = [
        ("table.csv", b"a,b\n1,2\n"),
        ("b/2.txt", b"two"),
        ("b/1.txt", b"one"),
        ("b-c/3.txt", b""),
    ]
    for name, data in (*files, *others):
        put(root, name, data)
    return root


def test_a_listing_has_the_order_of_a_walk_and_the_state_of_each_file(s3):
    root = paths.root(small(s3, ("b/", b"")))  # consoles of stores make such marks of folders
    listed = list(paths.listing(root))
    assert [each.path for each in listed] == ["table.csv", "b/1.txt", "b/2.txt", "b-c/3.txt"]
    assert list(paths.walk(root)) == [each.path for each in listed]
    for each in listed:
        now = paths.inside(root, each.path).stat()
        state = (each.size, each.mtime_ns, each.identity)
        assert state == (now.st_size, now.st_mtime_ns, str(now.st_ino))
        assert each.mtime_ns > 1.6e18
    assert len({each.identity for each in listed}) == 4


@pytest.mark.parametrize("name", ["a/../../secret", "a//b", "./c", "a/./b"])
def test_a_key_that_is_no_path_is_a_fault_and_no_file(s3, name):
    root = paths.root(small(s3, (name, b"x")))
    codes: list[str] = []
    assert name not in list(paths.walk(root, codes.append))
    assert codes == ["path.escape"]


@pytest.mark.parametrize("name", ["../raw/table.csv", "/table.csv", "a\0b", "", "b/../../x"])
def test_paths_that_leave_the_root_are_refused(s3, name):
    root = paths.root(small(s3))
    with pytest.raises(IngestError, match=r"path\.escape"):
        paths.inside(root, name)


@pytest.mark.parametrize("name", ["gone.txt", "b", "x" * 2000, "\udcff.txt", "table.csv/x"])
def test_a_file_that_is_not_there_is_absent(s3, name):
    root = paths.root(small(s3))
    path = paths.inside(root, name)
    assert not path.exists()
    for read in (path.stat, path.read_bytes, path.open):
        with pytest.raises(FileNotFoundError):
            read()
    assert paths.state(root, name).st_size == 0


def test_an_open_file_reads_lines_seeks_and_ends(s3, monkeypatch):
    monkeypatch.setattr(raw_objects, "FIRST", 1000)
    monkeypatch.setattr(raw_objects, "MOST", 4000)
    data = b"".join(b"line %d\n" % number for number in range(3000))
    root = paths.root(small(s3, ("long.txt", data)))
    path = paths.inside(root, "long.txt")
    with path.open("rb") as stream:
        assert list(stream) == data.splitlines(keepends=True)
    with path.open("rb") as stream:
        for place, size in ((20_000, 30), (5, 10), (len(data) - 5, 50), (len(data) + 9, 5)):
            assert stream.seek(place) == place
            assert stream.read(size) == data[place : place + size]
        assert stream.seek(-7, 2) == len(data) - 7
        assert stream.read() == data[-7:]
    assert path.open(encoding="utf-8").readline() == "line 0\n"
    assert paths.inside(root, "b-c/3.txt").open("rb").read() == b""
    assert paths.first(path, 12) == data[:12]
    with pytest.raises(PermissionError):
        path.open("wb")


def test_a_file_that_is_replaced_while_it_is_read_stops_the_run(s3, monkeypatch):
    monkeypatch.setattr(raw_objects, "FIRST", 1000)
    address = small(s3, ("long.txt", b"a" * 100_000))
    stream = paths.inside(paths.root(address), "long.txt").open("rb")
    stream.read(500)
    put(address, "long.txt", b"b" * 100_000)
    with pytest.raises(StorageError, match="a file changed while it was read"):
        stream.read()


def requests(proxy: FaultyProxy, ending: str) -> list[str]:
    return [each for each in proxy.seen if each.split("?")[0].endswith(ending)]


def test_a_run_lists_once_and_asks_once_for_each_image(proxy, s3, tree_of, tmp_path):
    root = upload(tree_of("nih"), s3)
    proxy.seen.clear()
    scanned(root, "nih", tmp_path)
    lists = [each for each in proxy.seen if "list-type=2" in each]
    assert len(lists) == 2  # whether the root is there, and all of it
    images = requests(proxy, ".png")
    assert len(images) == len(set(images)) > 5
    assert all(each.startswith("GET") for each in images)
    proxy.seen.clear()
    scanned(root, "nih", tmp_path)  # nothing changed
    assert not requests(proxy, ".png")
    assert len(proxy.seen) < 10


def test_a_worker_that_has_no_listing_asks_once_for_an_image(proxy, s3):
    address = small(s3)
    paths.root(address)
    proxy.seen.clear()
    digest = hashlib.sha256(b"one").hexdigest()
    assert SourceFiles(address).read(Image("k", "b/1.txt", digest)) == b"one"
    assert len(proxy.seen) == 1


def test_a_listing_of_several_pages_has_every_object_once(proxy, s3, monkeypatch):
    root = paths.root(small(s3))
    before = list(paths.listing(root))
    whole = store.page
    monkeypatch.setattr(store, "page", lambda *a, **k: whole(*a, **{"MaxKeys": 1, **k}))
    paths.root(str(root))
    proxy.seen.clear()
    assert list(paths.listing(root)) == before
    assert len(proxy.seen) == 4


@pytest.mark.sampled(2)
@pytest.mark.parametrize("fault", ["cut-answer", "slowdown", "busy", "error", "cut", "slow"])
def test_a_fault_that_passes_changes_nothing(fault, proxy, s3):
    address = small(s3, ("long.txt", b"0123456789" * 200_000))
    root = paths.root(address)
    proxy.choose = lambda number, *_: fault if number % 2 else ""
    assert len(list(paths.walk(root))) == 5
    assert paths.inside(root, "long.txt").read_bytes() == b"0123456789" * 200_000
    with paths.inside(root, "long.txt").open("rb") as stream:
        assert len(stream.read()) == 2_000_000


FAULTS = {
    "busy": "the store is busy",
    "cut": "the connection was cut",
    "cut-answer": "cut",
    "expired": "the credentials have expired",
    "denied": "access is denied",
}


def clean(said: str) -> None:
    """Check that a message holds no key, password, or name below the bucket."""
    for secret in ("AKIA", "secret-of", "/raw", "table.csv", "1.txt", ".png", "images/"):
        assert secret not in said


@pytest.mark.sampled(3)
@pytest.mark.parametrize("what", ["listing", "table", "report", "image"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_fails_is_no_fault_of_a_file(fault, what, proxy, s3):
    root = paths.root(small(s3))
    if what != "listing":
        raw_objects.listing(root)
    proxy.choose = lambda *_: fault
    reads = {
        "listing": lambda: list(paths.walk(root)),
        "table": lambda: paths.inside(root, "table.csv").open("rb"),
        "report": lambda: reading.of_file(paths.inside(root, "b/1.txt")),
        "image": lambda: SourceFiles(str(root)).read(Image("k", "b/1.txt")),
    }
    with pytest.raises(StorageError, match=FAULTS[fault]) as raised:
        reads[what]()
    assert s3 in str(raised.value)
    clean(str(raised.value))
    assert raised.value.__cause__ is None


def test_one_image_that_may_not_be_read_is_a_reject_and_no_stop(proxy, s3, tree_of, tmp_path):
    tree = tree_of("nih")
    root = upload(tree, s3)
    one = next(tree.rglob("*.png")).name
    proxy.choose = lambda _, __, path: "denied" if path.split("?")[0].endswith(one) else ""
    found = scanned(root, "nih", tmp_path)
    assert found["rejects.jsonl"].count(b"image.unreadable") == 1
    assert found["rejects.jsonl"].count(b"\n") == 1


@pytest.mark.sampled(3)
@pytest.mark.parametrize("stage", ["scan", "texts", "shards"])
def test_a_store_that_is_lost_ends_the_command_with_74(stage, proxy, s3, tree_of, tmp_path, capsys):
    root = upload(tree_of("openi"), s3)
    common = ["openi", "--root", root, "--params", str(params(tmp_path))]
    common += ["--state", str(tmp_path / ".cxr"), "--workers", "1"]
    folder = {name: str(tmp_path / name) for name in ("scan", "texts", "shards")}
    given = {
        "scan": [],
        "texts": ["--scan", folder["scan"]],
        "shards": ["--scan", folder["scan"], "--texts", folder["texts"]],
    }
    words = {name: [*common, *given[name], "--out", folder[name]] for name in given}
    mains = {"scan": scan.main, "texts": texts.main, "shards": shards.main}
    before = list(mains)[: list(mains).index(stage)]
    assert not any(mains[name](words[name]) for name in before)
    first = proxy.number + 1  # the root is seen to be there
    proxy.choose = lambda number, *_: "cut" if number > first else ""
    capsys.readouterr()
    assert errors.run(lambda: mains[stage](words[stage])) == 74
    said = capsys.readouterr().err
    assert "the connection was cut" in said
    clean(said)
    assert not (tmp_path / stage / "manifest.jsonl").exists()


@pytest.mark.parametrize(
    ("root", "kind", "said"),
    [
        ("s3://no-such-bucket-here/raw", StorageError, "the bucket does not exist"),
        ("{s3}/nothing", ConfigError, "no object below the root"),
        ("s3://user:secret@bucket/raw", ConfigError, "holds a user"),
        ("ftp://bucket/raw", ConfigError, "is an address"),
    ],
)
def test_a_root_that_cannot_be_used_is_named_with_the_remedy(root, kind, said, s3):
    with pytest.raises(kind, match=said) as raised:
        paths.root(root.format(s3=s3))
    clean(str(raised.value))


def test_no_credentials_are_said_at_once(s3, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    buckets.ask_environment()
    with pytest.raises(StorageError, match="no credentials were found"):
        paths.root(f"{s3}/raw")


def test_an_image_that_changes_or_vanishes_after_scan_is_found(s3):
    address = small(s3)
    paths.root(address)
    image = Image("k", "b/1.txt", hashlib.sha256(b"one").hexdigest())
    put(address, "b/1.txt", b"ONE")
    with pytest.raises(DataError, match=r"source\.changed"):
        SourceFiles(address).read(image)
    with pytest.raises(IngestError, match=r"image\.digest"):
        SourceFiles(address, official=True).read(image)
    with pytest.raises(DataError, match=r"source\.gone"):
        SourceFiles(address).read(Image("k", "gone.png", image.sha256))


def test_a_changed_object_is_seen_by_the_next_scan(s3, tree_of, tmp_path):
    tree = tree_of("nih")
    root = upload(tree, s3)
    before = scanned(root, "nih", tmp_path)
    one, other = sorted(tree.rglob("*.png"))[:2]
    put(root, one.relative_to(tree).as_posix(), other.read_bytes())
    after = scanned(root, "nih", tmp_path)
    assert before.keys() == after.keys()
    assert before != after


def test_members_of_a_zip_cost_one_request_each_and_a_tar_is_refused(proxy, s3, tmp_path):
    files = {f"images/{number}.png": bytes([number]) * 5000 for number in range(20)}
    data = zipped(tmp_path / "x.zip", files).read_bytes()
    address = small(s3, ("x.zip", data), ("y.tar", tarred(tmp_path / "y.tar", files).read_bytes()))
    root = paths.root(address)
    codes: list[str] = []
    names = [name for name in paths.walk(root, codes.append) if name.startswith("x.zip/")]
    assert codes == ["archive.packed"]
    assert len(names) == 20
    proxy.seen.clear()
    for name in names:
        path = paths.inside(root, name)
        assert path.read_bytes() == files[name.removeprefix("x.zip/")]
        assert path.stat().st_size == 5000
    assert len(proxy.seen) == 20
    assert "only a .zip is read in a store" in paths.packed(root)
    assert "1 .tar" in paths.summary(root)


def test_official_digests_are_read_from_a_store(s3, tree_of, tmp_path):
    tree = tree_of("mimic")
    official = {"sources": {"mimic": {"digests": "official"}}}
    here = scanned(tree, "mimic", tmp_path / "disk", **official)
    assert scanned(upload(tree, s3), "mimic", tmp_path / "store", **official) == here
    put(f"{s3}/none", "x.csv", b"x")
    with pytest.raises(ConfigError, match=r"there is no SHA256SUMS\.txt in the store"):
        list(checksums.of(paths.root(f"{s3}/none")))
