"""What workers of other machines install: their requirements, and the images of Containerfile.

No container engine is needed: what a build would copy and install is compared with the tree and the
lock. That an image builds and runs is not tested.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
LOCK = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().split())
WORKER = dict(line.split("==") for line in (ROOT / "requirements-worker.txt").read_text().split())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONTAINER = re.sub(r"\\\n\s*", "", (ROOT / "Containerfile").read_text())
INSTRUCTIONS = [
    tuple(line.split(maxsplit=1))
    for line in CONTAINER.splitlines()
    if line and not line.startswith("#")
]


def of(kind: str) -> list[str]:
    """Return what follows each instruction of a kind."""
    return [rest for name, rest in INSTRUCTIONS if name == kind]


ARGUMENTS = dict(text.split("=") for text in of("ARG") if "=" in text)


def filled(text: str) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda found: ARGUMENTS[found[1]], text)


# ---- requirements-worker.txt


def test_the_requirements_are_those_that_the_script_prints():
    script = ROOT / ".ci" / "requirements_worker.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout == (ROOT / "requirements-worker.txt").read_text()


def test_the_requirements_are_lines_of_the_lock():
    assert WORKER.items() <= LOCK.items()


def test_the_requirements_are_enough():
    """Each package that the core or a worker's extra needs here is among them."""
    extras = PROJECT["optional-dependencies"]
    left = [
        Requirement(each) for each in (*PROJECT["dependencies"], *extras["s3"], *extras["spark"])
    ]
    met = set()
    while left:
        each = left.pop()
        name = canonicalize_name(each.name)
        assert name in WORKER, f"{name} is missing"
        assert WORKER[name] in each.specifier, f"{each} is not met by {WORKER[name]}"
        for text in importlib.metadata.requires(name) or () if name not in met else ():
            found = Requirement(text)
            if found.marker is None or found.marker.evaluate({"extra": ""}):
                left.append(found)
        met.add(name)
    assert len(met) > 50


@pytest.mark.parametrize("name", ["torch", "torchvision", "dvc", "pytest", "moto", "mypy", "spacy"])
def test_what_no_worker_needs_is_not_among_them(name):
    assert name in LOCK
    assert name not in WORKER


WITHOUT_THE_OTHERS = """
import importlib.metadata, sys
from packaging.utils import canonicalize_name
worker, found = set(sys.argv[1:]) | {"cxr-vlp"}, importlib.metadata.packages_distributions()
class Absent:
    def find_spec(self, name, path=None, target=None):
        owners = found.get(name, ())
        if owners and not any(canonicalize_name(each) in worker for each in owners):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
import cxr_vlp.pipelines.engines.attempt, cxr_vlp.pipelines.engines.child
import cxr_vlp.pipelines.stages.shard_part, cxr_vlp.pipelines.stages.text_part
import cxr_vlp.pipelines.imaging.render, cxr_vlp.pipelines.imaging.dicom_pixels
import apache_beam, pyspark, s3fs
"""


def test_a_worker_imports_its_modules_where_nothing_else_is_installed():
    command = [sys.executable, "-c", WITHOUT_THE_OTHERS, *WORKER]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    command.remove("pydicom")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "No module named 'pydicom'" in done.stderr


# ---- Containerfile


def test_every_source_of_a_copy_is_there_and_reaches_the_build():
    rules = (ROOT / ".dockerignore").read_text().split("\n")
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    assert "*" in rules  # everything else stays out
    sources = [s for text in of("COPY") if "--from=" not in text for s in text.split()[:-1]]
    assert len(sources) > 5
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source in let_in, source
    assert let_in == set(sources)  # and nothing is let in that is not copied


def test_every_stage_that_is_copied_from_comes_before():
    seen: list[str] = []
    for kind, rest in INSTRUCTIONS:
        if kind == "FROM":
            image, _, name = rest.partition(" AS ")
            assert name, rest
            if image not in seen:
                assert re.fullmatch(r"docker\.io/[a-z0-9._/-]+:[a-z0-9.-]+", filled(image)), image
            seen.append(name)
        for stage in re.findall(r"--from=(\S+)", rest) if kind == "COPY" else ():
            assert stage in seen[:-1], stage
    assert seen[-2:] == ["beam", "spark"]


def test_the_versions_are_those_of_the_lock():
    assert ARGUMENTS["BEAM"] == LOCK["apache-beam"]
    assert ARGUMENTS["SPARK"] == LOCK["pyspark"]
    # the lock of this project is one for both minor versions; a run and its workers share one
    assert re.fullmatch(r"3\.1[12]", ARGUMENTS["PYTHON"])
    assert "java17" in CONTAINER
    assert "openjdk-17-jre-headless" in CONTAINER


def test_the_images_install_what_the_wheel_needs():
    assert any("--no-deps --requirement /tmp/requirements-worker.txt" in run for run in of("RUN"))
    packed = {source for text in of("COPY") for source in text.split()[:-1]}
    for needed in ("pyproject.toml", "README.md", "LICENSE", ".src", "nlp", "pipelines", "train"):
        assert needed in packed, needed
    links = [path for path in (ROOT / ".src" / "cxr_vlp").iterdir() if path.is_symlink()]
    assert {path.name for path in links} == {"nlp", "pipelines", "train"}


def test_the_workers_of_an_image_are_not_root():
    for name in ("beam", "spark"):
        stage = CONTAINER.partition(f" AS {name}\n")[2].partition("\nFROM ")[0]
        assert "USER worker" in stage
        assert "\nENTRYPOINT [" in stage


def test_spark_is_where_the_image_says():
    """SPARK_HOME of the image is the folder of pyspark: PyPI's package holds the whole of Spark."""
    home = next(text for text in of("ENV") if "SPARK_HOME" in text)
    assert filled(home).startswith(
        f"SPARK_HOME=/usr/local/lib/python{ARGUMENTS['PYTHON']}/site-packages/pyspark"
    )
    files = {str(path) for path in importlib.metadata.files("pyspark") or ()}
    assert "pyspark/bin/spark-class" in files
    assert any(re.fullmatch(r"pyspark/jars/spark-kubernetes_.*\.jar", name) for name in files)
