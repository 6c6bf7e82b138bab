"""Fixtures of the pipeline tests.

`raw` (synthetic trees of all four collections, 14 studies each, made once per session), `built`
(their shards), `faulty` (MIMIC and CheXpert trees with damaged files), `launcher` (runs stages in
separate processes), `scenes` (folders before a run that will fail), `out` and `variant` (trees for
the tests of the synthetic collections). All processes of a test run share `raw`, `built`, `faulty`
and `out`, which tests only read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import scenes as scene_builder
from launching import Launcher
from layouts import SMALL, WRITERS
from scenes import Scene
from shared_runs import made_once
from stages import build

from cxr_vlp.pipelines import interrupts
from cxr_vlp.pipelines.executor.pool import VERIFY_MODULES

WORKER_MODULES = ("cxr_vlp.pipelines.stages.shard_part", "cxr_vlp.pipelines.stages.text_part")


@pytest.fixture(scope="session", autouse=True)
def _fork_server() -> None:
    """Start the server that forks the workers of all tests, with the modules of all of them.

    Else the first test decides, and each worker of another kind imports its modules anew (.6 s).
    """
    interrupts.start_server([*WORKER_MODULES, *VERIFY_MODULES])


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the raw tree of every collection."""

    def make(folder: Path) -> None:
        for writer in WRITERS.values():
            writer.write(folder, studies=14, seed=3, height=192)

    return made_once(tmp_path_factory, "raw", make)


@pytest.fixture(scope="session")
def built(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scan/, texts/ and shards/ of every collection."""

    def make(folder: Path) -> None:
        for source in WRITERS:
            build(raw / source, source, folder)

    return made_once(tmp_path_factory, "built", make)


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with raw trees in which a dozen files are damaged."""

    def make(folder: Path) -> None:
        for name in ("mimic", "chexpert"):
            WRITERS[name].write(folder, studies=40, seed=5, height=128, faults=True)

    return made_once(tmp_path_factory, "faulty", make)


@pytest.fixture(scope="session")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """Starts runs that are killed, stopped, or run out of disk space."""
    made = Launcher(tmp_path_factory.mktemp("launcher"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory, launcher: Launcher) -> dict[str, Scene]:
    """First runs and runs after a change, under "STAGE-first" and "STAGE-again"."""
    return scene_builder.make(tmp_path_factory.mktemp("scenes"), launcher)


@pytest.fixture(scope="session")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All four trees, with small options."""

    def make(folder: Path) -> None:
        for module in WRITERS.values():
            module.write(folder, **SMALL)

    return made_once(tmp_path_factory, "trees", make)


@pytest.fixture
def variant(tmp_path: Path) -> Callable[..., Path]:
    """Writes one tree with the options that a test gives."""

    def write(source: str, **options: Any) -> Path:
        WRITERS[source].write(tmp_path, **(SMALL | options))
        return tmp_path / source

    return write
