"""Which folder may import which: the tables below say it, and the code must follow them.

Imports inside functions count too. There must be no circle of imports.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("nlp", "pipelines", "train")
MOST_MODULES = 16  # in a folder

#   train ----> nlp <---- pipelines
#      \                      |
#       `--> pipelines.format <
ARROWS: dict[str, tuple[str, ...]] = {
    "nlp": (),
    "train": ("nlp", "pipelines.format"),
    "pipelines": ("nlp",),
}
# inside pipelines, from the ground up: a room imports those above it in this list, and those of its
# own line
ORDER = (
    ("format",),
    ("interrupts", "codes"),
    ("records", "errors", "parts", "storage"),  # errors says what is wrong with a store
    ("files",),
    ("imaging",),
    ("sources",),
    ("config",),
    ("executor",),
    ("engines",),
    ("cache",),
    ("stages",),
    ("cli",),
    ("dry_run", "scan_preview", "validate", "planning"),
    ("scan", "texts", "shards", "plan", "urls", "verify"),
    ("cards",),
    ("selection",),
    ("exports", "inspector"),
)
# synthetic trees test all other rooms, so nothing imports `synthetic`, and it imports only these
SYNTHETIC = ("errors", "interrupts", "executor", "files", "format", "cli")

OTHERS: dict[str, set[str]] = {  # packages that a room may not import
    "nlp": {"apache_beam", "torch", "open_clip"},
    "pipelines": {"torch", "open_clip", "torchvision"},
    "train": {"apache_beam"},
}
# Beam is in one file: everything else is a plain function that is tested without a pipeline
BEAM = {"pipelines.engines.beam_engine"}


def imported(path: Path) -> set[str]:
    """Return the full names of all that a file imports, of modules and of names in modules."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def name_of(path: Path) -> str:
    """Return a file's module name below cxr_vlp."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for room in FOLDERS for path in sorted((ROOT / room).rglob("*.py"))}
IMPORTED = {module: imported(path) for module, path in FILES.items()}


def module_of(name: str) -> str:
    """Return our module that an import of `name` loads, "" for another package's."""
    if not name.startswith("cxr_vlp."):
        return ""
    name = name.removeprefix("cxr_vlp.")
    return name if name in FILES else name.rpartition(".")[0]


GRAPH = {
    module: {found for name in names if (found := module_of(name)) in FILES} - {module}
    for module, names in IMPORTED.items()
}


def packages_of(module: str) -> set[str]:
    return {name.split(".")[0] for name in IMPORTED[module]}


def inside(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def test_the_files_are_found():
    assert len(FILES) > 200
    assert sum(map(len, GRAPH.values())) > 500
    assert "pipelines.format.sample" in GRAPH["pipelines.records"]


@pytest.mark.parametrize("room", ARROWS)
def test_the_three_folders(room):
    for module in (m for m in FILES if inside(m, room)):
        for other in GRAPH[module]:
            allowed = any(inside(other, each) for each in (room, *ARROWS[room]))
            assert allowed, f"{module} imports {other}"


@pytest.mark.parametrize("room", OTHERS)
def test_packages_that_a_folder_does_not_import(room):
    for module in (m for m in FILES if inside(m, room)):
        packages = {name.split(".")[0] for name in IMPORTED[module]}
        assert not packages & (OTHERS[room] - ({"apache_beam"} if module in BEAM else set())), (
            module
        )


def test_beam_is_in_one_file():
    assert {module for module in FILES if "apache_beam" in packages_of(module)} == BEAM


# `train` and `pipelines` both read sets on object stores, and share the format only; fsspec is
# imported when an address is read
STORE = "pipelines.format.remote.store"


def test_spark_is_in_one_file():
    found = {module for module in FILES if "pyspark" in packages_of(module)}
    assert found == {"pipelines.engines.spark_engine"}


def test_the_format_needs_the_standard_library_alone():
    for module in (m for m in FILES if inside(m, "pipelines.format")):
        assert all(inside(other, "pipelines.format") for other in GRAPH[module]), module
        allowed = {"cxr_vlp", *(["fsspec"] if module == STORE else [])}
        assert packages_of(module) <= sys.stdlib_module_names | allowed, module


LEVELS = {name: level for level, names in enumerate(ORDER) for name in names}


def level_of(module: str) -> int:
    return LEVELS[module.split(".")[1]]


def test_every_room_of_pipelines_is_in_the_order():
    rooms = {module.split(".")[1] for module in FILES if module.startswith("pipelines.")}
    assert rooms == {*LEVELS, "synthetic"}


@pytest.mark.parametrize("room", LEVELS)
def test_the_rooms_of_pipelines_import_those_above_them(room):
    for module in (m for m in FILES if inside(m, f"pipelines.{room}")):
        ours = {m for m in GRAPH[module] if m.startswith("pipelines.")}
        for other in (m for m in ours if not inside(m, "pipelines.synthetic")):
            assert level_of(other) <= level_of(module), f"{module} imports {other}"


def test_synthetic_imports_little_and_nothing_imports_it():
    for module, others in GRAPH.items():
        if inside(module, "pipelines.synthetic"):
            ours = {m for m in others if inside(m, "pipelines") and m != "pipelines"}
            foreign = {m for m in ours if not inside(m, "pipelines.synthetic")}
            assert {m.split(".")[1] for m in foreign} <= set(SYNTHETIC), module
        else:
            found = {m for m in others if inside(m, "pipelines.synthetic")}
            assert not found, f"{module} imports {found}"


def circles(graph: dict[str, set[str]]) -> list[str]:
    """Return the circles of imports, each once; a circle that is found is cut to find the next."""
    cut = {module: sorted(others) for module, others in sorted(graph.items())}
    found = []
    while True:
        try:
            TopologicalSorter(cut).prepare()
        except CycleError as error:
            circle = error.args[1][::-1]
            found.append(" -> ".join(circle))
            cut[circle[0]].remove(circle[1])
        else:
            return found


def test_circles_are_found():
    made = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "e"}, "e": {"d"}}
    assert len(circles(made)) == 2
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_circle_of_imports():
    assert circles(GRAPH) == []


def test_no_folder_holds_too_many_modules():
    for folder in {path.parent for path in FILES.values()}:
        modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(modules) <= MOST_MODULES, f"{folder.relative_to(ROOT)}: {len(modules)}"


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("cxr_vlp.nlp.annotate", ("torch", "apache_beam", "pandas", "spacy", "scispacy")),
        ("cxr_vlp.pipelines.scan", ("torch", "apache_beam", "pydicom", "spacy", "upath")),
        ("cxr_vlp.pipelines.texts", ("torch", "spacy", "scispacy")),
        ("cxr_vlp.pipelines.format.schema", ("spacy", "numpy", "apache_beam", "pydantic")),
        (
            "cxr_vlp.pipelines.format.manifest",
            ("spacy", "numpy", "apache_beam", "pydantic"),
        ),
        ("cxr_vlp.pipelines.verify", ("torch", "apache_beam", "spacy")),
        ("cxr_vlp.pipelines.shards", ("torch", "apache_beam", "pydicom", "cv2", "upath")),
        ("cxr_vlp.train.config.recipe", ("torch", "apache_beam")),
        ("cxr_vlp.train.data.samples", ("apache_beam", "pydantic")),
        ("cxr_vlp.pipelines.format.remote.sets", ("fsspec", "s3fs", "numpy")),
    ],
)
def test_what_a_module_loads(module, heavy):
    code = f"import sys, {module}; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"
