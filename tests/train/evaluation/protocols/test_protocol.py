"""Protocols: what they hold, what differs by collection, what params.yaml changes, their digest."""

from __future__ import annotations

import pytest

from cxr_vlp.nlp.labels import CHEXPERT14
from cxr_vlp.train.config import params
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.protocols import protocol
from cxr_vlp.train.evaluation.protocols.protocol import Protocol, load

FIVE = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")


@pytest.mark.parametrize("name", protocol.names())
def test_every_protocol_says_what_it_is_and_where_from(name):
    made = load(name)
    assert made.name == name
    assert 40 < len(made.about) < 140
    text = (protocol.PROTOCOLS / f"{name}.yaml").read_text()
    assert "[ours]" in text


def test_the_protocols_of_the_issue_are_there():
    asked = {"chexzero", "cxrclip", "carzero", "offclip", "benchx", "ours"}
    assert asked | {"mococlip"} == set(protocol.names())


def test_chexzero_reports_fourteen_labels_and_averages_five():
    made = load("chexzero")
    assert set(made.labels) == set(CHEXPERT14)
    assert list(made.labels) == sorted(made.labels)
    assert made.average == FIVE
    assert (made.score, made.thresholds.by, made.no_finding) == ("pair", "mcc", "apart")


@pytest.mark.parametrize(
    ("name", "collection", "count"),
    [("cxrclip", "vindr", 18), ("cxrclip", "rsna", 1), ("offclip", "vindr", 17),
     ("offclip", "openi", 19), ("carzero", "openi", 18), ("carzero", "nih", 14),
     ("carzero", "chexpert", 5), ("carzero", "chestxdet10", 10), ("carzero", "padchest", 0),
     ("mococlip", "nih", 15), ("mococlip", "chexpert", 14)],
)  # fmt: skip
def test_a_paper_with_several_sets_has_the_labels_of_each(name, collection, count):
    assert len(load(name).in_collection(collection).labels) == count


def test_mococlip_averages_no_finding_with_chexzeros_two_texts():
    made = load("mococlip")
    assert (made.average, made.no_finding) == ((), "averaged")
    assert made.prompts == load("chexzero").prompts
    assert "No Finding" in made.in_collection("nih").labels


def test_thresholds_never_come_from_the_test_set():
    assert all(load(name).thresholds.by != "test" for name in protocol.names())
    with pytest.raises(ConfigError, match="expected one of mcc, f1, youden, half, none"):
        load("ours", {"thresholds": {"by": "test"}})


def test_a_change_replaces_the_value_of_a_collection_too():
    made = load("cxrclip", {"labels": ["Edema"], "min_positives": 3})
    assert made.in_collection("vindr").labels == ("Edema",)
    assert made.in_collection("vindr").min_positives == 3
    assert made.in_collection("vindr").prompts.names["Fibrosis"]


def test_the_first_name_that_is_known_decides_and_an_unknown_one_is_the_whole_protocol():
    made = load("cxrclip")
    assert made.in_collection("mine", "rsna").labels == ("Pneumonia",)
    assert made.in_collection("mine") is made


def test_the_digest_follows_every_value_but_not_the_name():
    same = load("ours", {"name": "other", "about": "x"})
    assert same.digest == load("ours").digest
    for changed in ({"bins": 10}, {"of": {"x": {"bins": 10}}}, {"prompts": {"bank": "pair"}}):
        assert load("ours", changed).digest != load("ours").digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompts": {"positive": ["x"]}}, "lacks {}"),
        ({"prompts": {"negative": ["no {}"]}}, "need `positive`"),
        ({"prompts": {"texts": {"Edema": {"positiv": "x"}}}}, "give a text as `positive`"),
        ({"uncertain_of": {"Edema": "maybe"}}, "'maybe' is not one of"),
        ({"average": ["Edema"], "labels": ["Mass"]}, "average: Edema"),
        ({"labels": ["No Finding"], "average": ["No Finding"]}, "no_finding: averaged"),
        ({"score": "positive", "thresholds": {"by": "half"}}, "half needs probabilities"),
        ({"of": {"nih": {"labls": []}}}, "did you mean labels"),
        ({"of": {"nih": {"of": {}}}}, "can hold no name, about or of"),
        ({"of": {"nih": {"bins": 0}}}, "bins"),
        ({"lables": []}, "did you mean labels"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        load("ours", changes)


def test_a_bank_beside_templates_would_not_be_used_and_is_refused():
    with pytest.raises(ConfigError, match="would not be used"):
        load("chexzero", {"prompts": {"bank": "frames"}})


def test_a_file_of_the_user_builds_on_a_protocol(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("base: chexzero\nname: mine\nmin_positives: 5\n")
    assert load(str(path)).average == FIVE
    assert load(str(path)).min_positives == 5
    path.write_text(f"base: {path}\n")
    with pytest.raises(ConfigError, match="name each other"):
        load(str(path))


@pytest.mark.parametrize("name", ["chexzro", "chexzero_"])
def test_an_unknown_protocol_is_refused_with_the_nearest(name, tmp_path):
    with pytest.raises(ConfigError, match="did you mean chexzero"):
        load(name)
    (tmp_path / "p.yaml").write_text(f"evaluate: {{protocol: {name}}}")
    with pytest.raises(ConfigError, match=r"evaluate\.protocol: .*did you mean chexzero"):
        params.load(tmp_path / "p.yaml")


def test_only_what_the_section_gives_changes_a_protocol(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(
        'evaluate: {bank: pair, prompts: "", uncertain: exclude, seed: 3, tasks: [probe]}'
    )
    found = params.load(path)
    assert found.changes == {"uncertain": "exclude", "prompts": {"bank": "pair"}}
    assert params.load(None).changes == {}
    assert load("ours", found.changes).prompts.bank == "pair"


def test_a_protocol_is_made_again_from_what_metrics_json_holds():
    import dataclasses
    import json

    for name in protocol.names():
        made = load(name)
        content = json.loads(json.dumps(dataclasses.asdict(made)))
        again = protocol.built(content, name)
        assert (again, again.digest) == (made, made.digest)
    assert Protocol() == load("ours", {"about": ""})


@pytest.mark.parametrize(
    ("content", "name", "about"),
    [
        ("base: chexzero\nunit: study\n", "my_way", ""),
        ("average: [Atelectasis]\n", "my_way", ""),
        ("name: wards\nabout: by ward\nbase: chexzero\n", "wards", "by ward"),
    ],
    ids=["by its file", "without a base", "as it says"],
)
def test_a_file_of_ones_own_does_not_bear_a_published_name(tmp_path, content, name, about):
    path = tmp_path / "my_way.yaml"
    path.write_text(content, encoding="utf-8")
    made = load(str(path))
    assert (made.name, made.about) == (name, about)
