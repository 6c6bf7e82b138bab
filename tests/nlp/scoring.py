"""Scores the engine on the labelled sets of this folder and on files of the same form.

    python tests/nlp/scoring.py FILE...      # prints the measures and every wrong row

The rows of a file say what kind they are of: change ("mentions"), devices ("devices"), reports
without priors ("report"), or inputs of many kinds with what is right ("kind", "expected").
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cxr_vlp.nlp.annotate import Annotation, annotate
from cxr_vlp.nlp.findings.mention import Mention
from cxr_vlp.nlp.findings.mentions import mentions
from cxr_vlp.nlp.status import classify
from cxr_vlp.nlp.wording import prompts, statements

Row = Mapping[str, Any]
Wrong = list[tuple[str, str]]  # (text, what was wrong)


def rows_of(path: Path) -> list[Row]:
    with path.open(encoding="utf-8") as lines:  # splitlines() would split at U+2028 too
        return [json.loads(line) for line in lines]


def score(rows: Sequence[Row]) -> tuple[dict[str, float], Wrong]:
    """Return the measures of a set, and its wrong rows."""
    if "report" in rows[0]:
        return prior_free(rows)
    if "expected" in rows[0]:
        return inputs(rows)
    return devices(rows) if "devices" in rows[0] else changes(rows)


# --- change --------------------------------------------------------------------------------------


def changes(rows: Sequence[Row]) -> tuple[dict[str, float], Wrong]:
    """Return the accuracy of the change of each mention, and of whole sentences."""
    counts: Counter[str] = Counter()
    wrong: Wrong = []
    for row in rows:
        said = [m for m in mentions(row["text"]) if not m.device and not m.implied]
        faults = [w for w in row["mentions"] if not _changed(said, w)]
        wanted = {(w["finding"], w["change"]) for w in row["mentions"]}
        alarms = {(m.finding, m.change) for m in said if m.change} - wanted
        counts.update(mentions=len(row["mentions"]), right=len(row["mentions"]) - len(faults))
        counts.update(false_alarms=len(alarms), sentences_right=not faults and not alarms)
        if faults or alarms:
            found = [(m.finding, m.side, m.change) for m in said]
            wrong.append((row["text"], f"wanted {row['mentions']} got {found}"))
    return {
        "sentences": len(rows),
        "sentence_accuracy": counts["sentences_right"] / len(rows),
        "mentions": counts["mentions"],
        "mention_accuracy": counts["right"] / counts["mentions"],
        "false_alarms": counts["false_alarms"],
    }, wrong


def _changed(said: Iterable[Mention], wanted: Row) -> bool:
    side = wanted.get("side", "")
    return any(
        m.finding == wanted["finding"]
        and m.change == wanted["change"]
        and (not side or m.side == side)
        for m in said
    )


# --- devices -------------------------------------------------------------------------------------

DEVICE_FIELDS = ("type", "side", "tip", "position")


def devices(rows: Sequence[Row]) -> tuple[dict[str, float], Wrong]:
    """Return the accuracy of each field of a device, of all of them, and of the status."""
    counts: Counter[str] = Counter()
    wrong: Wrong = []
    for row in rows:
        said = _devices(row["text"])
        status = classify(row["text"]).status
        pairs = list(_paired(row["devices"], said))
        extra = len(said) - sum(found is not None for _, found in pairs)
        counts.update(devices=len(pairs), extra=extra, status=status == row["status"])
        for want, found in pairs:
            agree = [n for n in DEVICE_FIELDS if found and found[n] == want[n]]
            present = bool(found) and (found["absent"] == _is_absent(want))
            counts.update(agree)
            counts.update(assertion=present, whole=len(agree) == len(DEVICE_FIELDS) and present)
        is_right = extra == 0 and all(f and _agrees(w, f) for w, f in pairs)
        counts.update(sentence=is_right and status == row["status"])
        if not is_right or status != row["status"]:
            wrong.append(
                (row["text"], f"wanted {row['status']} {row['devices']} got {status} {said}")
            )
    total = counts["devices"]
    return {
        "sentences": len(rows),
        "sentence_accuracy": counts["sentence"] / len(rows),
        "status_accuracy": counts["status"] / len(rows),
        "devices": total,
        **{name: counts[name] / total for name in (*DEVICE_FIELDS, "assertion", "whole")},
        "extra": counts["extra"],
    }, wrong


def _devices(text: str) -> list[dict[str, Any]]:
    return [
        {
            "type": m.finding,
            "side": m.side,
            "tip": m.tip,
            "position": m.position,
            "absent": m.assertion == "absent",
        }
        for m in mentions(text)
        if m.device
    ]


def _is_absent(wanted: Row) -> bool:
    return bool(wanted.get("absent")) or wanted["position"] == "removed"


def _agrees(wanted: Row, found: Row) -> bool:
    same = all(found[name] == wanted[name] for name in DEVICE_FIELDS)
    return same and found["absent"] == _is_absent(wanted)


def _paired(wanted: Sequence[Row], said: Sequence[Row]) -> Iterator[tuple[Row, Row | None]]:
    """Yield each wanted device with the found one of its type that agrees best."""
    left = list(said)
    for want in wanted:
        same = [found for found in left if found["type"] == want["type"]]
        best = max(same, key=lambda f: sum(f[n] == want[n] for n in DEVICE_FIELDS), default=None)
        if best is not None:
            left.remove(best)
        yield want, best


# --- reports without priors ----------------------------------------------------------------------


def prior_free(rows: Sequence[Row]) -> tuple[dict[str, float], Wrong]:
    """Return how many sentences became an accepted text, and how many reports are faithful.

    A report is clean where no word of `must_not` is left, and faithful where the text still states
    the findings of `present` and `absent`.
    """
    counts: Counter[str] = Counter()
    wrong: Wrong = []
    for row in rows:
        found = annotate(row["report"])
        by_text = {_plain(s.text): s for s in found.sentences}
        for want in row["sentences"]:
            got = by_text.get(_plain(want["text"]))
            is_right = got is not None and _plain(got.prior_free) in map(_plain, want["expect"])
            counts.update(sentences=1, lost=got is None, right=is_right)
            counts.update(edit=got is not None and got.edit == want["edit"])
            if not is_right:
                text = got.prior_free if got else "(no such sentence)"
                wrong.append((want["text"], f"wanted {want['expect']} got {text!r}"))
        words = set(re.findall(r"[a-z]+", found.prior_free.lower()))
        left = words & set(row["must_not"])
        lost = _unfaithful(found.prior_free, row)
        counts.update(clean=not left, faithful=not lost)
        if left or lost:
            wrong.append((found.prior_free, f"left {sorted(left)} lost {lost}"))
    return {
        "reports": len(rows),
        "sentences": counts["sentences"],
        "text_accuracy": counts["right"] / counts["sentences"],
        "edit_accuracy": counts["edit"] / counts["sentences"],
        "lost_sentences": counts["lost"],
        "reports_clean": counts["clean"] / len(rows),
        "reports_faithful": counts["faithful"] / len(rows),
    }, wrong


def _plain(text: str) -> str:
    words = re.sub(r"[^\w\s/%<>=+-]", " ", text.lower()).split()
    return " ".join(w for w in words if w not in ("a", "an", "the"))


def _unfaithful(text: str, row: Row) -> list[str]:
    said = [m for s in annotate({"findings": text}).sentences for m in s.mentions]
    lost = []
    for kind in ("present", "absent"):
        names = {m.finding for m in said if m.assertion == kind}
        lost += [f"{kind} {name}" for name in row[kind] if name not in names]
    return lost


# --- inputs of many kinds ------------------------------------------------------------------------


def inputs(rows: Sequence[Row]) -> tuple[dict[str, float], Wrong]:
    """Return how many inputs are read rightly, in all and by kind."""
    kinds: Counter[str] = Counter()
    right: Counter[str] = Counter()
    wrong: Wrong = []
    for row in rows:
        fault = next(iter(_faults(row["text"], row["expected"])), "")
        kinds[row["kind"].split(":")[0]] += 1
        right[row["kind"].split(":")[0]] += not fault
        if fault:
            wrong.append((f"[{row['kind']}] {row['text']}", fault))
    measures = {"inputs": len(rows), "right": sum(right.values()) / len(rows)}
    return measures | {kind: right[kind] / n for kind, n in sorted(kinds.items())}, wrong


def _faults(text: str, expected: Any) -> Iterator[str]:
    found = annotate(text)
    said = [m for s in found.sentences for m in s.mentions]
    if isinstance(expected, str):
        yield from _said_in_words(text, found, expected)
        return
    for key, wanted in expected.items():
        name = key.removesuffix(" (side, severity)")
        if name != key:
            yield from _checks["findings"](found, said, {name: wanted})
        elif key == "label":
            label = "Pneumothorax" if "pneumothorax" in text.lower() else "Pleural Effusion"
            yield from _checks["labels"](found, said, {label: wanted})
        elif key == "labels" and found.code == "report.language":
            continue  # no labels are right where the engine says that it cannot read the language
        elif key in _checks:
            yield from _checks[key](found, said, wanted)
        else:
            yield from _labels(found, said, {key: wanted})


def _status(found: Annotation, said: list[Mention], wanted: str) -> Iterator[str]:
    states = {s.status for s in found.sentences}
    order = ("abnormal", "uncertain", "normal", "nonfinding")
    got = next((s for s in order if s in states), "none")
    if got != wanted:
        yield f"status {got}, not {wanted}"


def _labels(found: Annotation, said: list[Mention], wanted: Row) -> Iterator[str]:
    for label, value in wanted.items():
        values = value if isinstance(value, list) else [value]
        if found.labels.get(label) not in values:
            yield f"{label} {found.labels.get(label)}, not {value}"


def _not_positive(found: Annotation, said: list[Mention], wanted: Sequence[str]) -> Iterator[str]:
    yield from (f"{label} is positive" for label in wanted if found.labels.get(label) == 1)


def _pairs(found: Annotation, said: list[Mention], wanted: Row) -> Iterator[str]:
    for name, pairs in wanted.items():
        got = {(m.side, m.severity) for m in said if m.finding == name and m.assertion != "absent"}
        if got != {tuple(pair) for pair in pairs}:
            yield f"{name}: {sorted(got)}, not {pairs}"


def _sizes(found: Annotation, said: list[Mention], wanted: Row) -> Iterator[str]:
    for name, sizes in wanted.items():
        got = [size for m in said if m.finding == name for size in m.sizes_mm]
        if got != sizes:
            yield f"{name}: {got}, not {sizes}"


def _places(found: Annotation, said: list[Mention], wanted: Row) -> Iterator[str]:
    for name, places in wanted.items():
        got = {place for m in said if m.finding == name for place in m.places}
        if got != set(places):
            yield f"{name}: {sorted(got)}, not {places}"


def _assertions(found: Annotation, said: list[Mention], wanted: Row) -> Iterator[str]:
    for name, state in wanted.items():
        got = {m.assertion for m in said if m.finding == name}
        if state not in got:
            yield f"{name}: {sorted(got)}, not {state}"


def _fields(field: str, said: list[Mention], wanted: Row) -> Iterator[str]:
    for name, value in wanted.items():
        got = {getattr(m, field) for m in said if m.finding == name}
        if value not in got:
            yield f"{name}: {field} {sorted(got)}, not {value}"


def _device_rows(found: Annotation, said: list[Mention], wanted: Sequence[Row]) -> Iterator[str]:
    got = [row for s in found.sentences for row in _devices(s.text)]
    for want, best in _paired(wanted, got):
        if best is None or not _agrees(want, best):
            yield f"{want} got {got}"


_checks: Mapping[str, Callable[[Annotation, list[Mention], Any], Iterator[str]]] = {
    "status": _status,
    "change": lambda found, said, wanted: _fields("change", said, wanted),
    "certainty": lambda found, said, wanted: _fields("certainty", said, wanted),
    "labels": _labels,
    "not_pos": _not_positive,
    "findings": _pairs,
    "sizes_mm": _sizes,
    "places": _places,
    "assertion": _assertions,
    "devices": _device_rows,
    "code": lambda found, said, wanted: iter(
        [] if found.code == wanted else [found.code or "no code"]
    ),
    "sentences": lambda found, said, wanted: iter(
        [] if len(found.sentences) == wanted else [f"{len(found.sentences)} sentences"]
    ),
    "texts": lambda found, said, wanted: iter(
        [] if [s.text for s in found.sentences] == wanted else ["other sentences"]
    ),
}
_NAMED = {"atelectasis": "Atelectasis", "effusion": "Pleural Effusion", "edema": "Edema"}


def _said_in_words(text: str, found: Annotation, expected: str) -> Iterator[str]:
    """Check an expectation that is written in words (report_faults.jsonl)."""
    said = [m for s in found.sentences for m in s.mentions]
    if expected.startswith("abnormal") or expected.endswith(", abnormal") or "kept" in expected:
        yield from _status(found, said, "abnormal")
    if expected.startswith("tube present"):
        yield from _labels(found, said, {"Support Devices": 1})
    for name, label in _NAMED.items():
        if re.match(f"{name}s? present", expected):
            yield from _labels(found, said, {label: 1})
        if expected == f"{name} uncertain":
            yield from _labels(found, said, {label: -1})
    if "4 sentences" in expected and len(found.sentences) != 4:
        yield f"{len(found.sentences)} sentences"
    if expected == "all uncertain" and {m.assertion for m in said} != {"uncertain"}:
        yield str([(m.finding, m.assertion) for m in said])
    if expected == "not bronchitis" and any(m.finding == "bronchitis" for m in said):
        yield "bronchitis"
    if expected.startswith("no size") and any(m.severity for m in said):
        yield str([m.severity for m in said])
    if 'without "severe"' in expected and any("severe" in s for s in found.statements):
        yield str(found.statements)
    denied = re.search(r'not "(There is no [^"]+)"', expected)
    if denied and denied[1] in found.statements:
        yield str(found.statements)
    if '"no right lung opacity"' in expected and not any(
        "no right lung opacity" in s for s in found.statements
    ):
        yield str(found.statements)
    if expected == "not generated" and _is_generated(text):
        yield "generated"


def _is_generated(text: str) -> bool:
    """Whether a prompt or a statement has such a text."""
    if "large cardiomegaly" in text:
        made = Mention("cardiomegaly", "Cardiomegaly", "present", 0, 1, severity="large")
        return statements.statement(made) == text
    if "support devices" in text.lower():
        return text in prompts.texts("Support Devices", "negative")
    row = {"Pneumonia": 1, "Consolidation": 0, "Infiltration": 0, "Pleural Effusion": 0}
    for text in (prompts.report_prompts(row, k=1, seed=n, epoch=0, key="", negatives=3)[0]
                 for n in range(200)):  # fmt: skip
        labels = annotate({"findings": text}).labels
        if any(labels.get(n) not in (None, v) for n, v in row.items()):
            return True
    return False


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        measured, missed = score(rows_of(Path(argument)))
        print(argument, json.dumps({k: round(v, 3) for k, v in measured.items()}, indent=1))
        for text, fault in missed:
            print(f"  {text!r}\n      {fault}")
