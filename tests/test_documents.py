"""The documents are true: commands parse, links resolve, examples print what they show.

The figures of README are those that `python docs/figures.py` draws. The sample of the figure and
the shards that README's examples read come from one small synthetic collection, made once.
"""

from __future__ import annotations

import argparse
import base64
import doctest
import importlib.util
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import cxr_vlp
from cxr_vlp import cli
from cxr_vlp.nlp.wording.prompts import BANKS
from cxr_vlp.pipelines import cli as stage_flags
from cxr_vlp.pipelines import codes, scan, shards, texts
from cxr_vlp.pipelines.engines import beam_flags
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.format import schema
from cxr_vlp.train.evaluation import output
from cxr_vlp.train.evaluation.measures.column import MEASURES
from cxr_vlp.train.evaluation.models import choose
from cxr_vlp.train.evaluation.protocols import protocol
from cxr_vlp.train.evaluation.tasks.base import TASKS
from cxr_vlp.train.evaluation.zeroshot import no_finding

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("nlp", "pipelines", "train", "benchmarks")
SKIPPED = {".venv", "site", "data", "models", "reports", "build", "node_modules", ".git", ".cxr"}
PAGES = tuple(
    sorted(
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.md")
        if not SKIPPED & set(path.relative_to(ROOT).parts)
        and not any(part.endswith(".egg-info") for part in path.parts)
    )
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.S | re.M)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
STAGES = {"scan": scan, "texts": texts, "shards": shards}  # these accept flags of Beam, too
VARIABLES = {"$master": "spark://node1:7077"}  # of the shell
WORDS = {"RECIPE", "NAME", "SOURCE", "DIR", "FILE", "..."}  # placeholders in a command line


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return [body for found, body in FENCE.findall(text_of(page)) if found == language]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FIGURES = load(ROOT / "docs" / "figures.py")


# ---- README


def test_readme_links_to_the_readme_of_each_room():
    links = set(LINK.findall(text_of("README.md")))
    assert {f"{room}/README.md" for room in ROOMS} <= {link.split("#")[0] for link in links}


def test_readme_fits_its_limit():
    assert len(text_of("README.md").splitlines()) <= 150


# ---- links


def links() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for target in LINK.findall(FENCE.sub("", text_of(page))):
            if "://" not in target and not target.startswith("mailto:"):
                yield page, target


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as hosting pages and mkdocs make them."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.M)
    bare = [re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", head).lower() for head in heads]
    return {re.sub(r"[^\w\- ]", "", head).strip().replace(" ", "-") for head in bare}


@pytest.mark.parametrize(("page", "target"), list(links()))
def test_links_resolve_to_a_file_and_a_heading(page, target):
    path, _, anchor = target.partition("#")
    found = (ROOT / page).parent / path if path else ROOT / page
    assert found.exists(), f"{page}: {target} leads nowhere"
    if anchor:
        assert anchor in anchors(found), f"{page}: {target}: no such heading"


# ---- commands


def command_lines() -> Iterator[tuple[str, str]]:
    """Yield (page, line) of each `cxr-vlp ...` of a page, in a block of code or in the text."""
    for page in PAGES:
        if page == "CHANGELOG.md":  # names commands of earlier versions
            continue
        text = text_of(page)
        bodies = [
            body.replace("\\\n", " ") for _, body in FENCE.findall(text)
        ]  # one command a line
        plain = [line for body in bodies for line in body.splitlines()]
        inline = re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", FENCE.sub("", text))
        for line in [*plain, *inline]:
            found = re.search(r"(?:^|[|$`] ?)(cxr-vlp .*)", line.replace("\n", " "))
            if found and not re.search(r"cxr-vlp (COMMAND|--|&&)|cxr-vlp\s*$", found[1]):
                yield page, found[1]


class ParsedError(BaseException):
    """Raised when a command has parsed its words: it must not run, and nothing may catch this."""


def parse(words: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the words that the command's own parser left over; SystemExit where it refuses."""
    original = argparse.ArgumentParser.parse_known_args

    def stopped(self: argparse.ArgumentParser, *args: object, **kwargs: object) -> None:
        raise ParsedError(original(self, *args, **kwargs)[1])

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", stopped)
    monkeypatch.setattr(sys, "argv", ["cxr-vlp"])
    with pytest.raises(ParsedError) as parsed:
        cli.main(words)
    return list(parsed.value.args[0])


def parse_stage(words: list[str], monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Parse a stage's command line with the flags of engines; SystemExit or ConfigError if wrong.

    No object store is asked for the inputs. A script in `folder` stands for Java.
    """
    original = stage_flags.parse_stage

    def stopped(*args: object) -> None:
        original(*args)
        raise ParsedError

    monkeypatch.setattr(stage_flags, "parse_stage", stopped)
    monkeypatch.setattr(stage_flags, "_find_inputs", lambda flags: None)
    java = folder / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"17.0.1\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(ParsedError):
        STAGES[words[0]].main([VARIABLES.get(word, word) for word in words[1:]])


def words_of(line: str) -> list[str]:
    """Return a line's words up to a pipe, a redirection or a comment, `cxr-vlp` left out."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|<>;&")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if set(word) <= set("|<>;&"):
            break
        words.append(word)
    return words[1:]


def test_command_lines_are_found():
    found = {words_of(line)[0] for page, line in command_lines() if page == "README.md"}
    assert found >= {"card", "inspect", "select", "export", "fit", "evaluate"}


@pytest.mark.parametrize(("page", "line"), sorted(set(command_lines())))
def test_command_lines_parse(page, line, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("IMAGES", "NLMCXR_reports.tgz"):  # files of the reader's own
        (tmp_path / name).mkdir()
    # the package that reads gs:// is not among those that the tests need
    words = words_of(line.replace("gs://", "s3://"))
    assert words[0] in cli.COMMANDS, f"{page}: no command {words[0]}"
    if len(words) == 1:
        return  # a mention of the command, not a call
    left = set(parse(words, monkeypatch)) - WORDS
    if words[0] in STAGES and (left or "--engine" in words):
        monkeypatch.undo()  # the parser stops no more: the stage checks the engine's flags too
        parse_stage(words, monkeypatch, tmp_path)
    else:
        assert not left, f"{page}: {line}"


@pytest.mark.parametrize("line", ["scan mimic --outt x", "fit r --shards s --out o --epochz 3"])
def test_a_wrong_flag_is_noticed(line, monkeypatch, capsys):
    try:
        left = parse(shlex.split(line), monkeypatch)
    except SystemExit as stop:
        left = [str(stop.code)]
    assert left


NAMED = "shards mimic --scan a --texts b --out c"


@pytest.mark.parametrize(
    "flags",
    [
        "--runner=FlinkRunnr",
        "--runner=FlinkRunner",  # without --untested-runner
        "--runner=FlinkRunner --flink_mster=h:1 --untested-runner",
        "--environment_tipe=EXTERNAL",
        "--engine sparc --master spark://h:1",
        "--engine spark",  # without --master
        "--engine spark --master spark://h:1 --runner=FlinkRunner",
    ],
)
def test_a_wrong_flag_of_an_engine_is_noticed(flags, monkeypatch, tmp_path):
    with pytest.raises((ConfigError, SystemExit)):
        parse_stage(f"{NAMED} {flags}".split(), monkeypatch, tmp_path)


def test_the_flags_of_an_engine_are_accepted(monkeypatch, tmp_path):
    flags = "--runner=FlinkRunner --flink_master=h:1 --untested-runner"
    parse_stage(f"{NAMED} {flags}".split(), monkeypatch, tmp_path)


# ---- engines


def rows_of(page: str, heading: str) -> list[str]:
    """Return the rows of the tables below a heading of the second level."""
    section = text_of(page).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| ")]


@pytest.mark.parametrize("runner", [*beam_flags.REQUIREMENTS, "yarn", "k8s://"])
def test_an_engine_that_was_not_run_is_marked_so(runner):
    marked = [row for row in rows_of("docs/scale.md", "What was run") if runner in row]
    assert marked
    assert all("**not run**" in row for row in marked)
    refused = next(row for row in rows_of("docs/scale.md", "When a run stops") if runner in row)
    assert "--untested-runner" in refused


@pytest.mark.parametrize("name", [*beam_flags.ENVIRONMENTS[:1], "worker pools", "spark://"])
def test_an_engine_that_was_run_says_what_was_run(name):
    (row,) = [row for row in rows_of("docs/scale.md", "What was run") if name in row]
    assert "**not run**" not in row
    assert "`texts`" in row


def test_stores_that_were_not_run_are_marked_so():
    rows = [row for row in text_of("docs/object-storage.md").splitlines() if row.startswith("| `")]
    for scheme in ("gs", "abfs"):
        assert "**not run**" in next(row for row in rows if row.startswith(f"| `{scheme}://`"))


# ---- evaluation


def evaluation_flags() -> set[str]:
    parser = argparse.ArgumentParser()
    choose.add_flags(parser)
    return {option for action in parser._actions for option in action.option_strings[-1:]}


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(protocol.names(), id="protocols"),
        pytest.param(tuple(TASKS), id="tasks"),
        pytest.param(MEASURES, id="measures"),
        pytest.param(no_finding.STRATEGIES, id="strategies"),
        pytest.param(tuple(sorted(output.FILES - {"auroc.csv"})), id="files"),
        pytest.param(BANKS, id="banks"),
    ],
)
def test_the_page_of_evaluation_names_all(names):
    page = text_of("docs/evaluation.md")
    named = {
        word for words in re.findall(r"`([^`\n]+)`", page) for word in re.split(r"[\s,]", words)
    }
    assert not set(names) - named - set(re.search(r"--tasks (\S+)", page)[1].split(","))


def test_the_page_of_evaluation_shows_every_flag_that_names_a_model():
    page = text_of("docs/evaluation.md")
    assert not [flag for flag in evaluation_flags() if flag != "--help" and flag not in page]


def test_the_protocol_of_the_page_is_valid(tmp_path):
    (shown,) = [body for body in blocks("docs/evaluation.md", "yaml") if "base:" in body]
    path = tmp_path / "my_protocol.yaml"
    path.write_text(shown, encoding="utf-8")
    made = protocol.load(str(path))
    assert made.average == protocol.load("chexzero").average
    assert made.unit == "study"


def test_params_yaml_names_every_protocol_and_task():
    section = text_of("params.yaml").partition("\nevaluate:")[2].partition("\nreport:")[0]
    assert not [name for name in (*protocol.names(), *TASKS) if name not in section]


def test_the_versions_of_the_documents_are_that_of_the_package():
    latest = re.search(r"^## (\S+)", text_of("CHANGELOG.md"), re.M)[1]
    cited = re.search(r"^version: (\S+)", text_of("CITATION.cff"), re.M)[1]
    assert latest == cited == cxr_vlp.__version__


# ---- examples and figures


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the commands of docs/figures.py made a small set of shards."""
    folder = tmp_path_factory.mktemp("figures")
    FIGURES.build(folder)
    return folder


def test_readme_examples_print_what_they_show(collection, tmp_path, monkeypatch):
    (tmp_path / "data" / "shards").mkdir(parents=True)
    (tmp_path / "data" / "shards" / "mimic").symlink_to(collection / "shards")
    monkeypatch.chdir(tmp_path)
    source = "\n".join(blocks("README.md", "python"))
    examples = doctest.DocTestParser().get_doctest(source, {}, "README.md", "README.md", 0)
    assert len(examples.examples) > 5
    said = io.StringIO()
    result = doctest.DocTestRunner().run(examples, out=said.write)
    assert not result.failed, said.getvalue()


def test_the_figure_of_the_steps_is_as_drawn():
    committed = (ROOT / "docs" / "figures" / "flow.svg").read_text(encoding="utf-8")
    assert committed == FIGURES.flow(), "run `make figures`"


IMAGE = re.compile(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)")


def test_the_figure_of_a_sample_is_as_drawn(collection):
    committed = (ROOT / "docs" / "figures" / "sample.svg").read_text(encoding="utf-8")
    drawn = FIGURES.sample(collection)
    assert IMAGE.sub("", committed) == IMAGE.sub("", drawn), "run `make figures`"
    # other CPUs round otherwise when the image is computed: grey values may differ by a few
    old, new = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(IMAGE.search(svg)[1]))), dtype=int)
        for svg in (committed, drawn)
    )
    assert old.shape == new.shape
    assert np.abs(old - new).mean() < 2, "run `make figures`"


def test_the_figures_are_small():
    sizes = {path.name: path.stat().st_size for path in (ROOT / "docs" / "figures").iterdir()}
    assert set(sizes) == {"flow.svg", "sample.svg", "page.png"}
    assert sizes["flow.svg"] + sizes["sample.svg"] < 200_000
    assert sizes["page.png"] < 150_000


# ---- the site


def test_every_page_is_in_the_navigation():
    named = set(re.findall(r": (\S+\.md)$", text_of("mkdocs.yml"), re.M))
    assert {
        path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md")
    } <= named


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it; skipped where the extra `docs` is not installed."""
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings_handlers.python")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_lists_every_code_and_every_field(site):
    pages = {name: (site / f"{name}.html").read_text(encoding="utf-8") for name in ROOMS}
    assert all(pages.values())
    listed = (site / "codes.html").read_text(encoding="utf-8")
    assert not [code for code in codes.ALL if f"<code>{code}</code>" not in listed]
    listed = (site / "format.html").read_text(encoding="utf-8")
    assert not [name for name in schema.FIELDS if f"<code>{name}</code>" not in listed]


def test_the_site_fetches_nothing_from_another_host(site):
    for path in site.rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        assert not re.search(r'<(?:script|img|iframe)[^>]+src="?(?:https?:)?//', page), path.name
        assert not re.search(r'<link[^>]+stylesheet[^>]+href="?(?:https?:)?//', page), path.name
