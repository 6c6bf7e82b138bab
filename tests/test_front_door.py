"""The console script and the public interface: what a user of the installed project meets first."""

from __future__ import annotations

import ast
import doctest
import importlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from processes import PATIENCE

import cxr_vlp
from cxr_vlp import api, cli
from cxr_vlp.pipelines import scan, shards, texts
from cxr_vlp.pipelines.synthetic.layouts import mimic
from cxr_vlp.train.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _arguments(monkeypatch):
    monkeypatch.setattr(sys, "argv", sys.argv[:])  # main() sets them for the command


def python(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


# The commands


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_imports_and_its_help_ends_in_its_example(name, capsys):
    command = cli.COMMANDS[name]
    assert callable(importlib.import_module(command.module).run)
    assert command.example.startswith(f"cxr-vlp {name} ")
    for words in ([name, "--help"], [name, "-h"]):
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        assert end.value.code == 0
        said = capsys.readouterr().out
        assert said.startswith(f"usage: cxr-vlp {name}")
        assert said.endswith(f"\nexample:\n  {command.example}\n")
        assert said.count("example:") == 1


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_flags_of_an_example_exist(name, capsys):
    with pytest.raises(SystemExit):
        cli.main([name, "--help"])
    said = capsys.readouterr().out
    usage = said.partition("\nexample:")[0]
    flags = [word for word in cli.COMMANDS[name].example.split() if word.startswith("--")]
    assert [flag for flag in flags if flag not in usage] == []


@pytest.mark.parametrize("name", ["scan", "texts", "shards"])
def test_the_help_of_a_stage_has_the_flags_of_engines_in_a_group_of_their_own(name, capsys):
    with pytest.raises(SystemExit):
        cli.main([name, "--help"])
    own, _, engine = capsys.readouterr().out.partition("\nengine:\n")
    listed = own.partition("\noptions:\n")[2]
    for flag in ("--engine", "--master", "--stalled", "--untested-runner"):
        assert f"\n  {flag}" in engine
        assert f"\n  {flag}" not in listed
    assert "\n  --out" in listed
    assert "s3://" in engine


def test_a_wrong_argument_shows_no_example(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["resolve", "--no-such-flag"])
    assert end.value.code == 2
    assert "example:" not in capsys.readouterr().out


def test_help_lists_the_commands_in_the_order_of_the_flow(capsys):
    assert cli.main(["--help"]) == 0
    said = capsys.readouterr().out
    flow = ["synthetic", "scan", "texts", "shards", "verify", "fit", "evaluate", "report"]
    assert sorted(flow, key=lambda name: said.index(f"  {name} ")) == flow
    assert all(f"  {name} " in said and c.about in said for name, c in cli.COMMANDS.items())
    assert cli.main([]) == 2


@pytest.mark.parametrize(("typed", "meant"), [("scna", "scan"), ("Evalute", "evaluate")])
def test_an_unknown_command_names_the_nearest(typed, meant, capsys):
    assert cli.main([typed]) == 2
    said = capsys.readouterr().err
    assert f"no command {typed!r}; did you mean {meant}?" in said
    assert cli.main(["qqq"]) == 2
    assert "did you mean" not in capsys.readouterr().err


@pytest.mark.parametrize("words", [["-m", "cxr_vlp"], ["-m", "cxr_vlp.cli"]])
def test_it_runs_as_a_module(words):
    done = python(*words, "--version")
    assert (done.returncode, done.stdout) == (0, f"cxr-vlp {cxr_vlp.__version__}\n")
    assert python(*words, "verify", "/nowhere").returncode == 2


SLOW = """
import sys
from cxr_vlp import cli
cli.COMMANDS["own"] = cli.Command("own_module", "", "")
sys.exit(cli.main(["own"]))
"""


def started(folder: Path, module: str) -> subprocess.Popen[str]:
    """Start a command whose module is `module`, and wait for the line that it prints."""
    (folder / "own_module.py").write_text(module)
    path = os.pathsep.join([str(folder), str(ROOT / ".src")])
    running = subprocess.Popen(
        [sys.executable, "-c", SLOW],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout
    assert running.stdout.readline() == "ready\n"
    return running


READY = "print('ready', flush=True)\n"


def test_a_reader_that_ends_early_is_no_crash():
    words = [sys.executable, "-m", "cxr_vlp", "synthetic", "--help"]
    run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    run.stdout.close()  # before the command has written: its first write fails
    assert (run.wait(PATIENCE), run.stderr.read()) == (141, b"")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_a_command_is_imported_ends_it_with_one_line(tmp_path, number, code):
    running = started(tmp_path, f"import time\n{READY}time.sleep(60)\n")
    running.send_signal(number)
    _, said = running.communicate(timeout=PATIENCE)
    assert (running.returncode, said) == (code, "stopped: nothing was written\n")


def test_ctrl_c_in_a_command_that_does_not_handle_it_ends_it_with_one_line(tmp_path):
    running = started(tmp_path, f"import time\ndef run():\n    {READY}    time.sleep(60)\n")
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=PATIENCE)
    assert (running.returncode, said) == (130, "stopped\n")


@pytest.mark.parametrize("code", [0, 2, 65, 74, 75, 130])
def test_exit_codes_are_the_commands_own(tmp_path, code):
    running = started(tmp_path, f"def run():\n    {READY}    return {code}\n")
    running.communicate(timeout=PATIENCE)
    assert running.returncode == code


# The public interface


def test_importing_the_project_imports_no_heavy_package():
    heavy = ("torch", "apache_beam", "spacy", "numpy", "cv2", "pydantic", "yaml")
    code = f"import sys, cxr_vlp; dir(cxr_vlp); print([m for m in {heavy} if m in sys.modules])"
    assert python("-c", code).stdout == "[]\n"


@pytest.mark.parametrize(
    ("name", "heavy"),
    [
        ("annotate", ("torch", "apache_beam", "numpy", "cv2")),
        ("open_shards", ("torch", "apache_beam", "numpy", "cv2")),
        ("auroc_table", ("torch", "apache_beam", "cv2")),
        ("losses", ("apache_beam", "cv2")),
    ],
)
def test_a_public_name_imports_what_it_needs_only(name, heavy):
    code = f"import sys, cxr_vlp; cxr_vlp.{name}; print([m for m in {heavy} if m in sys.modules])"
    assert python("-c", code).stdout == "[]\n"


def test_every_public_name_is_there_and_documented():
    assert set(cxr_vlp.__all__) == {*cxr_vlp._PLACES, "__version__"}
    assert set(cxr_vlp.__all__) <= set(dir(cxr_vlp))
    for name in cxr_vlp._PLACES:
        assert getattr(cxr_vlp, name).__doc__, name
    with pytest.raises(AttributeError, match="has no attribute 'anotate'"):
        _ = cxr_vlp.anotate


def test_type_checkers_see_what_is_imported_on_first_use():
    tree = ast.parse(Path(cxr_vlp.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen.pop("losses") == ("cxr_vlp.train.objective", "losses")
    places = {name: place for name, place in cxr_vlp._PLACES.items() if name != "losses"}
    assert seen == places


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with data/shards/mimic of 24 studies in it."""
    folder = tmp_path_factory.mktemp("built")
    mimic.write(folder / "raw", studies=24, seed=1, height=128)
    content = {"sources": {"mimic": {"root": str(folder / "raw/mimic")}}, "shards": {"side": 96}}
    (folder / "params.yaml").write_text(yaml.safe_dump(content))
    common = ["mimic", "--params", str(folder / "params.yaml"), "--state", str(folder / ".cxr")]
    where = {name: str(folder / "data" / name / "mimic") for name in ("scan", "texts", "shards")}
    read = ["--scan", where["scan"]]
    assert scan.main([*common, "--out", where["scan"]]) == 0
    assert texts.main([*common, *read, "--out", where["texts"]]) == 0
    read += ["--texts", where["texts"]]
    assert shards.main([*common, *read, "--out", where["shards"]]) == 0
    return folder


def test_the_examples_in_the_docstrings_give_what_they_show(built, monkeypatch):
    monkeypatch.chdir(built)
    for module, least in ((cxr_vlp, 8), (api, 7)):
        result = doctest.testmod(module)
        assert result.failed == 0
        assert result.attempted >= least


def test_open_shards_gives_every_sample_of_a_split_or_of_all(built):
    place = built / "data" / "shards"
    by_split = [stored.key for split in ("train", "validate", "test")
                for stored in cxr_vlp.open_shards(str(place), split)]  # fmt: skip
    found = list(cxr_vlp.open_shards([place / "mimic"]))
    everything = [stored.key for stored in found]
    assert everything == by_split
    assert all(isinstance(stored, cxr_vlp.StoredSample) for stored in found)
    assert [stored.sample.key for stored in found] == everything
    assert {type(stored.sample) for stored in found} == {cxr_vlp.Sample}
    assert len(set(everything)) == len(everything) > 20
    with pytest.raises(ValueError, match="no split 'valid'; there are: train, validate, test"):
        cxr_vlp.open_shards(place, "valid")
    with pytest.raises(ConfigError, match="no such folder"):
        cxr_vlp.open_shards("nowhere")


def test_a_loader_gives_another_epoch_each_time_and_the_same_one_again(built):
    def keys(batches: cxr_vlp.Loader) -> list[tuple[str, ...]]:
        return [batch.keys for batch in batches]

    place = built / "data" / "shards"
    batches = cxr_vlp.loader(place, "chexzero_tiny", batch_size=4)
    first, second = keys(batches), keys(batches)
    assert first != second
    assert batches.epoch == 2
    batches.epoch = 0
    assert keys(batches) == first
    assert all(len(batch) == 4 for batch in first)
    held_out = keys(cxr_vlp.loader(place, "chexzero_tiny", split="validate", batch_size=4))
    stored = [each.key for each in cxr_vlp.open_shards(place, "validate")]
    assert [key for batch in held_out for key in batch] == stored


def test_a_loader_takes_a_mapping_a_size_and_a_tokenizer(built):
    import torch

    changes = {"text": {"policies": ["impression"]}, "run": {"batch_size": 2}}
    batches = cxr_vlp.loader(
        built / "data" / "shards",
        changes,
        size=32,
        tokenize=lambda text: torch.tensor([len(text)]),
    )
    batch = next(iter(batches))
    assert batches.recipe.text.policies == ("impression",)
    assert batch.images.shape == (1, 2, 1, 32, 32)
    assert batch.tokens[0, :, 0].tolist() == [len(text) for text in batch.texts[0]]
    with pytest.raises(ConfigError, match="unknown key 'txt'"):
        cxr_vlp.loader(built / "data" / "shards", {"txt": {}})
    with pytest.raises(ConfigError, match="no recipe 'chexzro'"):
        cxr_vlp.loader(built / "data" / "shards", "chexzro")


def test_an_auroc_table_refuses_what_does_not_fit():
    rows = [{"Edema": 1}, {"Edema": 0}]
    for scores, names, more in (
        ([[0.1], [0.2], [0.3]], ["Edema"], {}),
        ([[0.1], [0.2]], ["Edema", "Mass"], {}),
        ([[0.1], [0.2]], ["Edema"], {"patients": ["a"]}),
        ([[0.1], [float("nan")]], ["Edema"], {}),
        ([[0.1], [0.2]], ["Edema"], {"uncertain": "maybe"}),
        ([[0.1], [0.2]], ["Edema"], {"unmentioned": "positive"}),
    ):
        with pytest.raises(ValueError, match=r"scores|is not one of"):
            cxr_vlp.auroc_table(scores, rows, names, **more)


def test_an_auroc_table_has_intervals_over_patients_and_leaves_no_finding_out_of_the_mean():
    rows = [{"Edema": i % 2, "No Finding": 1 - i % 2} for i in range(40)]
    scores = [[i % 2 + i / 30, i / 40] for i in range(40)]
    table = cxr_vlp.auroc_table(
        scores, rows, ["Edema", "No Finding"], patients=[str(i // 4) for i in range(40)]
    )
    assert table.macro_of == ("Edema",)
    assert table.macro == table.labels[0].auroc
    assert 0.5 < table.low < table.macro <= table.high
    few = cxr_vlp.auroc_table(scores, rows, ["Edema", "No Finding"], min_positives=21)
    assert few.macro is None
    assert few.unmeasured == ("Edema", "No Finding")


@pytest.mark.slow
def test_torchrun_starts_a_training_on_two_processes(built, tmp_path):
    run = shutil.which("torchrun", path=str(Path(sys.executable).parent))
    assert run
    overrides = {"run": {"steps": 2, "validate_every": 1, "batch_size": 4}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"train": {"overrides": overrides}}))
    words = ["fit", "chexzero_tiny", "--shards", str(built / "data/shards"), "--out", "model"]
    found = {**os.environ, "PYTHONPATH": str(ROOT / ".src"), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [run, "--standalone", "--nproc-per-node=2", "-m", "cxr_vlp.cli", *words],
        cwd=tmp_path, env=found, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "model" / "model.safetensors").is_file()


def test_the_example_of_a_training_loop_learns(built):
    import runpy

    train = runpy.run_path(str(ROOT / "examples" / "train_loop.py"))["train"]
    cxr_vlp.loader(built / "data" / "shards", "chexzero_tiny")  # makes our configurations known
    first = train(str(built / "data/shards"), steps=1, batch_size=8, model="cxr-tiny")
    last = train(str(built / "data/shards"), steps=30, batch_size=8, model="cxr-tiny")
    assert last < first
    with pytest.raises(SystemExit, match="choose a smaller batch_size"):
        train(str(built / "data/shards"), steps=1, batch_size=1000, model="cxr-tiny")
