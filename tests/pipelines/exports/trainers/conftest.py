"""Fixtures of the tests of exports for trainers.

`exported` (an export of the four small sets for each trainer, made once), `given` (an export of
samples that a test makes up), `checkout` (a copy of a trainer's repository, from $CXR_CLIENTS).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cxr_vlp.pipelines.cards import sample_table
from cxr_vlp.pipelines.cards.stored import Stored
from cxr_vlp.pipelines.exports import command, registry
from cxr_vlp.pipelines.exports.base import Chosen, Request, Result
from cxr_vlp.pipelines.format.sample import Pixels, Sample


@pytest.fixture(scope="session")
def exported(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Exports the four sets for a trainer, once a session."""
    folder = tmp_path_factory.mktemp("exported")

    def export(trainer: str) -> Path:
        out = folder / trainer
        if not out.exists():
            words = [str(built / "shards"), "--for", trainer, "--out", str(out)]
            words += ["--workers", "1"]
            assert command.main([*words, "--state", str(folder / ".cxr")]) == 0
        return out

    return export


@dataclass(frozen=True)
class Given(Chosen):
    """A set of samples that a test makes up."""

    made: Sequence[tuple[Sample, bytes]] = field(default=())

    def samples(self, split: str = "") -> Iterator[Stored]:
        """Yield the samples of a split as they would be stored."""
        for sample, image in self.made:
            row = {"key": sample.key, "shard": f"{sample.dataset}-{sample.split}-00000.tar"}
            if split in ("", sample.split):
                yield Stored(row, image, sample.to_json(), sample.caption.encode())


@pytest.fixture
def given(tmp_path: Path) -> Callable[..., tuple[Path, Result]]:
    """Exports made-up samples, given by their fields; returns the folder and the counts."""

    def export(
        trainer: str, samples: Sequence[dict[str, Any]], form: str = "jpg", **options: Any
    ) -> tuple[Path, Result]:
        made = [(_sample(number, fields), _image(form)) for number, fields in enumerate(samples)]
        chosen = Given(tmp_path, {}, sample_table.SCHEMA.empty_table(), made=made)
        out = tmp_path / f"out-{trainer}"
        out.mkdir()
        exporter = registry.load(trainer, registry.TRAINERS)
        return out, exporter.write(Request((chosen,), out, options))

    return export


def _sample(number: int, fields: dict[str, Any]) -> Sample:
    usual = {
        "caption": "c", "findings": "", "impression": "", "abnormal": "", "prior_free": "",
        "prompt": "", "dataset": "own", "patient": f"{number}", "study": f"{number}",
        "image": "0", "split": "train", "view": "frontal", "projection": "PA",
        "pixels": Pixels(height=40, width=30),
    }  # fmt: skip
    return Sample(**(usual | fields))


def _image(form: str) -> bytes:
    grey = np.linspace(0, 255, 40 * 30).reshape(40, 30).astype(np.uint8)
    return bytes(cv2.imencode(f".{form}", grey)[1])


@dataclass(frozen=True)
class Checkout:
    """A trainer's repository, as links in a folder of its own to which a test adds links."""

    root: Path

    def run(self, script: str, *words: Any, stubs: str = "") -> Any:
        """Run a script in the checkout; return the JSON that it prints last.

        `stubs` are modules that the script's imports need and its work does not.
        """
        python = os.environ.get("CXR_CLIENTS_PYTHON", sys.executable)
        made = f"import sys\nfrom unittest.mock import MagicMock\nfor name in {stubs.split()!r}:\n"
        made += "    sys.modules[name] = MagicMock()\nsys.path.insert(0, '.')\n"
        done = subprocess.run(
            [python, "-B", "-c", made + textwrap.dedent(script), *map(str, words)],
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONWARNINGS": "ignore", "CUDA_VISIBLE_DEVICES": ""},
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def checkout(tmp_path: Path) -> Callable[..., Checkout]:
    """Makes a checkout of a trainer; `own` are its folders that a test adds files to."""

    def make(name: str, *own: str) -> Checkout:
        root = Path(os.environ.get("CXR_CLIENTS", "/nowhere")) / name
        if not root.is_dir():
            pytest.skip(f"$CXR_CLIENTS has no checkout of {name}")
        place = tmp_path / "work" / name
        for folder in ("", *own):
            (place / folder).mkdir(parents=True, exist_ok=True)
            for entry in (root / folder).iterdir() if (root / folder).is_dir() else ():
                if entry.relative_to(root).as_posix() not in own:
                    (place / folder / entry.name).symlink_to(entry)
        return Checkout(place)

    return make
