"""Draw the figures of README: `python docs/figures.py` (or `make figures`).

    docs/figures/flow.svg     the steps of the pipeline
    docs/figures/sample.svg   one synthetic image, the sentences of its report coloured by status
    docs/figures/page.png     the top of reports/site/index.html, where `make demo` has made one

The sample is not drawn by hand: it is read out of a shard that the commands make of a small
synthetic collection, in a temporary folder. The two SVG files are the same in every run, and
`tests/test_documents.py` compares them with the committed ones. The screenshot needs Chromium.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
FONT = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
CODE = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
DARK, LIGHT, LINE, PAPER = "#1c2733", "#5b6b82", "#7a869a", "#f6f8fc"
BLUE = "#2456a6"
COLOURS = {
    "normal": "#1a7f37",
    "abnormal": "#b42318",
    "uncertain": "#a15c00",
    "nonfinding": "#6b7684",
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

# name, what it holds, the command that makes it, where it is written
STEPS = (
    ("raw tree", "as downloaded: tables, images, reports", "", "sources.NAME.root"),
    ("scan", "studies, images and splits", "cxr-vlp scan", "data/scan"),
    ("texts", "sentences with status, labels, prompts", "cxr-vlp texts", "data/texts"),
    ("shards", "WebDataset tars: image, caption, JSON", "cxr-vlp shards", "data/shards"),
    ("train, evaluate", "seven methods; any model, all tasks", "cxr-vlp fit, evaluate", "models"),
    ("report", "a site: counts, images, scores, curves", "cxr-vlp report", "reports"),
)
PARAMS = """\
sources: {mimic: {root: raw/mimic, parts: {train: 1, validate: 1, test: 1}}}
shards: {side: 300, quality: 85}
"""
COMMANDS = (
    "synthetic --out raw --sources mimic --studies 24",
    "scan mimic --out scan",
    "texts mimic --scan scan --out texts",
    "shards mimic --scan scan --texts texts --out shards",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the figures; return 0, or 1 where the screenshot could not be made."""
    parser = argparse.ArgumentParser(description="Draw the figures of README.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "figures", metavar="DIR")
    parser.add_argument(
        "--page", type=Path, default=ROOT / "reports" / "site" / "index.html", metavar="FILE"
    )
    flags = parser.parse_args(arguments)
    flags.out.mkdir(parents=True, exist_ok=True)
    (flags.out / "flow.svg").write_text(flow(), encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        (flags.out / "sample.svg").write_text(sample(Path(folder)), encoding="utf-8")
    problem = screenshot(flags.page.resolve(), flags.out / "page.png")
    if problem:
        sys.stderr.write(f"page.png is left as it was: {problem}\n")
    return int(bool(problem))


def flow() -> str:
    """Return the SVG of the steps: two rows of three boxes, readable at a width of 400 pixels."""
    width, tall, gap = 204, 140, 24
    drawn = []
    for place, step in enumerate(STEPS):
        x, y = (place % 3) * (width + gap) + 5, (place // 3) * (tall + 50) + 5
        drawn.append(_box(step, x, y, width, tall))
        if place in (0, 1, 3, 4):
            drawn.append(_arrow(f"M{x + width} {y + tall // 2} h{gap - 6}"))
    turn = f"M{5 + 2.5 * width + 2 * gap} {5 + tall} v25 H{5 + width // 2} v19"
    return _svg(670, 340, [*drawn, _arrow(turn)], "The steps: " + ", ".join(s[0] for s in STEPS))


def _box(step: tuple[str, str, str, str], x: int, y: int, width: int, tall: int) -> str:
    name, about, command, folder = step
    lines = [
        f'<rect x="{x}" y="{y}" width="{width}" height="{tall}" rx="10" fill="{PAPER}" '
        f'stroke="{LIGHT}" stroke-width="1.5"/>',
        _text(x + 14, y + 33, name, 22, DARK, weight=700),
    ]
    for row, line in enumerate(textwrap.wrap(about, 22, break_on_hyphens=False)):
        lines.append(_text(x + 14, y + 58 + 20 * row, line, 15, DARK))
    lines.append(_text(x + 14, y + 105, command, 14, BLUE, font=CODE) if command else "")
    lines.append(_text(x + 14, y + 126, folder, 14, LIGHT, font=CODE))
    return "\n".join(line for line in lines if line)


def _arrow(path: str) -> str:
    return f'<path d="{path}" fill="none" stroke="{LINE}" stroke-width="2.5" marker-end="url(#a)"/>'


def sample(folder: Path) -> str:
    """Return the SVG of a sample of the shards in `folder`: image, labels, sentences by status."""
    image, member = chosen(samples(folder))
    width, height = Image.open(io.BytesIO(image)).size
    wide = 290
    tall = round(wide * height / width)
    code = base64.b64encode(image).decode()
    place = f'x="20" y="20" width="{wide}" height="{tall}"'
    drawn = [f'<image {place} href="data:image/jpeg;base64,{code}"/>']
    y = tall + 52
    drawn.append(_text(20, y, "labels", 15, LIGHT))
    for row, (name, value) in enumerate(sorted(member["labels"].items()), start=1):
        drawn.append(_text(20, y + 21 * row, f"{value:>2}  {name}", 14, DARK, font=CODE))
    left = y + 21 * len(member["labels"])
    sentences = list(_sentences(member["sentences"], 335))
    drawn += [shape for _, shape in sentences]
    legend = max(left, sentences[-1][0]) + 38
    drawn += _legend(legend)
    card = (
        f'<rect x="1" y="1" width="698" height="{legend + 17}" rx="10" fill="#ffffff" '
        f'stroke="{LINE}"/>'
    )
    about = "A synthetic chest X-ray and the sentences of its report, coloured by status"
    return _svg(700, legend + 19, [card, *drawn], about)


def _sentences(rows: Sequence[Mapping[str, Any]], x: int) -> Iterator[tuple[int, str]]:
    """Yield (the y below it, SVG) of each heading and sentence."""
    y, section = 16, ""
    for row in rows:
        if row["section"] != section:
            section = row["section"]
            y += 22
            yield y, _text(x, y, section.upper(), 14, LIGHT, weight=700)
            y += 6
        lines = textwrap.wrap(row["text"], 34)
        colour = COLOURS[row["status"]]
        bar = f'<rect x="{x}" y="{y + 6}" width="5" height="{22 * len(lines)}" fill="{colour}"/>'
        words = [_text(x + 14, y + 22 + 22 * n, line, 17, colour) for n, line in enumerate(lines)]
        y += 22 * len(lines) + 8
        yield y, "\n".join([bar, *words])


def _legend(y: int) -> Iterator[str]:
    for place, (status, colour) in enumerate(COLOURS.items()):
        x = 20 + 165 * place
        yield f'<rect x="{x}" y="{y - 13}" width="14" height="14" rx="3" fill="{colour}"/>'
        yield _text(x + 21, y, status, 16, colour)


def build(folder: Path) -> None:
    """Make a small synthetic collection and its shards. Raises SystemExit where that fails."""
    (folder / "params.yaml").write_text(PARAMS, encoding="utf-8")
    path = os.pathsep.join([str(ROOT / ".src"), os.environ.get("PYTHONPATH", "")])
    for command in COMMANDS:
        done = subprocess.run(
            [sys.executable, "-m", "cxr_vlp.cli", *command.split()],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"cxr-vlp {command} ended with {done.returncode}:\n{done.stderr}")


def samples(folder: Path) -> list[tuple[bytes, dict[str, Any]]]:
    """Return (JPEG, JSON member) of every sample of the shards in `folder`."""
    return [pair for tar in sorted(folder.glob("shards/*/*.tar")) for pair in _pairs(tar)]


def _pairs(tar: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    with tarfile.open(tar) as members:
        held = {m.name: members.extractfile(m) for m in members}
        bytes_of = {name: stream.read() for name, stream in held.items() if stream}
    for name in sorted(bytes_of):
        if name.endswith(".json"):
            yield bytes_of[f"{name.removesuffix('.json')}.jpg"], json.loads(bytes_of[name])


def chosen(pairs: Sequence[tuple[bytes, dict[str, Any]]]) -> tuple[bytes, dict[str, Any]]:
    """Return the frontal sample with the shortest report among those that show every status."""
    fit = [pair for pair in pairs if pair[1]["view"] == "frontal"]
    fit = [pair for pair in fit if {s["status"] for s in pair[1]["sentences"]} >= {*COLOURS}]
    if not fit:
        raise SystemExit("no report holds every status: raise --studies in COMMANDS")
    return min(fit, key=lambda pair: (_length(pair[1]), pair[1]["image"]))


def _length(member: Mapping[str, Any]) -> int:
    return sum(len(sentence["text"]) for sentence in member["sentences"])


def screenshot(page: Path, out: Path) -> str:
    """Write the top of the site's first page as PNG; return "", or why not and what to do."""
    if not page.is_file():
        return f"there is no {page.name}; run `make demo` first, or name one with --page"
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        return "no Chromium or Chrome is on PATH; install one (apt-get install chromium)"
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "page.png"
        flags = ("--headless=new", "--no-sandbox", "--hide-scrollbars", "--window-size=1200,1000")
        command = [browser, *flags, f"--user-data-dir={folder}/home", f"--screenshot={raw}"]
        done = subprocess.run([*command, page.as_uri()], capture_output=True, check=False)
        if not raw.is_file():
            return f"{browser} ended with {done.returncode} and wrote nothing"
        few = Image.open(raw).convert("RGB").quantize(48, dither=Image.Dither.NONE)
        few.save(out, optimize=True)
    return ""


def _text(
    x: int, y: int, words: str, size: int, colour: str, *, weight: int = 400, font: str = FONT
) -> str:
    return (
        f'<text x="{x}" y="{y}" font-family="{escape(font)}" font-size="{size}" '
        f'font-weight="{weight}" fill="{colour}" xml:space="preserve">{escape(words)}</text>'
    )


def _svg(width: int, height: int, shapes: Sequence[str], about: str) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="{escape(about)}">'
    )
    tip = (
        '<defs><marker id="a" viewBox="0 0 8 8" refX="5" refY="4" markerWidth="4" markerHeight="4" '
        f'orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{LINE}"/></marker></defs>'
    )
    return "\n".join([head, f"<title>{escape(about)}</title>", tip, *shapes, "</svg>"]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
