"""The engine `spark`: on this machine, and on a standalone cluster that the tests start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cluster
import hazards
import pytest
from stages import params, run_scan, tree_bytes
from works import CANARY, Told

from cxr_vlp.pipelines import shards, texts
from cxr_vlp.pipelines.engines import driver, isolation, spark_checks, spark_engine, watch
from cxr_vlp.pipelines.engines.attempt import Task
from cxr_vlp.pipelines.engines.base import Element, RunSettings
from cxr_vlp.pipelines.engines.results_place import ResultsPlace
from cxr_vlp.pipelines.engines.spark_engine import SparkEngine
from cxr_vlp.pipelines.errors import ConfigError, DataError, EngineError

ROOT = Path(__file__).resolve().parents[3]


def settings(folder: Path, **options: Any) -> RunSettings:
    return RunSettings("texts", "mimic", 1, folder / "state", folder / "results", **options)


def element(name: str, what: str = "answer", **values: Any) -> Element:
    return Element(name, {"what": what, **values})


def run(folder: Path, master: str, *elements: Element, **options: Any) -> dict[str, Any]:
    """Return name -> result of elements whose work writes into `folder`."""
    work = Told(str(folder))
    return driver.run(work, elements, settings(folder.parent, **options), SparkEngine(master))


def attempts(folder: Path, name: str) -> int:
    return len((folder / name).read_text().splitlines())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder into which the work writes its attempts."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def quiet_spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spark of this process, without settings of this machine's user."""
    cluster.needed()
    for name, value in cluster.environment(tmp_path).items():
        monkeypatch.setenv(name, value)


# ---- before Spark starts


@pytest.mark.parametrize(
    "master",
    [
        "spark://h:7077",
        "spark://a:1,b:2",
        "spark://[::1]:7077",
        "local",
        "local[2]",
        "local[*]",
        "local[2,3]",
    ],
)
def test_masters_that_were_run(master):
    cluster.needed()
    assert spark_checks.problem(master) == ""


@pytest.mark.parametrize("master", ["yarn", "k8s://https://h:6443"])
def test_masters_that_were_not_run_are_named(master):
    cluster.needed()
    assert "has never been run with this program" in spark_checks.problem(master)


@pytest.mark.parametrize(
    "master",
    [
        "",
        "h:7077",
        "http://h:7077",
        "spark://",
        "mesos://h",
        "Yarn",
        "spark://h",
        "spark://h:abc",
        "spark://h:7077/x",
        "spark://a:1,b",
        "local[0]",
        "local[abc]",
        "local[]",
        "local[-1]",
    ],
)
def test_what_is_no_master_is_refused(master):
    with pytest.raises(ConfigError, match="use spark://HOST:PORT"):
        spark_checks.problem(master)


def test_without_pyspark_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(ConfigError, match=r"pip install 'cxr-vlp\[spark\]'"):
        spark_checks.problem("local")


def test_without_java_the_message_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="none on the PATH: install Java 17"):
        spark_checks.problem("local")


def test_a_java_home_without_java_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=r"at JAVA_HOME \(.*openjdk-17-jre-headless"):
        spark_checks.problem("local")


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ('openjdk version "11.0.2" 2019-01-15', "is 11"),
        ('java version "1.8.0_392"', "is 8"),
        ('openjdk version "16" 2021-03-16', "is 16"),
        ("no Java here", "is of an unknown version"),
        ('openjdk version "17.0.15" 2025-04-15', ""),
        ('openjdk version "21" 2023-09-19', ""),
        ('openjdk version "17-ea" 2021-09-14', ""),
    ],
)
def test_the_version_of_java(said, known, monkeypatch, tmp_path):
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho '{said}' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    if known:
        with pytest.raises(ConfigError, match=f"{known}: install Java 17"):
            spark_checks.problem("local")
    else:
        assert spark_checks.problem("local") == ""


def test_a_master_where_nobody_listens_ends_at_once(folder):
    with pytest.raises(EngineError, match=r"no Spark master answers at spark://127\.0\.0\.1:1"):
        run(folder, "spark://127.0.0.1:1", element("a"))
    assert not list(folder.iterdir())


class Unanswered(Exception):  # noqa: N818 - as py4j's exceptions when Java has ended
    """Its message is Java's, and Java has ended."""

    def __str__(self) -> str:
        raise ConnectionRefusedError(111, "Connection refused")


def test_an_error_whose_message_nobody_can_give_any_more_has_a_reason():
    assert "Java process on this machine has ended" in spark_engine._reason(Unanswered())


def cluster_of(place: ResultsPlace) -> spark_engine._Cluster:
    """A cluster that nobody looks at, with one element."""
    task = Task({}, b"", 1.0)
    return spark_engine._Cluster(None, "spark://h:1", spark_engine.Order(task, place, 1.0), {"a"})


def test_a_step_inside_a_long_element_is_progress(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
    made, seen = cluster_of(ResultsPlace(tmp_path, "task")), watch.Watch(10.0, 1)
    for step in ("1", "2"):
        now[0] += 10.0
        made.steps = {"a": step}
        made.check(seen)
    now[0] += 10.0
    made.check(seen)  # the same step, at the limit
    now[0] += 0.1
    with pytest.raises(EngineError, match="a are begun"):
        made.check(seen)


# ---- on this machine


@pytest.mark.slow
def test_outcomes_come_back_and_faults_of_the_machine_are_tried_again(folder, quiet_spark):
    handler = signal.getsignal(signal.SIGINT)
    engine = SparkEngine("local[2]")
    elements = [element("a", value=[1, {"é": None}]), element("b", "cut", times=2),
                element("c", "refuse"), element("d", "bug")]  # fmt: skip
    found = {o["name"]: o for o in engine.map(Told(str(folder)), elements, settings(folder))}
    assert found["a"] == {"name": "a", "result": {"name": "a", "value": [1, {"é": None}]}}
    assert found["b"]["result"]["name"] == "b"
    assert attempts(folder, "b") == 3
    assert found["c"]["fault"] == ["DataError", "csv.ragged: c: the table is damaged"]
    assert attempts(folder, "c") == 1
    assert found["d"]["fault"][0] == "DataError"
    assert "KeyError at works.py" in found["d"]["fault"][1]
    assert CANARY not in str(found)
    assert signal.getsignal(signal.SIGINT) is handler


# ---- on a cluster


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Cluster]:
    """A cluster with two workers of one core each."""
    cluster.needed()
    with cluster.running(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.mark.slow
def test_the_elements_of_a_killed_executor_are_done_by_the_other(folder, two, quiet_spark):
    names = [f"e{number}" for number in range(6)]
    elements = [element(name, "wait", seconds=60 if name == "e1" else 0.2) for name in names]
    killer = threading.Thread(target=kill_the_executor_of, args=(folder / "e1",))
    killer.start()
    assert list(run(folder, two.master, *elements)) == names
    killer.join()
    assert attempts(folder, "e1") == 2
    assert sum(attempts(folder, name) for name in names) == 7


def kill_the_executor_of(log: Path) -> None:
    """Kill the executor whose process has written its id into a file."""
    until = time.monotonic() + cluster.PATIENCE
    while not (log.exists() and log.read_text()) and time.monotonic() < until:
        time.sleep(0.1)
    os.kill(cluster.executor_of(int(log.read_text())), signal.SIGKILL)


@pytest.mark.slow
def test_a_fault_of_every_attempt_ends_the_run_and_no_log_quotes_it(folder, two, quiet_spark):
    with pytest.raises(EngineError, match=r"engine\.failed: q: ConnectionError;") as caught:
        run(folder, two.master, element("p"), element("q", "quote"))
    assert attempts(folder, "q") == 4
    with pytest.raises(EngineError, match=r"by peer \(/raw/p\.\.\./s1.txt\)"):
        run(folder, two.master, element("r", "cut", times=9))
    with pytest.raises(DataError, match="KeyError"):
        run(folder, two.master, element("s", "bug"))
    logs = two.logs()
    assert "machine: q: ConnectionError" in logs  # they are the right logs
    for secret in (CANARY, "12345678"):
        assert secret not in f"{logs}{caught.value}"


@pytest.mark.slow
def test_a_run_that_makes_no_progress_ends(folder, two, quiet_spark):
    with pytest.raises(
        EngineError, match=r"engine\.stalled: nothing finished for \d+ seconds, 0 of"
    ):
        run(folder, two.master, element("b", "sleep", seconds=300), stalled=15)


@pytest.mark.slow
def test_the_driver_sees_the_steps_of_a_long_element(folder, two, quiet_spark, monkeypatch):
    moved: list[int] = []
    monkeypatch.setattr(spark_engine, "BEAT", 0.5)
    monkeypatch.setattr(watch.Watch, "moved", lambda _: moved.append(1))
    steps = hazards.SlowImages(1.0, 15, images_are_copied=True, isolated=False)
    found = driver.run(steps, [Element("a")], settings(folder), SparkEngine(two.master))
    assert found == {"a": {"images": 15}}
    assert len(moved) > 2


@pytest.mark.slow
def test_a_cluster_without_workers_ends_with_a_message(folder, tmp_path, quiet_spark):
    with (
        cluster.running(tmp_path, workers=()) as empty,
        pytest.raises(EngineError, match=r"0 of 1 done; no worker has begun"),
    ):
        run(folder, empty.master, element("a"), stalled=3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "said"),
    [
        ("", "worker.differs: a worker cannot import cxr_vlp.pipelines: install the wheel"),
        ("0.1.0", r"worker.differs: a worker has cxr-vlp 0.1.0 \(the run has .*\), code "),
    ],
)
def test_a_worker_with_another_version_does_nothing(package, said, folder, tmp_path, quiet_spark):
    other = tmp_path / "other" / "cxr_vlp"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text(f"__version__ = '{package}'\n")
    for room in ("nlp", "pipelines") if package else ():
        subprocess.run(["cp", "-rL", ROOT / room, other], check=True)
    if package:
        with (other / "pipelines" / "codes.py").open("a") as module:
            module.write("# changed\n")
    with cluster.running(tmp_path, workers=()) as made:
        made.add_worker("old", PYTHONPATH=os.pathsep.join((str(other.parent), str(cluster.HERE))))
        with pytest.raises(EngineError, match=said):
            run(folder, made.master, element("a"))
    assert not list(folder.iterdir())


SENT = """
import sys
from pathlib import Path
from works import Told
from cxr_vlp.pipelines.engines import driver
from cxr_vlp.pipelines.engines.base import Element, RunSettings
from cxr_vlp.pipelines.engines.spark_engine import SparkEngine
folder = Path(sys.argv[2])
settings = RunSettings("texts", "mimic", 1, folder, folder)
found = driver.run(Told(str(folder)), [Element("a", {"what": "where"})], settings,
                   SparkEngine(sys.argv[1]))
print(found["a"]["package"])
"""


@pytest.mark.slow
def test_the_code_of_an_archive_reaches_a_worker_that_has_none(folder, tmp_path):
    """The archive is the wheel under another name: Spark unpacks .zip, and not .whl."""
    (tmp_path / "sources").mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", ".src", "nlp", "pipelines", "train"):
        subprocess.run(["cp", "-r", ROOT / name, tmp_path / "sources"], check=True)
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    pip = [sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", str(tmp_path)]
    subprocess.run([*pip, str(tmp_path / "sources")], check=True)
    archive = next(tmp_path.glob("*.whl")).rename(tmp_path / "cxr_vlp.zip")
    with cluster.running(tmp_path, workers=()) as made:
        with (tmp_path / "spark-defaults.conf").open("a") as defaults:
            defaults.write(f"spark.archives {archive}#code\n")
            defaults.write(f"spark.executorEnv.PYTHONPATH code:{cluster.HERE}\n")
        made.add_worker("bare", PYTHONPATH=str(cluster.HERE))
        done = start([sys.executable, "-c", SENT, made.master, str(folder)], tmp_path)
        said = done.communicate(timeout=cluster.PATIENCE)[0]
    assert done.returncode == 0, said
    assert Path(said.split()[-1]).is_relative_to(tmp_path / "bare-work")


@pytest.mark.slow
def test_a_worker_that_lacks_the_disk_of_the_driver_says_so(folder, tmp_path, quiet_spark):
    if not cluster.can_hide():
        pytest.skip("this user may not mount a folder for one process")
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "part.jsonl").touch()
    with cluster.running(tmp_path, workers=()) as made:
        made.add_worker("apart", hidden=[tmp_path / "inventory"])
        with pytest.raises(EngineError, match=r"worker\.apart: .* give s3://"):
            run(folder, made.master, element("a"), reads=(str(tmp_path / "inventory"),))
    assert not list(folder.iterdir())


# ---- stages


@pytest.fixture(scope="module")
def scanned(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scan/, texts/ and shards/ of mimic, made in this process."""
    out = tmp_path_factory.mktemp("beam")
    run_scan("mimic", common(raw, out), out)
    for main, words in stages(out, out):
        assert main(["mimic", *common(raw, out), *words]) == 0
    return out


def common(raw: Path, out: Path) -> list[str]:
    state = ["--state", str(out / ".cxr")]
    return ["--root", str(raw / "mimic"), "--params", str(params(out)), *state]


def stages(built: Path, out: Path) -> list[tuple[Any, list[str]]]:
    """Return texts and shards with their folders: inputs of `built`, outputs below `out`."""
    scan = ["--scan", str(built / "scan" / "mimic")]
    made = ["--texts", str(built / "texts" / "mimic")]
    return [
        (texts.main, [*scan, "--out", str(out / "texts" / "mimic")]),
        (shards.main, [*scan, *made, "--out", str(out / "shards" / "mimic")]),
    ]


def same(one: Path, other: Path, stage: str) -> bool:
    found = tree_bytes(one / stage / "mimic")
    return len(found) > 5 and found == tree_bytes(other / stage / "mimic")


@pytest.mark.slow
def test_texts_and_shards_have_the_bytes_of_beams(raw, scanned, two, tmp_path, quiet_spark):
    for main, words in stages(scanned, tmp_path):
        spark = ["--engine", "spark", "--master", two.master]
        assert main(["mimic", *common(raw, tmp_path), *words, *spark]) == 0
    assert same(scanned, tmp_path, "texts")
    assert same(scanned, tmp_path, "shards")


@pytest.mark.slow
def test_the_part_of_a_killed_executor_is_built_again(raw, scanned, two, tmp_path):
    """Shards in a process of its own; an executor dies while its child decodes."""
    _, words = stages(scanned, tmp_path)[1]
    command = [sys.executable, "-m", "cxr_vlp", "shards", "mimic", *common(raw, tmp_path), *words]
    done = start([*command, "--engine", "spark", "--master", two.master], tmp_path)
    until = time.monotonic() + cluster.PATIENCE
    at_work: set[int] = set()
    while not at_work and time.monotonic() < until and done.poll() is None:
        at_work = cluster.executors_at_work(isolation.MODULE)
    for executor in list(at_work)[:1]:
        os.kill(executor, signal.SIGKILL)
    said = done.communicate(timeout=cluster.PATIENCE)[0]
    assert at_work, said
    assert done.returncode == 0, said
    assert same(scanned, tmp_path, "shards")
    assert "Executor" not in said


def start(words: Sequence[str], folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=cluster.environment(folder), cwd=folder,
    )  # fmt: skip
