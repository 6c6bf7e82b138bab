"""Mistakes in params.yaml and the recipes: types, misspelt names, and words that YAML converts.

Every command refuses them, whether it uses the section or not: exit 2, and a message with the
file, the dotted key, what is wrong and what is allowed.
"""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cxr_vlp.nlp.config import plain_yaml, settings
from cxr_vlp.nlp.config.plain_yaml import SettingsError
from cxr_vlp.nlp.wording import prompts
from cxr_vlp.pipelines import config
from cxr_vlp.pipelines.config import Collection, Filter, Scan, Shards, Texts
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.format.sample import SECTIONS, VIEWS
from cxr_vlp.pipelines.sources import BUILT_IN, reader
from cxr_vlp.pipelines.synthetic.cases import people
from cxr_vlp.train.config import params as of_train
from cxr_vlp.train.config import recipe
from cxr_vlp.train.config.params import EvaluateParams, TrainParams
from cxr_vlp.train.errors import ConfigError as TrainError

ROOT = Path(__file__).resolve().parents[1]

# (the content of the file, a part of the message)
PIPELINES = [
    ('shards: {enlarge: "no"}', 'shards.enlarge: expected true or false, found "no"'),
    ("shards: {enlarge: 0}", "shards.enlarge: expected true or false, found 0"),
    ('texts: {filter: {drop_normal: "false"}}', "texts.filter.drop_normal: expected true or false"),
    (
        "shards: {quality: 95.5}",
        "quality: expected a whole number from 1 to 100, found 95.5",
    ),
    ("shards: {quality: 95.0}", "shards.quality: expected a whole number"),
    (
        "shards: {quality: true}",
        "quality: expected a whole number from 1 to 100, found true",
    ),
    ("shards: {quality: 0}", "from 1 to 100, found 0"),
    ("shards: {quality: 101}", "from 1 to 100, found 101"),
    ('shards: {max_megapixels: "64"}', 'found "64" (a text: leave the quotes out)'),
    ("shards: {side: -256}", "shards.side: expected a whole number from 16 to 8192, found -256"),
    ("shards: {format: jpeg}", 'one of jpg, png, found "jpeg" (did you mean jpg?)'),
    ("shards: {sections: indication}", "shards.sections: expected a list"),
    ("shards: {sections: [indcation]}", "shards.sections[0]: expected one of indication"),
    ("shards: {sections: [history, history]}", 'shards.sections: "history" is repeated'),
    ("shards: {caption: []}", "shards.caption: expected a list"),
    ("shards: {caption: {prompt: 1}}", "found keys and values"),
    ("shards: {size: 80}", "shards: unknown key 'size' (did you mean side?)"),
    ("shards: {qualty: 9, sidee: 9}", "shards: unknown key 'sidee' (did you mean side?)"),
    ("shards: [1]", "shards: expected keys and values, found a list"),
    ("shards: false", "shards: expected keys and values, found false"),
    ("sources: 0", "sources: expected keys and values"),
    ("shard: {side: 80}", "unknown section 'shard' (did you mean shards?)"),
    ("surces: {}", "unknown section 'surces' (did you mean sources?)"),
    ("sources: {mimc: {}}", "sources: unknown collection 'mimc' (did you mean mimic?)"),
    ("sources: {mimic: {rot: x}}", "sources.mimic: unknown key 'rot' (did you mean root?)"),
    ("sources: {mimic: {root: 7}}", "sources.mimic.root: expected a text, found 7 (quote it)"),
    ("sources: {nih: {reader: {list: none}}}", "sources.nih.reader: unknown key 'list'"),
    ("sources: {nih: {reader: {lists: offical}}}", "(did you mean official?)"),
    ("sources: {openi: {reader: {x: 1}}}", "sources.openi.reader: unknown key 'x'"),
    ("sources: {nih: {reader: [lists]}}", "sources.nih.reader: expected keys and values"),
    (
        "sources: {mimic: {parts: {train: true, validate: 1, test: 1}}}",
        "sources.mimic.parts.train: expected a whole number from 1 to 100000, found true",
    ),
    ("sources: {mimic: {parts: {train: 4, validate: 1, test: 0}}}", "parts.test: expected a whole"),
    ("sources: {mimic: {parts: {train: 4, test: 1}}}", "parts: validate is missing"),
    (
        "sources: {mimic: {parts: {train: 4, valid: 1, test: 1}}}",
        "parts: unknown split 'valid' (did you mean validate?)",
    ),
    ("sources: {mimic: {parts: null}}", "parts: expected keys and values"),
    ("sources: {mimic: {max_rejects: 1.5}}", "max_rejects: expected a number from 0 to 1"),
    ("sources: {mimic: {max_rejects: .nan}}", "found no number (nan)"),
    ("sources: {mimic: {links: 1}}", "links: expected true or false"),
    ("collections: mimic", 'collections: expected a list (a text each), not empty, found "mimic"'),
    ("collections: []", "collections: expected a list (a text each), not empty"),
    ("collections:", "collections: expected a list"),
    ("collections: [nih, nih]", 'collections: "nih" is repeated'),
    ("collections: [chexprt]", "unknown collection 'chexprt' (did you mean chexpert?)"),
    ("texts: {prompts: 0}", "texts.prompts: expected a whole number from 1"),
    ("texts: {seed: -1}", "texts.seed: expected a whole number from 0"),
    ("texts: {bank: null}", "texts.bank: expected a text, found nothing"),
    ("texts: {filter: {fallback: [prompts]}}", "(did you mean prompt?)"),
    ("texts: {filter: {fallback: prompt}}", "(write [prompt])"),
    ("scan: {validate: .inf}", "scan.validate: expected a number from 0 below 1"),
    ("scan: {validate: -0.1}", "scan.validate: expected a number from 0 below 1"),
    ("scan: {validate: 0.5, test: 0.5}", "leave room for train"),
    ("scan: {salt: ''}", "scan.salt: expected a text, not empty"),
]
TRAIN = [
    ("train: {sed: 1}", "train: unknown key 'sed' (did you mean seed?)"),
    ("train: {seed: 1.0}", "train.seed: expected a whole number"),
    (
        "train: {recipe: chexzero_tny}",
        "recipe 'chexzero_tny' (did you mean chexzero_tiny?)",
    ),
    ("train: {overrides: [1]}", "train.overrides: expected keys and values"),
    ("train: {overrides: {optm: {}}}", "overrides: unknown key 'optm' (did you mean optim?)"),
    (
        "train: {overrides: {optim: {Lr: 1}}}",
        "overrides.optim: unknown key 'Lr' (did you mean lr?)",
    ),
    ("train: {overrides: {optim: {lr: .nan}}}", "train.overrides.optim.lr: expected a number"),
    ('train: {overrides: {run: {epochs: "3"}}}', "train.overrides.run.epochs: expected a whole"),
    (
        "train: {overrides: {image: {area: 0.9}}}",
        "overrides.image.area: expected a list of 2",
    ),
    ("train: {overrides: {text: {policies: [impresion]}}}", "unknown 'impresion'"),
    ("train: {overrides: {text: {policies: labels}}}", "policies: expected a list"),
    ("train: {overrides: {data: {weights: {size: 2}}}}", "weights.size: DVC leaves keys"),
    ("train: {overrides: {run: {nfiles: 2}}}", "run.nfiles: DVC leaves keys"),
    ("evaluate: {views: frontal}", "evaluate.views: expected a list"),
    ("evaluate: {views: [fronal]}", "(did you mean frontal?)"),
    ("evaluate: {bank: frame}", "(did you mean frames?)"),
    ("evaluate: {min_positives: 0}", "evaluate.min_positives: expected a whole number from 1"),
    ("evaluate: {labels: [Edema, Edema]}", 'evaluate.labels: "Edema" is repeated'),
    ("evalute: {}", "unknown section 'evalute' (did you mean evaluate?)"),
]
# Values that YAML 1.1 (our reader) and 1.2 (DVC's) read differently, and repeated keys.
YAML = [
    ("shards: {enlarge: no}", "shards.enlarge: `no` is true or false to some readers only"),
    ("texts: {model: on}", "texts.model: `on` is true or false to some readers only"),
    ("train: {overrides: {optim: {lr: 5e-4}}}", "overrides.optim.lr: `5e-4`"),
    ("train: {overrides: {optim: {lr: 5e-4}}}", "write 5.0e-4"),
    ("train: {overrides: {optim: {lr: 1.5e3}}}", "write 1.5e+3"),
    ("texts: {seed: 017}", "texts.seed: `017` is another number to some readers"),
    ("texts: {seed: 09}", "texts.seed: `09` is a text to some readers"),
    ("texts: {seed: 0o17}", "texts.seed: `0o17` is a text to some readers"),
    ("texts: {seed: 0x1F}", "texts.seed: `0x1F` is another number"),
    ("texts: {seed: 1_000}", "texts.seed: `1_000` is another number"),
    ("texts: {seed: 1:30}", "texts.seed: `1:30` is another number"),
    ("evaluate: {labels: [2001-01-01]}", "evaluate.labels[0]: `2001-01-01` is a date"),
    ("shards: {side: 80, side: 224}", "shards: the key 'side' is repeated"),
    ("shards: {side: 80}\nshards: {side: 80}", "the key 'shards' is repeated"),
    ("sources: {mimic: {}, mimic: {}}", "sources: the key 'mimic' is repeated"),
    ("shards: {no: 1}", "shards: the key `no` is no text"),
    ("5: {}", "the key `5` is no text"),
    ("? [a]\n: 1", "the key a list is no text"),
    ("- shards", "expected keys and values at the top level"),
    ("shards: {side: [", "line 1: not valid YAML"),
    ("shards: !!python/object:os.system {}", "not valid YAML"),
    ("a: 1\n---\nb: 2", "not valid YAML"),
]


@pytest.fixture
def said(tmp_path):
    """Return the messages of pipelines and train for a file, "" where it is accepted."""

    def messages(text: str) -> dict[str, str]:
        path = tmp_path / "params.yaml"
        path.write_text(text)
        found = {"pipelines": "", "train": ""}
        try:
            config.load(path)
        except ConfigError as error:
            found["pipelines"] = str(error)
        try:
            of_train.load(path)  # a section that most of them do not touch
        except TrainError as error:
            found["train"] = str(error)
        assert all(str(path) in each for each in found.values() if each)
        return found

    return messages


@pytest.mark.parametrize(("text", "message"), PIPELINES)
def test_the_pipelines_refuse_it(said, text, message):
    assert message in said(text)["pipelines"]


@pytest.mark.parametrize(("text", "message"), TRAIN)
def test_training_refuses_it(said, text, message):
    assert message in said(text)["train"]


@pytest.mark.parametrize(("text", "message"), YAML)
def test_both_rooms_refuse_ambiguous_yaml(said, text, message):
    found = said(text)
    assert message in found["pipelines"]
    assert message in found["train"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "shards:",  # all of its keys commented out
        "sources:",
        "sources: {mimic: {reader: }}",
        "train: {overrides: }",
        "shards: {quality: 1, side: 16}",
        "shards: {quality: 100, side: 8192, sections: []}",
        "scan: {validate: 0, test: 0}",
        "sources: {mimic: {max_rejects: 1}}",
        "sources: {nih: {reader: {lists: none}}}",
        "sources: {mimic: {parts: {train: 1, validate: 1, test: 1}}}",
        "collections: [nih, mimic]",
        "texts: {model: 'on', bank: \"2001-01-01\"}",
        "train: {overrides: {optim: {lr: 1e-05}}}",  # as `dvc exp run -S` writes it
        "train: {overrides: {optim: {lr: 5.0e-4}, run: {precision: 'no'}}}",
        "train: {recipe: my/own.yaml}",
        "x: &x {side: 80}\n".replace("x:", "shards:"),
    ],
)
def test_what_is_allowed_passes(said, text):
    assert said(text) == {"pipelines": "", "train": ""}


def test_our_own_file_passes(said):
    assert said((ROOT / "params.yaml").read_text()) == {"pipelines": "", "train": ""}


@pytest.mark.parametrize(
    "text",
    [
        "scan: {salt: null}", "scan: {salt: 123456789}", "scan: {slat: hunter2}", "scan: hunter2",
        "scan: {salt: 0123456789}", "scan: {salt: [hunter2]}", "scan: {salt: hunter2, salt: x}",
        "scan: {salt: hunter2, validate: hunter2}", "scan: {salt: 'hunter2}",
        "scan: {salt: 2001-01-01}", "scan: {salt: {hunter2: 1}}", "scan: {salt: 5e-7}",
        "scan: {salt: hunter2\n  x: [",
    ],
)  # fmt: skip
def test_a_salt_is_never_echoed(said, text):
    found = said(text)
    assert found["pipelines"]
    for message in found.values():
        for secret in ("hunter2", "123456789", "2001", "5e-7"):
            assert secret not in message.replace(str(Path.cwd()), "")


def test_all_faults_are_reported_at_once(said):
    found = said('shards: {enlarge: "no", qualty: 9, side: 1}')["pipelines"]
    assert len(found.splitlines()) == 3


@pytest.mark.parametrize("data", [b"\xff\xfe", b"shards: {a: \x00}", b"[" * 5000])
def test_a_file_that_is_not_text_is_reported(tmp_path, data):
    path = tmp_path / "params.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"params\.yaml"):
        config.load(path)
    with pytest.raises(ConfigError, match="a folder"):
        config.load(tmp_path)
    with pytest.raises(ConfigError, match="no such file"):
        config.load(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("scan", ["mimic", "--out", "x"]),
        ("texts", ["mimic", "--scan", "x", "--out", "x"]),
        ("shards", ["mimic", "--scan", "x", "--texts", "x", "--out", "x"]),
        ("plan", ["mimic", "--scan", "x"]),
        ("verify", ["x"]),
    ],
)
def test_every_command_of_the_pipelines_reads_the_whole_file(tmp_path, command, more, capsys):
    import importlib

    path = tmp_path / "params.yaml"
    module = importlib.import_module(f"cxr_vlp.pipelines.{command}")
    for text in ("surces: {}", "texts: {filter: {drop_normal: 'no'}}", "scan: {test: 2}"):
        path.write_text(text)
        with pytest.raises(ConfigError, match=text.split(":")[0]) as caught:
            module.main([*more, "--params", str(path)])
        assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("command", "more"), [("fit", ["chexzero_tiny"]), ("evaluate", ["--model=x"])]
)
def test_every_command_of_training_reads_the_whole_file(tmp_path, command, more, capsys):
    import importlib

    path = tmp_path / "params.yaml"
    module = importlib.import_module(f"cxr_vlp.train.{command}")
    path.write_text("evaluate: {bank: x}\ntrain: {sed: 1}")
    for _ in range(2):
        asked = [*more, "--shards", "x", "--out", "x", "--params", str(path)]
        assert module.main(asked) == 2
        assert "train: unknown key 'sed'" in capsys.readouterr().err
        path.write_text("train: {sed: 1}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: chexzero_tny", "(did you mean chexzero_tiny?)"),
        ("base: 5", "base: expected a recipe's name"),
        ("base: [chexzero, 5]", "base: expected a recipe's name"),
        ("optm: {lr: 1}", "unknown key 'optm' (did you mean optim?)"),
        ("optim: {lr: '1'}", "recipe x: optim.lr: expected a number"),
        ("optim: {lr: 1e-4}", "write 1.0e-4"),
        ("run: {precision: no}", "`no` is true or false to some readers only"),
        ("run: {steps: 1, steps: 2}", "the key 'steps' is repeated"),
        ("run: {batch_size: 8, chunk: 9}", "chunk: 9 is above batch_size: 8"),
        ("data: {weights: {size: 1}}", "data.weights.size: DVC leaves"),
        ("model: {fusion: {width: 10, heads: 4}}", "no multiple of heads"),
        ("image: {std: 0}", "image.std: expected a number above 0"),
    ],
)
def test_a_recipe_is_checked_against_its_classes(tmp_path, text, message):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(TrainError) as caught:
        recipe.load(path)
    assert message in str(caught.value)


def test_an_empty_section_of_overrides_does_not_wipe_the_recipes():
    changed = recipe.load("chexzero", {"optim": None, "loss": {"weights": None}})
    assert changed == recipe.load("chexzero")


@pytest.mark.parametrize(
    "section",
    [Scan(), Texts(filter=Filter(fallback=["prompt"])), Shards(side=64), Collection(),
     TrainParams(), EvaluateParams(views=["frontal"]), recipe.load("best_tiny"),
     reader("nih", {"lists": "none"})],
    ids=lambda section: type(section).__name__,
)  # fmt: skip
def test_a_section_is_frozen_and_goes_to_workers(section):
    assert pickle.loads(pickle.dumps(section)) == section
    assert dataclasses.replace(section) == section
    name = next(iter(settings.hints(type(section))))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(section, name, 1)


def test_lists_and_tuples_are_one():
    assert Shards(sections=["history"]) == Shards(sections=("history",))
    assert hash(Shards(caption=["prompt"])) == hash(Shards(caption=("prompt",)))


def test_the_allowed_values_are_those_of_the_code():
    from typing import get_args

    assert set(get_args(config.SectionName)) == set(SECTIONS)
    assert set(get_args(settings.hints(EvaluateParams)["bank"])) == set(prompts.BANKS)
    assert set(get_args(recipe.View)) == set(VIEWS)
    shown = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert set(shown["sources"]) == set(shown["collections"]) == set(people.SOURCES)
    assert set(people.SOURCES) < set(BUILT_IN)


words = st.text("abno01579.eE+-_:xyfalsetru ", min_size=1, max_size=8)


@given(words)
def test_a_value_that_dvc_reads_differently_is_refused(tmp_path_factory, word):
    ruamel = pytest.importorskip("dvc.utils.serialize")
    text = f"a: {word}\n"
    path = tmp_path_factory.getbasetemp() / "word.yaml"
    path.write_text(text)
    try:
        ours = plain_yaml.read(path)
    except SettingsError:
        return
    theirs = ruamel.parse_yaml(text, "word.yaml")
    assert repr(ours) == repr(theirs)
