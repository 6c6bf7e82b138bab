"""`cxr-vlp resolve RECIPE --out FILE`: a recipe comes in, one file with all of it goes out.

The file is a recipe itself, without bases and comments. A training that depends on it is done again
when a value of its own recipe changes, and for nothing else that happens in train/recipes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import yaml

from cxr_vlp.train import addresses, cli
from cxr_vlp.train.config import recipe
from cxr_vlp.train.config.build import plain


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    return cli.guarded(lambda: write(arguments.recipe, arguments.out))


def write(name_or_path: str, out: Path) -> None:
    """Write the recipe with all its values under its own name."""
    values = json.loads(json.dumps(plain(recipe.load(name_or_path))))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cxr-vlp resolve",
        description="Write a recipe as one file, with all its values.",
        epilog=f"recipes: {', '.join(recipe.names())}",
    )
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe's name, or a path to a .yaml")
    parser.add_argument(
        "--out", type=addresses.path, required=True, metavar="FILE", help="the file"
    )
    return parser


def run() -> int:
    """Run the command on the words of the command line; return its exit code."""
    return main()


if __name__ == "__main__":
    sys.exit(run())
