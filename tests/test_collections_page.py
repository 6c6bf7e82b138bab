"""docs/collections.md: each collection and layer has its row; the examples of the page load."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cxr_vlp.pipelines import config, sources
from cxr_vlp.pipelines.sources import layers

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "collections.md").read_text(encoding="utf-8")
PUBLISHED = tuple(name for name in (*sources.BUILT_IN, *sources.PRESETS) if name != "table")
EXAMPLES = tuple(re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S))


def rows() -> Iterator[tuple[str, list[str]]]:
    """Yield (name, cells) of the overview; a layer's name begins with `layer `."""
    table = PAGE[PAGE.index("| name in params.yaml") :].partition("\n\n")[0]
    for line in table.splitlines()[2:]:
        first, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        named = re.fullmatch(r"(layer )?\[`(\w+)`\]\(#[\w-]+\)", first)
        assert named, first
        yield (named[1] or "") + named[2], cells


def test_the_overview_has_each_collection_and_each_layer_once():
    assert sorted(name for name, _ in rows()) == sorted(
        [*PUBLISHED, *(f"layer {name}" for name in layers.LAYERS)]
    )


@pytest.mark.parametrize(("name", "cells"), rows())
def test_the_overview_says_which_collections_need_an_agreement(name, cells):
    bare = name.removeprefix("layer ")
    read = layers.layer(bare) if name != bare else sources.reader(name, {})
    assert len(cells) == 8
    assert cells[-1].startswith("agreement: " if read.credentialed else "open")


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_collection_has_an_example_of_its_own(name):
    assert any(name in yaml.safe_load(each)["sources"] for each in EXAMPLES)


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_is_understood(text, tmp_path):
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    params = config.load(tmp_path / "params.yaml")
    named = list(yaml.safe_load(text)["sources"])
    assert [params.reader(name).name for name in named] == named
    assert all(params.collection(name) for name in named)


def test_no_line_of_text_is_too_long_to_read_in_an_editor():
    longest = max(len(line) for line in PAGE.splitlines() if not line.startswith("|"))
    assert longest <= 150
