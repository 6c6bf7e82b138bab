"""Flags that must be refused: addresses in place of folders, misspelt flags, other runners."""

from __future__ import annotations

import importlib
import re

import pytest
from stages import build, params, tree_bytes

from cxr_vlp.pipelines import cli, scan, shards, texts
from cxr_vlp.pipelines.engines import beam_engine, flags
from cxr_vlp.pipelines.errors import ConfigError, EngineError
from cxr_vlp.pipelines.files import jsonl

ADDRESSES = ("s3://bucket/x", "gs://bucket", "file:///tmp/x", "HTTPS://user:secret@host/x")
PATHS = {
    "cxr_vlp.pipelines.scan": ("--root", "--out", "--state", "--params"),
    "cxr_vlp.pipelines.texts": ("--root", "--out", "--state", "--params", "--scan"),
    "cxr_vlp.pipelines.shards": ("--root", "--out", "--state", "--params", "--scan", "--texts"),
    "cxr_vlp.pipelines.plan": ("--root", "--state", "--params", "--scan"),
    "cxr_vlp.pipelines.verify": ("--root", "--params", "--scan", "--texts"),
    "cxr_vlp.pipelines.synthetic.generate": ("--out", "--images", "--reports"),
    "cxr_vlp.train.fit": ("--out", "--params", "--shard-cache"),
    "cxr_vlp.train.evaluate": ("--model", "--out", "--params", "--shard-cache"),
    "cxr_vlp.train.report": ("--model", "--evaluation", "--out", "--shard-cache"),
    "cxr_vlp.train.resolve": ("--out",),
    "cxr_vlp.train.translate": ("--texts", "--there", "--back", "--out"),
}
FLAGS = [(module, flag) for module, flags in PATHS.items() for flag in flags]


@pytest.mark.parametrize(("module", "flag"), FLAGS)
def test_an_address_does_not_create_a_folder(module, flag, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main = importlib.import_module(module).main
    first = ["mimic"] if module.rpartition(".")[2] in ("scan", "texts", "shards", "plan") else []
    # a raw root, and the folders of a stage, may be in a store
    stage = module.rpartition(".")[2] in ("scan", "texts", "shards")
    stored = flag == "--root" or (stage and flag != "--params")
    for address in ADDRESSES[2:] if stored else ADDRESSES:
        with pytest.raises(SystemExit) as end:
            main([*first, *([flag] if flag else []), address])
        assert end.value.code == 2
        said = capsys.readouterr().err
        assert "mount it, or copy it" in said
        assert "secret" not in said
    assert not list(tmp_path.iterdir())


# sets of shards are read from object stores, and from no other address
SETS = {
    "cxr_vlp.train.fit": "--shards",
    "cxr_vlp.train.evaluate": "--shards",
    "cxr_vlp.train.report": "--shards",
    "cxr_vlp.pipelines.verify": "",
    "cxr_vlp.pipelines.urls": "",
}


@pytest.mark.parametrize("module", SETS)
def test_an_address_that_is_no_store_or_holds_a_password_names_no_sets(module, capsys):
    main, flag = importlib.import_module(module).main, SETS[module]
    for address in ("file:///tmp/x", "HTTPS://user:secret@host/x", "s3://user:secret@b/x", "s3://"):
        with pytest.raises(SystemExit) as end:
            main([*([flag] if flag else []), address])
        assert end.value.code == 2
        said = capsys.readouterr().err
        assert re.search("mount it, or copy it|holds a user, a password|needs the name", said)
        assert "secret" not in said


@pytest.mark.parametrize("name", ["exceptions", "bank", "translations", "model"])
def test_an_address_among_the_parameters_is_refused(built, raw, tmp_path, name):
    file = params(tmp_path, texts={name: "s3://bucket/x.yaml"})
    arguments = ["--root", str(raw / "mimic"), "--params", str(file), "--out", str(tmp_path / "o")]
    with pytest.raises(ConfigError, match=rf"texts\.{name}: s3://\.\.\. is an address"):
        texts.main(["mimic", *arguments, "--scan", str(built / "scan/mimic")])


def test_an_address_as_the_root_in_the_parameters_is_refused(tmp_path):
    file = params(tmp_path, sources={"mimic": {"root": "ftp://bucket/mimic"}})
    with pytest.raises(ConfigError, match="is an address"):
        scan.main(["mimic", "--params", str(file), "--out", str(tmp_path / "o")])


def test_a_folder_with_a_colon_in_its_name_is_accepted(raw, tmp_path):
    out = build(raw / "nih", "nih", tmp_path / "a:b" / "s3:")
    assert out.is_dir()


NEEDED = ("--scan", "a", "--texts", "b", "--out", "c")


def parsed(*words: str):
    return cli.parse_stage(shards._parser(), ["mimic", *NEEDED, *words])[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--worker", "2"], "did you mean --workers"),
        (["--dry-runn"], "flag --dry-runn: did you mean --dry-run"),
        (
            ["--dry_run"],
            "flag --dry_run: did you mean --dry-run",
        ),  # Beam has one, for Google's cloud
        (["--untested_runner"], "did you mean --untested-runner"),
        (["--runer=FnApiRunner"], "did you mean --runner"),
        (["--direct_num_worker", "2"], "did you mean --direct_num_workers"),
        (["-j4"], "flag -j4: see --help"),
        (["nih"], "unknown argument 'nih'"),
        (["--sdk_location=x", "more"], "unknown argument 'more'"),
    ],
)
def test_a_misspelt_flag_is_refused(words, said):
    with pytest.raises(ConfigError, match=said):
        parsed(*words)


def test_flags_of_beam_are_passed_on():
    assert parsed() == flags.Choice()
    found = parsed("--job_name", "x", "--experiments=a", "--experiments=b").beam
    assert found.flags == ("--job_name", "x", "--experiments=a", "--experiments=b",
                           "--runner=FnApiRunner")  # fmt: skip
    assert beam_engine.options(found).get_all_options()["experiments"] == ["a", "b"]


@pytest.mark.parametrize("name", ["DirectRunner", "direct", "FnApiRunner", "fnapi",
    "apache_beam.runners.portability.fn_api_runner.FnApiRunner"])  # fmt: skip
def test_the_local_runner_has_several_names(name):
    assert parsed(f"--runner={name}").beam.local
    assert parsed("--runner", name).beam.flags == ("--runner=FnApiRunner",)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--runner=FlinkRunner"], "never been run .* the jar .* from Maven Central"),
        (["--runner", "spark"], "never been run .* the jar .* from Maven Central"),
        (["--runner=PrismRunner"], "the Go binary .* from GitHub"),
        (["--runner=DataflowRunner"], "Google's cloud"),
        (["--runner=mine.OwnRunner"], r"mine\.OwnRunner has never been run"),
        (["--runner=PortableRunner", "--job_endpoint=localhost:1"], "LOOPBACK"),
        (["--direct_running_mode=multi_processing"], "hangs when a worker is killed"),
    ],
)
def test_untested_runners_are_refused_or_give_a_warning(words, said, capsys):
    with pytest.raises(ConfigError, match=said + ".* --untested-runner"):
        parsed(*words)
    assert parsed(*words, "--untested-runner").beam.flags
    assert "warning: --" in capsys.readouterr().err


def test_a_runner_that_drops_data_is_refused_in_any_case():
    with pytest.raises(ConfigError, match="drops data"):
        parsed("--runner=DaskRunner", "--untested-runner")
    with pytest.raises(ConfigError, match="needs --job_endpoint"):
        parsed("--runner=PortableRunner", "--environment_type=LOOPBACK")


def test_the_flags_of_engines():
    assert parsed("--engine", "spark", "--master", "spark://h:1") == flags.Choice(
        "spark", master="spark://h:1"
    )
    for words, said in (
        (["--engine", "spark"], "needs --master"),
        (["--master", "spark://h:1"], "needs --engine spark"),
        (
            ["--engine", "spark", "--master", "local", "--runner=x"],
            "no flag .* with --engine spark",
        ),
    ):
        with pytest.raises(ConfigError, match=said):
            parsed(*words)


@pytest.mark.parametrize(
    "words",
    [
        ["--engine", "dask"],
        ["--stalled", "0"],
        ["--stalled", "soon"],
        ["--stalled", "nan"],
        ["--stalled", "inf"],
        ["--workers", "0"],
        ["--workers", "\u00b2"],
        ["--workers", "9" * 30],
    ],
)
def test_a_wrong_value_of_a_flag_of_engines_is_refused(words, capsys):
    with pytest.raises(SystemExit):
        parsed(*words)
    assert words[0] in capsys.readouterr().err


def test_the_portable_runner_gives_the_same_bytes(built, raw, tmp_path):
    flags = ["--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK"]
    common = ["nih", "--root", str(raw / "nih"), "--params", str(params(tmp_path))]
    common += ["--state", str(tmp_path / "state"), *flags]
    assert scan.main([*common, "--out", str(tmp_path / "scan/nih")]) == 0
    assert tree_bytes(tmp_path / "scan/nih") == tree_bytes(built / "scan/nih")
    read = ["--scan", str(tmp_path / "scan/nih")]
    assert texts.main([*common, *read, "--out", str(tmp_path / "texts/nih")]) == 0
    assert tree_bytes(tmp_path / "texts/nih") == tree_bytes(built / "texts/nih")


@pytest.mark.parametrize(
    ("runner", "words", "needed"),
    [
        ("FlinkRunner", ["--flink_job_server_jar=/nowhere.jar"], "the jar"),
        ("PrismRunner", ["--prism_location=/nowhere"], "the Go binary"),
        ("DataflowRunner", [], "--project"),
    ],
)
def test_a_runner_that_cannot_start_says_what_it_needs(
    built, raw, tmp_path, capsys, runner, words, needed
):
    command = ["nih", "--root", str(raw / "nih"), "--scan", str(built / "scan/nih")]
    command += ["--params", str(params(tmp_path)), "--out", str(tmp_path / "o")]
    command += ["--state", str(tmp_path / "s"), "--untested-runner", f"--runner={runner}"]
    with pytest.raises(EngineError, match=rf"{runner} could not start .*: it needs .*{needed}"):
        texts.main([*command, *words])
    assert f"warning: --runner {runner} has never been run" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("name", ["inventory.json", "manifest.jsonl"])
@pytest.mark.parametrize("held", [b"", b'{"a"', b"[]", b"{}", b'"x"', b"\xff", b'{"source": 1}'])
def test_an_output_with_a_damaged_header_is_refused_with_the_remedy(tmp_path, name, held):
    (tmp_path / name).write_bytes(held)
    with pytest.raises(ConfigError, match=f"{name} is damaged: remove .*, or choose another --out"):
        cli.own_folder(tmp_path, name, "mimic")


@pytest.mark.parametrize("held", ["{}", '{"parts": {}}', "[]", "{"])
def test_a_header_without_a_source_names_the_stage_to_run(tmp_path, held):
    (tmp_path / "inventory.json").write_text(held)
    with pytest.raises(ConfigError, match=r"is damaged: run `cxr-vlp scan` again"):
        jsonl.read_header(tmp_path, "inventory.json", "scan")
