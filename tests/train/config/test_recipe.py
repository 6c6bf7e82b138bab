"""Recipes: inheritance, overrides, and errors that name the key."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from cxr_vlp.train import resolve
from cxr_vlp.train.config import params, recipe
from cxr_vlp.train.config.sections import build
from cxr_vlp.train.errors import ConfigError


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)


@pytest.mark.parametrize("name", recipe.names())
def test_every_recipe_loads_under_its_own_name_and_survives_json(name):
    loaded = recipe.load(name)
    assert loaded.name == name
    again = build(recipe.Recipe, json.loads(json.dumps(dataclasses.asdict(loaded))), "echo")
    assert again == loaded


def test_a_recipe_inherits_from_its_bases(tmp_path):
    write(
        tmp_path,
        a="loss: {cap: 0.5}\noptim: {lr: 1, momentum: 0.5}\nrun: {epochs: 7}\n",
        b="base: a\noptim: {lr: 2}\n",
        c="base: b\nrun: {batch_size: 9}\n",
    )
    loaded = recipe.load(tmp_path / "c.yaml")
    assert (loaded.name, loaded.run.epochs, loaded.run.batch_size) == ("c", 7, 9)
    assert (loaded.optim.lr, loaded.optim.momentum) == (2.0, 0.5)


def test_overrides_replace_values_of_the_recipe():
    loaded = recipe.load("chexzero", {"optim": {"lr": 3e-4}, "run": {"batch_size": 16}})
    assert (loaded.optim.lr, loaded.run.batch_size, loaded.optim.name) == (3e-4, 16, "sgd")


def test_chexzero_has_the_values_of_the_paper():
    loaded = recipe.load("chexzero")
    assert (loaded.optim.name, loaded.optim.lr, loaded.optim.momentum) == ("sgd", 1e-4, 0.9)
    assert loaded.image.mean == pytest.approx(101.48761 / 255, abs=1e-5)
    assert loaded.image.std == pytest.approx(83.43944 / 255, abs=1e-5)
    assert (loaded.run.epochs, loaded.optim.schedule, loaded.image.crop) == (4, "constant", 0)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"optim": {"learning_rate": 1}}, r"optim: unknown key 'learning_rate'.*lr.*momentum"),
        ({"epochs": 3}, r"unknown key 'epochs'; known: name, model, image"),
        (
            {"optim": {"name": "lion"}},
            r"optim\.name: expected one of sgd, adam, adamw, found \"lion\"",
        ),
        ({"run": {"precision": False}}, r"precision: expected one of no, bf16, fp16, found false"),
        ({"run": {"steps": 1.5}}, r"steps: expected a whole number from 0, found 1\.5"),
        ({"run": {"steps": True}}, r"steps: expected a whole number from 0, found true"),
        ({"run": {"batch_size": 1}}, r"batch_size: expected a whole number from 2, found 1"),
        ({"optim": {"betas": [0.9]}}, r"betas: expected a list of 2 "),
        ({"optim": {"lr": "fast"}}, r"lr: expected a number from 0, found \"fast\""),
        ({"optim": 3}, r"optim: expected keys and values"),
        (
            {"image": {"count": 3}},
            r"image\.count: expected a whole number from 1 to 2, found 3",
        ),
        ({"image": {"pictures": 2}}, r"image: unknown key 'pictures' \(did you mean count\?\)"),
        ({"text": {"texts": 2}}, r"text: unknown key 'texts' \(did you mean count\?\)"),
        ({"image": {"area": [0.9, 0.5]}}, r"image\.area: 0\.9 is above 0\.5"),
        (
            {"image": {"augment": {"flip": 2}}},
            r"augment\.flip: expected a number from 0 to 1, found 2",
        ),
        ({"image": {"augment": {"mirror": 1}}}, r"augment: unknown key 'mirror'"),
        ({"text": {"uncertain": "maybe"}}, r"text\.uncertain: expected one of"),
        ({"data": {"unit": "patient"}}, r"data\.unit: expected one of image, study"),
        (
            {"data": {"weights": {"nih": -1}}},
            r"data\.weights\.nih: expected a number from 0 to 1000, found -1",
        ),
        ({"image": {"crop": 2}}, r"image\.crop: expected a number from 0 to 0\.9, found 2"),
    ],
)
def test_a_wrong_key_or_value_is_named(overrides, message):
    with pytest.raises(ConfigError, match=message):
        recipe.load("chexzero", overrides)


def test_of_several_bases_the_later_one_counts_and_each_file_is_named_once(tmp_path):
    write(
        tmp_path,
        a="optim: {lr: 1, momentum: 0.5}\nrun: {epochs: 7}\n",
        b="base: a\noptim: {lr: 2}\n",
        c="base: a\nrun: {epochs: 3}\n",
        d="base: [b, c]\nrun: {batch_size: 9}\n",
    )
    loaded = recipe.load(tmp_path / "d.yaml")
    # c is merged as a whole with its base, after b
    assert (loaded.optim.lr, loaded.run.epochs, loaded.run.batch_size) == (1.0, 3, 9)
    assert [path.stem for path in recipe.files(tmp_path / "d.yaml")] == ["a", "b", "c", "d"]


def test_a_recipe_that_is_its_own_base_fails(tmp_path):
    write(tmp_path, a="base: b\n", b="base: a\n")
    with pytest.raises(ConfigError, match="its own base"):
        recipe.load(tmp_path / "a.yaml")


def test_an_unknown_recipe_fails_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"no recipe 'chexone'.*chexzero_tiny"):
        recipe.load("chexone")


def test_params_give_a_section_or_its_defaults(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("train: {recipe: chexzero, overrides: {optim: {lr: 1.0e-3}}}\nscan: {x: 1}\n")
    given = params.load(path)
    assert recipe.load(given.train.recipe, given.train.overrides).optim.lr == 1e-3
    assert given.evaluate == params.EvaluateParams()
    assert params.load(None) == params.Params()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("evaluate: {label: [Edema]}", "unknown key 'label'"),
        ("evaluate: {uncertain: maybe}", "expected one of exclude, positive, negative"),
        ("evaluate: {resamples: -1}", "expected a whole number from 0 to 1000000, found -1"),
        ("evaluate: 3", "expected keys and values"),
        ("evaluate: [", "not valid YAML"),
        ("- 1", "at the top level"),
    ],
)
def test_a_wrong_params_file_is_named(tmp_path, text, message):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        params.load(path)


@pytest.mark.parametrize("name", recipe.names())
def test_a_resolved_recipe_equals_the_recipe(name, tmp_path):
    assert resolve.main([name, "--out", str(tmp_path / "flat" / "any.yaml")]) == 0
    assert recipe.load(tmp_path / "flat" / "any.yaml") == recipe.load(name)


def test_a_resolved_recipe_changes_with_a_base_but_not_with_a_comment(tmp_path):
    def written() -> bytes:
        assert resolve.main([str(tmp_path / "b.yaml"), "--out", str(tmp_path / "flat.yaml")]) == 0
        return (tmp_path / "flat.yaml").read_bytes()

    write(tmp_path, a="optim: {lr: 1}\n", b="base: a\nrun: {epochs: 7}\n")
    before = written()
    write(tmp_path, a="# a word\noptim: {lr: 1.0}\n")
    assert written() == before
    write(tmp_path, a="optim: {lr: 2}\n")
    assert written() != before


def test_resolving_an_unknown_recipe_ends_with_2(tmp_path, capsys):
    assert resolve.main(["chexone", "--out", str(tmp_path / "x.yaml")]) == 2
    assert "no recipe 'chexone'" in capsys.readouterr().err
