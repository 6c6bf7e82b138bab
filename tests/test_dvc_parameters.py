"""Every parameter of every stage is changed under DVC: its stage runs; restored, it does not.

The project's own dvc.yaml and params.yaml, with commands that only write the outputs and their name
into a log. The parameters are those that the classes declare, so a new one is covered by itself.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from cxr_vlp.nlp.config import settings
from cxr_vlp.nlp.config.plain_yaml import DROPPED_BY_DVC
from cxr_vlp.nlp.config.settings import STRICT
from cxr_vlp.pipelines import config
from cxr_vlp.pipelines.sources import BUILT_IN, kind, reader
from cxr_vlp.pipelines.stages.parameter_check import of_scan
from cxr_vlp.train.config import params as of_train
from cxr_vlp.train.config.recipe import Recipe

dvc_repo = pytest.importorskip("dvc.repo")

ROOT = Path(__file__).resolve().parents[1]
# What no stage watches, and why.
UNWATCHED = {
    "train.recipe": "the model that the page shows: it is in the command of `report`",
}
# The collections that params.yaml shows; the check of a scan is tested with those of every reader.
SHOWN = tuple(yaml.safe_load((ROOT / "params.yaml").read_text())["sources"])
# Options that the tries of `other` do not fit -> another value.
OTHERS: Mapping[str, Any] = {
    "leave_out": [{"file": "list.csv"}],  # it is read
    "table.reader.labels": {"list": "Findings"},
    "table.reader.boxes": {"corners": ["x1", "y1", "x2", "y2"], "label": "Finding"},
    "table.reader.masks": {"column": "Runs", "name": "Mass", "frame": [1024, 1024]},
    "table.reader.readers": {"column": "Reader"},
    "table.reader.also": [{"table": "boxes.csv", "image": "File"}],
    "table.reader.exclude": {"Quality": ["bad"]},
    "table.reader.splits": {"dev": "validate"},
    "table.reader.constants": {"view": "PA"},
    "table.reader.sections": {"findings": "Findings"},
}
# Parameters that the scan does not record, and why.
UNRECORDED = {"root": "the place of a tree decides no byte; the tree itself is scanned"}


def leaves(kind: type, at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, type) of every value in a section and the sections in it."""
    for name, hint in settings.hints(kind).items():
        path = f"{at}.{name}".removeprefix(".")
        if dataclasses.is_dataclass(hint):
            yield from leaves(hint, path)
        elif name == "parts":
            yield from ((f"{path}.{split}", int) for split in ("train", "validate", "test"))
        elif name == "reader":
            continue  # its class is the source's
        elif name == "overrides":
            yield from ((f"{path}.{inner}", t) for inner, t in leaves(Recipe) if inner != "name")
        else:
            yield path, hint


def every_parameter() -> list[tuple[str, str, Any]]:
    """Return (stage, dotted key, type) of everything that params.yaml may hold."""
    found = []
    for source in SHOWN:
        at = f"sources.{source}"
        found += [(f"scan@{source}", *leaf) for leaf in leaves(config.Collection, at)]
        found += [(f"scan@{source}", *leaf) for leaf in leaves(kind(source), f"{at}.reader")]
    stages = {"scan": "scan@nih", "texts": "texts@nih", "shards": "shards@nih"}
    stages |= {"train": "train@cxrclip_tiny", "evaluate": "evaluate@cxrclip_tiny"}
    sections = {"scan": config.Scan, "texts": config.Texts, "shards": config.Shards, **of_train.OWN}
    for name, section in sections.items():
        found += [(stages.get(name, name), *leaf) for leaf in leaves(section, name)]
    return [leaf for leaf in found if leaf[1] not in UNWATCHED]


def other(path: str, hint: Any, now: Any) -> Any:
    """Return a value that the type allows and that is not the one there is."""
    for ending, value in OTHERS.items():
        if path.endswith(f".{ending}"):
            assert now != value
            return value
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    tries: list[Any] = [True, False, 1, 2, 20, 0.5, 0.25, 1.0, "other", [], ["x"], [0.5, 0.75], {}]
    tries += [{"nih": 0.5}, ["prompt"], ["statement"], {"mscxr": "/data"}]
    if get_origin(bare) is Literal:
        tries = list(get_args(bare))
    elif get_origin(bare) is tuple:
        tries += [[each] for item in get_args(bare) for each in get_args(item)]
    for value in tries:
        try:
            made = TypeAdapter(hint, config=STRICT).validate_python(value)
        except ValidationError:
            continue
        if now is None or (type(value) is bool, value) != (type(now) is bool, now):
            return list(made) if isinstance(made, tuple) else made
    raise AssertionError(f"no other value of {hint} than {now}: add one to the tries")


def get(content: Mapping[str, Any], path: str) -> Any:
    for name in path.split("."):
        content = content.get(name) if isinstance(content, Mapping) else None
    return content


def put(content: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return the parameters with one of them changed."""
    made = copy.deepcopy(content)
    *above, last = path.split(".")
    place = made
    for name in above:
        place = place.setdefault(name, {})
    place[last] = value
    return made


def filled(*more: str) -> dict[str, Any]:
    """Return params.yaml with every parameter in it, those that it leaves to the default too.

    `more`: collections that it does not show.
    """
    path = ROOT / "params.yaml"
    content = yaml.safe_load(path.read_text())
    made = config.load(path)
    for name, section in (
        ("scan", config.Scan), ("texts", config.Texts), ("shards", config.Shards),
    ):  # fmt: skip
        content[name] = dataclasses.asdict(made.section(name, section))
    for name in (*content["sources"], *more):
        collection = made.collection(name)
        options = dataclasses.asdict(reader(name, collection.reader))
        content["sources"][name] = {**dataclasses.asdict(collection), "reader": options}
    for name in of_train.OWN:
        content[name] = dataclasses.asdict(getattr(of_train.load(path), name))
    return json.loads(json.dumps(content))


class Project:
    """A repository with our stages, whose commands write outputs and say that they ran."""

    def __init__(self, folder: Path) -> None:
        from dvc.repo import Repo

        self.folder, self.log = folder, folder / "ran.log"
        self.content = filled()
        stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())
        for name, stage in stages["stages"].items():
            stage["cmd"] = self._command(name, stage)
        for dep in ("nlp/lexicon", "train/recipes", "train/model/configs"):
            (folder / dep).mkdir(parents=True)
            (folder / dep / "file").write_text("x")
        (folder / "pipelines/format").mkdir(parents=True)
        (folder / "pipelines/format/versions.py").write_text(
            (ROOT / "pipelines/format/versions.py").read_text()
        )
        (folder / "dvc.yaml").write_text(yaml.safe_dump(stages, sort_keys=False))
        self.write(self.content)
        Repo.init(str(folder), no_scm=True).close()

    def _command(self, name: str, stage: dict[str, Any]) -> str:
        item = "${item.source}" if "source" in str(stage.get("matrix")) else "${item.recipe}"
        said = f"{name}@{item}" if "matrix" in stage else name
        commands = [f"echo {said} >> ran.log"]
        for out in stage["outs"]:
            path = next(iter(out)) if isinstance(out, dict) else out
            if not Path(path.replace("${item.recipe}", "x")).suffix:
                commands += [f"mkdir -p {path}", f"echo {said} > {path}/file"]
            else:
                commands += [f"mkdir -p $(dirname {path})", f"echo {said} > {path}"]
        return " && ".join(commands)

    def write(self, content: Mapping[str, Any]) -> None:
        (self.folder / "params.yaml").write_text(yaml.safe_dump(dict(content), sort_keys=False))

    def repro(self, target: str, *, alone: bool = True) -> list[str]:
        """Return the stages whose commands ran."""
        from dvc.repo import Repo

        self.log.write_text("")
        with Repo(str(self.folder)) as repo:
            repo.reproduce(target, single_item=alone)
        return self.log.read_text().split()

    def hashes(self, target: str, contents: Iterable[Mapping[str, Any]]) -> list[str]:
        """Return the run-cache keys of a stage with each of these parameters."""
        from dvc.repo import Repo
        from dvc.stage.cache import _get_stage_hash

        found = []
        with Repo(str(self.folder)) as repo, repo.lock:
            (stage,) = repo.stage.collect(target)
            for each in stage.deps:
                each.save()
            for content in contents:
                self.write(content)
                for each in stage.params:
                    each.save()
                found.append(str(_get_stage_hash(stage)))
        self.write(self.content)
        return found


@pytest.fixture(scope="module")
def project(tmp_path_factory, request) -> Iterator[Project]:
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("stages")
    patch.chdir(folder)
    patch.setenv("DVC_NO_ANALYTICS", "1")
    made = Project(folder)
    ran = made.repro("report", alone=False)
    assert ran.count("shards@nih") == 1
    yield made
    patch.undo()


def runs_and_comes_back(project: Project, stage: str, path: str, hint: Any) -> None:
    changed = put(project.content, path, other(path, hint, get(project.content, path)))
    project.write(changed)
    try:
        assert project.repro(stage) == [stage], f"{path} changed, and {stage} did not run"
        project.write(project.content)
        ran = project.repro(stage)
        # a scan has no hash: it runs every time, and its own quick look decides
        assert ran == ([stage] if stage.startswith("scan") else []), f"{path}: no hit"
    finally:
        project.write(project.content)


def in_minutes() -> list[Any]:
    """Return every parameter; what scans run for anyway, and most of a recipe's, marked slow."""
    kept = ("train.overrides.optim.lr", "train.overrides.data.weights", "scan.salt")
    return [
        pytest.param(
            stage,
            path,
            hint,
            id=path,
            marks=[pytest.mark.slow]
            if path not in kept and path.startswith(("train.overrides", "sources", "scan"))
            else [],
        )
        for stage, path, hint in every_parameter()
    ]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("stage", "path", "hint"), in_minutes())
def test_a_changed_parameter_runs_its_stage_and_a_restored_one_does_not(project, stage, path, hint):
    runs_and_comes_back(project, stage, path, hint)


def test_every_value_of_a_recipe_is_in_the_run_cache_key_of_its_training(project):
    # what the slow ones of the test above do by running: each change gives a hash of its own
    stage = "train@cxrclip_tiny"
    changed = {
        path: put(project.content, path, other(path, hint, get(project.content, path)))
        for _, path, hint in every_parameter()
        if path.startswith("train.")
    }
    assert len(changed) > 60
    before, *hashes, after = project.hashes(
        stage, [project.content, *changed.values(), project.content]
    )
    blind = [path for path, found in zip(changed, hashes, strict=True) if found == before]
    assert blind == []
    assert len(set(hashes)) == len(hashes)
    assert after == before


def test_dvc_ignores_a_parameter_named_size(project):
    # why no parameter may be called that; if DVC mends it, the rule may go
    changed = [put(project.content, f"shards.{name}", 80) for name in DROPPED_BY_DVC]
    changed.append(put(project.content, "train.overrides.data.weights.size", 80))
    for stage in ("shards@nih", "train@cxrclip_tiny"):
        before, *hashes = project.hashes(stage, [project.content, *changed])
        # `train` watches train.overrides alone, so that its weights are there, without the name
        empty = put(project.content, "train.overrides.data.weights", {})
        known = {before, *project.hashes(stage, [empty])}
        assert set(hashes) <= known


def test_no_parameter_has_a_name_that_dvc_drops():
    from dvc_data.hashfile.meta import Meta

    assert set(DROPPED_BY_DVC) == {Meta.PARAM_SIZE, Meta.PARAM_NFILES}
    names = {name for _, path, _ in every_parameter() for name in path.split(".")}
    assert {"side", "overrides", "fallback", "reader"} <= names
    assert not names & set(DROPPED_BY_DVC)


@pytest.mark.parametrize("name", DROPPED_BY_DVC)
@pytest.mark.parametrize("place", ["train.overrides.data.weights", "train.overrides", "shards"])
def test_a_parameter_of_such_a_name_is_refused_at_any_depth(tmp_path, name, place):
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(put({}, f"{place}.{name}", 1)))
    with pytest.raises(Exception, match=name) as caught:
        of_train.load(path)
        config.load(path)
    assert type(caught.value).__name__ == "ConfigError"


@pytest.mark.parametrize("source", BUILT_IN)
def test_every_parameter_of_a_scan_is_compared_by_its_check_for_changes(
    source, tmp_path, monkeypatch
):
    # DVC runs a scan every time: what is not in here would change nothing
    monkeypatch.chdir(tmp_path)
    Path(OTHERS["leave_out"][0]["file"]).write_text("id\n1\n")

    def recorded(content: Mapping[str, Any]) -> dict[str, Any]:
        made = config.Params(content)
        collection, section = made.collection(source), made.section("scan", config.Scan)
        return of_scan(reader(source, collection.reader), collection, section, section.salt)

    content = filled(*{source}.difference(SHOWN))
    at = f"sources.{source}"
    found = [*leaves(config.Collection, at), *leaves(kind(source), f"{at}.reader")]
    found += leaves(config.Scan, "scan")
    same = [
        path
        for path, hint in found
        if recorded(put(content, path, other(path, hint, get(content, path)))) == recorded(content)
    ]
    assert same == [f"{at}.{name}" for name in UNRECORDED]


def test_the_parameters_that_no_stage_depends_on_are_listed_here():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    watched = {
        name.replace("${item.source}", source)
        for stage in stages.values()
        for name in stage.get("params", [])
        if isinstance(name, str)
        for source in SHOWN
    }
    inside = [path for _, path, _ in every_parameter()] + list(UNWATCHED)
    lost = {p for p in inside if not any(p == w or p.startswith(f"{w}.") for w in watched)}
    assert lost == set(UNWATCHED)
    assert all(name in (ROOT / "dvc.yaml").read_text() for name in UNWATCHED)


def test_both_rooms_know_the_same_sections():
    assert config.SECTIONS == of_train.SECTIONS
    assert set(yaml.safe_load((ROOT / "params.yaml").read_text())) <= set(config.SECTIONS)
    assert {*of_train.OWN, "collections", "sources", "scan", "texts", "shards"} <= set(
        config.SECTIONS
    )
