"""`cxr-vlp resolve RECIPE --out FILE`: writes a recipe with all its values to one file.

The file is itself a recipe, without bases and comments. A training that depends on this file runs
again when a value of its recipe changes, and not when another recipe in train/recipes changes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import yaml

from cxr_vlp.train import cli
from cxr_vlp.train.config import recipe


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    return cli.guarded(lambda: write(arguments.recipe, arguments.out))


def write(name_or_path: str, out: Path) -> None:
    """Write the recipe with all its values, under its own name. Raises ConfigError."""
    values = json.loads(json.dumps(dataclasses.asdict(recipe.load(name_or_path))))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = cli.parser(
        "resolve",
        "Write a recipe with all its values to one file: its bases merged, no comments.",
        f"recipes: {', '.join(recipe.names())}",
    )
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe's name, or a path to a .yaml")
    cli.path_flag(parser, "--out", "the file to write", metavar="FILE")
    return parser


def run() -> int:
    """Run the command with the arguments of the command line; return its exit code."""
    return main()


if __name__ == "__main__":
    sys.exit(run())
