"""A second lab trains on shards that it pulled, without the raw trees, the inventory and the salt.

Lab A has two collections: `mimic` with the publisher's ids, `openi` with salted ones. It pushes to
a folder and to an S3 server on this machine.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from cxr_vlp.pipelines.synthetic.layouts import mimic, openi

ROOT = Path(__file__).resolve().parents[1]
TRACKED = (".dvcignore", ".gitignore", ".src", "dvc.yaml", "nlp", "pipelines", "train")
SALT = "6f1d0c5be2a94d7783b5a0c4e9f21d38"
RECIPE = "recipe@cxrclip_tiny"
SHORT = {"run": {"steps": 4, "validate_every": 2, "batch_size": 8}}
KEYS = {"AWS_ACCESS_KEY_ID": "lab", "AWS_SECRET_ACCESS_KEY": "secret"}


@dataclass(frozen=True)
class Lab:
    """A checkout and its environment: what is not in it, a command does not see."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str, code: int = 0) -> str:
        """Run a command under `umask 077`; return what it wrote. Fails for another exit code."""
        # the tools of the environment that runs the tests, whether it is activated or not
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ours = {"PATH": path, "DVC_NO_ANALYTICS": "1", "PYTHONPATH": str(ROOT / ".src")}
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "CXR_"))}
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**inherited, **ours, **self.variables},
            umask=0o077,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def commit(self, why: str) -> None:
        """Record everything in git."""
        who = ("-c", "user.name=lab", "-c", "user.email=lab@example.org")
        self.run("git", "add", "--all")
        self.run("git", *who, "commit", "--quiet", "--message", why)

    def change(self, **sections: dict) -> None:
        """Change sections of params.yaml."""
        path = self.folder / "params.yaml"
        params = yaml.safe_load(path.read_text())
        for name, values in sections.items():
            params[name] |= values
        path.write_text(yaml.safe_dump(params))


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of every file by its name; locks of the stages are none of the set."""
    found = {path.relative_to(folder).as_posix(): path for path in files(folder)}
    return {name: p.read_bytes() for name, p in found.items() if not p.name.startswith(".")}


def ran(said: str) -> list[str]:
    """Return the stages that `dvc repro` ran or would run."""
    lines = (line for line in said.splitlines() if line.startswith("Running stage"))
    return [line.split("'")[1] for line in lines]


def checkout(folder: Path) -> None:
    """Copy the project's files, as a clone has them."""
    ignore = shutil.ignore_patterns("__pycache__")
    for name in TRACKED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy(ROOT / name, folder / name)


# ---- quick


def test_without_the_raw_tree_the_documented_command_runs_no_stage_that_reads_it(tmp_path):
    lab = Lab(tmp_path)
    checkout(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    lab.run("git", "init", "--quiet")
    lab.run("dvc", "init", "--quiet")
    for name in ("data/shards/mimic", "models/cxrclip_tiny", "reports/evaluate/cxrclip_tiny"):
        (tmp_path / name).mkdir(parents=True)  # a dry run, too, looks at what its stages read
    (tmp_path / "data/recipes").mkdir()
    (tmp_path / "data/recipes/cxrclip_tiny.yaml").touch()
    said = lab.run("dvc", "repro", "--dry", "--downstream", RECIPE)
    steps = ["train@cxrclip_tiny", "evaluate@cxrclip_tiny", "report"]
    assert ran(said) == [RECIPE, *steps]


# ---- the whole way


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An S3 server on this machine with the bucket `labs`; yields its address."""
    boto3 = pytest.importorskip("boto3")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    names = dict(zip(("aws_access_key_id", "aws_secret_access_key"), KEYS.values(), strict=True))
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **names)
    client.create_bucket(Bucket="labs")
    yield address
    server.stop()


@pytest.fixture(scope="module")
def lab_a(tmp_path_factory: pytest.TempPathFactory, bucket: str) -> Lab:
    """Lab A after `dvc repro report` and `dvc push` to a folder and to the bucket."""
    top = tmp_path_factory.mktemp("labs")
    raw = top / "hospital"
    lab = Lab(top / "a", {"LAB_SALT": SALT, "OPENI_ROOT": str(raw / "openi"), **KEYS})
    lab.folder.mkdir()
    checkout(lab.folder)
    mimic.write(lab.folder / "data/synthetic", studies=24, seed=1, height=96)
    openi.write(raw, studies=24, seed=1, height=96, views=True)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["collections"] = ["mimic", "openi"]
    params["sources"]["openi"] |= {"ids": "salted", "root": "env:OPENI_ROOT"}
    params["scan"]["salt"] = "env:LAB_SALT"
    params["shards"]["side"] = 64
    params["train"]["overrides"] = SHORT
    params["evaluate"] |= {"resamples": 20, "min_positives": 1}
    (lab.folder / "params.yaml").write_text(yaml.safe_dump(params))
    lab.run("git", "init", "--quiet", "--initial-branch=main")
    lab.run("dvc", "init", "--quiet")
    lab.run("dvc", "remote", "add", "--default", "store", str(top / "remote"))
    lab.run("dvc", "remote", "add", "s3", "s3://labs/cxr")
    lab.run("dvc", "remote", "modify", "s3", "endpointurl", bucket)
    lab.run("dvc", "repro", "report")
    lab.commit("shards, a model and its scores")
    lab.run("dvc", "push")
    lab.run("dvc", "push", "--remote", "s3", "shards")
    # what others reach: the repository without the work tree, and the remotes
    lab.run("git", "clone", "--quiet", "--bare", str(lab.folder), str(top / "a.git"))
    return lab


@pytest.fixture
def clone(lab_a: Lab, tmp_path: Path) -> Lab:
    """A clone in another lab, which has neither the raw trees nor the salt."""
    lab = Lab(tmp_path / "b")
    lab_a.run("git", "clone", "--quiet", published(lab_a), str(lab.folder))
    return lab


def published(lab: Lab) -> str:
    return f"file://{lab.folder.parent / 'a.git'}"


@pytest.mark.slow
def test_no_source_id_salt_or_root_of_a_salted_collection_leaves_the_first_lab(lab_a):
    with (lab_a.folder / "data/scan/openi/ids.csv").open() as stream:
        ids = {row[name] for row in csv.DictReader(stream) for name in ("study", "image")}
    assert len(ids) > 20
    forms = {form for text in ids if len(text) > 4 for form in (text, text.upper())}
    secrets = [text.encode() for text in (*forms, SALT, lab_a.variables["OPENI_ROOT"])]
    remote = files(lab_a.folder.parent / "remote")
    tracked = lab_a.run("git", "ls-files").splitlines()
    assert "dvc.lock" in tracked
    synthetic = ("pipelines/synthetic", "pipelines/sources")  # invented ids stand in the code
    seen = [lab_a.folder / name for name in tracked if not name.startswith(synthetic)]
    assert len(remote) > 30
    for path in (*remote, *seen):
        content = path.read_bytes() if path.is_file() else b""
        assert not [text for text in secrets if text in content], path


@pytest.mark.slow
def test_no_raw_file_and_no_inventory_is_in_the_remote(lab_a):
    stored = {path.read_bytes() for path in files(lab_a.folder.parent / "remote")}
    kept = [lab_a.folder / "data/scan", lab_a.folder / "data/synthetic/mimic"]
    private = [path for folder in kept for path in files(folder) if path.stat().st_size > 2]
    assert len(private) > 40
    # a file of rejects may be empty in every stage
    assert not [path for path in private if path.read_bytes() in stored]


@pytest.mark.slow
def test_a_clone_trains_evaluates_and_reports_without_the_raw_tree(clone):
    clone.run("dvc", "pull", "shards")
    assert "valid" in clone.run("cxr-vlp", "verify", "data/shards")
    clone.change(train={"seed": 7})
    said = clone.run("dvc", "repro", "--downstream", RECIPE)
    assert ran(said)[-3:] == ["train@cxrclip_tiny", "evaluate@cxrclip_tiny", "report"]
    metrics = "reports/evaluate/cxrclip_tiny/summary.json"
    assert "macro_auroc" in json.loads((clone.folder / metrics).read_text())
    assert (clone.folder / "reports/site/index.html").is_file()
    assert not (clone.folder / "data/scan").exists()
    assert ran(clone.run("dvc", "repro", "--downstream", RECIPE)) == []


@pytest.mark.slow
def test_a_repro_that_starts_at_the_raw_tree_says_how_to_start_later(clone):
    clone.run("dvc", "pull", "shards")
    before = contents(clone.folder / "data/shards")
    clone.variables.update(LAB_SALT=SALT, OPENI_ROOT=str(clone.folder / "absent"))
    said = clone.run("dvc", "repro", "report", code=255)
    assert "dvc repro --downstream recipe@RECIPE" in said
    assert contents(clone.folder / "data/shards") == before


@pytest.mark.slow
def test_what_is_pulled_under_umask_077_is_private(clone):
    clone.run("dvc", "pull", "shards")
    found = [clone.folder, *files(clone.folder / "data"), *(clone.folder / "data").rglob("*")]
    assert [path for path in found if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


@pytest.mark.slow
def test_shards_come_from_a_bucket_and_a_missing_key_is_named(clone):
    pull = ("dvc", "pull", "--remote", "s3", "shards")
    assert "Unable to locate credentials" in clone.run(*pull, code=1)
    clone.variables.update(KEYS)
    clone.run(*pull)
    assert "valid" in clone.run("cxr-vlp", "verify", "data/shards", "--deep")
    assert "are in sync" in clone.run("dvc", "status", "--cloud", "--remote", "s3", "shards")


@pytest.mark.slow
def test_a_push_of_everything_to_a_bucket_leaves_the_inventory_and_raw_files(lab_a, bucket):
    boto3 = pytest.importorskip("boto3")
    lab_a.run("dvc", "push", "--remote", "s3")
    names = dict(zip(("aws_access_key_id", "aws_secret_access_key"), KEYS.values(), strict=True))
    client = boto3.client("s3", endpoint_url=bucket, region_name="us-east-1", **names)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="labs", Prefix="cxr/")
    keys = [row["Key"] for page in pages for row in page["Contents"]]
    stored = {client.get_object(Bucket="labs", Key=key)["Body"].read() for key in keys}
    texts = [path.read_bytes() for path in files(lab_a.folder / "data/texts")]
    assert {data for data in texts if len(data) > 2} <= stored  # everything else was pushed
    kept = [lab_a.folder / "data/scan", lab_a.folder / "data/synthetic/mimic"]
    private = [path for folder in kept for path in files(folder) if path.stat().st_size > 2]
    assert len(private) > 40
    assert not [path for path in private if path.read_bytes() in stored]


@pytest.mark.slow
def test_a_push_that_was_cut_off_is_finished_by_the_next(lab_a, tmp_path):
    remote = tmp_path / "cut"
    lab_a.run("dvc", "remote", "add", "--local", "cut", str(remote))
    push = ("dvc", "push", "--remote", "cut", "shards@mimic")
    lab_a.run(*push)
    whole = files(remote)
    # DVC writes the list of a folder last: a push that was killed has no list and some of the files
    lists = [path for path in whole if path.suffix == ".dir"]
    cut = [*lists, *sorted(whole - set(lists))[::2]]
    for path in cut:
        path.unlink()
    assert f"{len(cut)} file" in lab_a.run(*push)
    assert files(remote) == whole


@pytest.mark.slow
def test_one_tar_or_one_split_can_be_had_alone(lab_a, tmp_path):
    lab = Lab(tmp_path)
    split = "data/shards/openi/validate"
    lab.run("dvc", "get", published(lab_a), f"{split}/openi-validate-00000.tar")
    lab.run("dvc", "get", published(lab_a), split, "-o", "validate")
    assert {p.name for p in files(tmp_path / "validate")} == {
        "openi-validate-00000.tar",
        "sizes.json",
    }
    alone = (tmp_path / "openi-validate-00000.tar").read_bytes()
    assert alone == (lab_a.folder / split / "openi-validate-00000.tar").read_bytes()


@pytest.mark.slow
def test_the_inventory_cannot_be_had(lab_a, tmp_path):
    lab = Lab(tmp_path)
    lab.run("dvc", "get", published(lab_a), "data/scan/openi", "-o", "scan", code=255)
    assert files(tmp_path) == set()


@pytest.mark.slow
def test_the_example_trains_on_imported_shards_and_an_update_brings_one_tar(lab_a, tmp_path):
    lab = Lab(tmp_path / "c")
    shutil.copytree(ROOT / "examples/second_lab", lab.folder)
    lab.change(train={"overrides": SHORT}, evaluate={"resamples": 20, "min_positives": 1})
    lab.run("git", "init", "--quiet")
    lab.run("dvc", "init", "--quiet")
    (lab.folder / "data").mkdir()
    lab.run("dvc", "import", published(lab_a), "data/shards", "-o", "data/shards")
    assert ran(lab.run("dvc", "repro")) == ["verify", "train", "evaluate", "report"]
    assert json.loads((lab.folder / "reports/verify.json").read_text())["breaches"] == []
    lab.commit("first model")

    report = sorted((lab_a.folder / "data/synthetic/mimic").rglob("s5*.txt"))[0]
    report.write_text(report.read_text() + "\n There is a small left pleural effusion.\n")
    remote = lab_a.folder.parent / "remote"
    before = files(remote)
    lab_a.run("dvc", "repro", "shards@mimic")
    lab_a.commit("a corrected report")
    lab_a.run("dvc", "push", "shards")
    lab_a.run("git", "push", "--quiet", published(lab_a), "main")
    tars = [path for path in files(remote) - before if path.read_bytes()[257:262] == b"ustar"]
    assert len(tars) == 1

    lab.run("dvc", "update", "data/shards.dvc")
    assert contents(lab.folder / "data/shards") == contents(lab_a.folder / "data/shards")
    assert "train" in ran(lab.run("dvc", "repro"))


@pytest.mark.slow
def test_imported_shards_are_not_pushed_on(lab_a, tmp_path):
    lab = Lab(tmp_path / "d")
    lab.folder.mkdir()
    lab.run("git", "init", "--quiet")
    lab.run("dvc", "init", "--quiet")
    lab.run("dvc", "import", published(lab_a), "data/shards/openi")
    lab.run("dvc", "remote", "add", "--default", "own", str(tmp_path / "own"))
    lab.run("dvc", "push")
    assert not files(tmp_path / "own")
