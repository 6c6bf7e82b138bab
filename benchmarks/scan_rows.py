"""Measures `scan` on a table of one's own: CPU seconds and peak memory, by the number of rows.

    python benchmarks/scan_rows.py --rows 2000 20000 100000

Each size is a process of its own, so that the peak memory is that of the size. The images are hard
links to one small PNG: what is measured is the tables, the names of the files and the joins.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]

# ruff: noqa: E402 - the folder has to be known before
import timing

FINDINGS = ("Pneumonia", "Mass", "Nodule", "Edema", "Hernia")
PER_FOLDER = 500
PER_FILE = 60_000  # a file system allows about 65,000 hard links


def make(root: Path, rows: int) -> None:
    """Write a tree of `rows` images and films.csv."""
    import cv2
    import numpy as np

    grey = np.random.default_rng(0).integers(0, 255, (16, 16)).astype("uint8")
    data = cv2.imencode(".png", grey)[1].tobytes()
    with (root / "films.csv").open("w", encoding="utf-8") as table:
        table.write(f"image,patient_id,study_id,view,sex,age,{','.join(FINDINGS)},report\n")
        for n in range(rows):
            path = root / f"images/{n // PER_FOLDER:04}/film{n:07}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            first = root / f"first{n // PER_FILE}.bin"
            if not first.exists():
                first.write_bytes(data)
            os.link(first, path)
            labels = ",".join(str(int((n // 2 + k) % 7 == 0)) for k in range(len(FINDINGS)))
            report = "The lungs are clear. No effusion. " * 10
            table.write(
                f"{path.name},p{n // 4:06},s{n // 2:07},PA,F,50,{labels},{report}{n // 2}\n"
            )


def measure(root: Path) -> dict[str, float]:
    """Scan a tree; return CPU seconds and the peak memory in megabytes."""
    from cxr_vlp.pipelines import scan

    out = root / "out"
    params = root / "params.yaml"
    params.write_text(f"sources:\n  clinic: {{preset: table, root: {root}}}\n")
    flags = ["--params", str(params), "--state", str(root / "state")]
    before, begun = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    scan.main(["clinic", *flags, "--out", str(out)])
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu": cpu, "wall": time.monotonic() - begun, "peak": after.ru_maxrss / 1024}


def main() -> None:
    """Measure each size in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000, 20_000, 100_000])
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.one:
        sys.stderr.write(json.dumps(measure(flags.one)) + "\n")
        return
    sys.stdout.write("rows     CPU s  ms a row  peak MB\n")
    results = {}
    for rows in flags.rows:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), rows)
            command = [sys.executable, __file__, "--one", folder]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                sys.exit(done.stderr)
            found = results[rows] = json.loads(done.stderr.splitlines()[-1])
            each = found["cpu"] / rows * 1000
            sys.stdout.write(f"{rows:>7} {found['cpu']:>6.1f} {each:>9.2f} {found['peak']:>8.0f}\n")
    out = Path(__file__).parent / "results" / "scan_rows.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"rows": results, "machine": timing.machine()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
