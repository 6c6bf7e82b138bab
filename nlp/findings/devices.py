"""Finds the devices of a sentence: the type, side, position and tip place of each."""

from __future__ import annotations

from collections.abc import Iterable

from cxr_vlp.nlp.context import scope
from cxr_vlp.nlp.context.certainty import NONE, grade
from cxr_vlp.nlp.context.discourse import Discourse
from cxr_vlp.nlp.context.scope import ABSENT, Scopes
from cxr_vlp.nlp.findings.attachment import describes_device
from cxr_vlp.nlp.findings.mention import UNNAMED, Mention
from cxr_vlp.nlp.findings.modifiers import modifiers_of
from cxr_vlp.nlp.findings.terms import Term


def device_mentions(
    scopes: Scopes, found: tuple[Term, ...], discourse: Discourse
) -> Iterable[Mention]:
    """Yield a mention for each device, and an abnormality for each that is broken."""
    devices = tuple(t for t in found if t.kind in ("support", "hardware"))
    yield from _broken(scopes, found, devices)
    is_gone = any(t.kind == "gone" for t in found)
    for term in devices:
        if term.kind != "support":
            continue
        verdict = scope.verdict(scopes, term.start, term.end)
        start, end = scopes.tokens[term.start].start, scopes.tokens[term.end - 1].end
        yield Mention(
            "support device",
            "Support Devices",
            ABSENT if is_gone else verdict.assertion,
            start,
            end,
            side=modifiers_of(scopes, found, term)[0].side,
            trigger=verdict.trigger,
            device=True,
            certainty=NONE if is_gone else grade(verdict),
        )


def _broken(
    scopes: Scopes, found: tuple[Term, ...], devices: tuple[Term, ...]
) -> Iterable[Mention]:
    """Yield an abnormality for a device said to be broken or out of place."""
    if not devices:
        return
    for term in found:
        if term.kind == "broken" and describes_device(scopes, found, term):
            verdict = scope.verdict(scopes, term.start, term.end)
            tokens = scopes.tokens
            yield Mention(
                UNNAMED, "", verdict.assertion, tokens[term.start].start,
                tokens[term.end - 1].end, trigger=verdict.trigger, certainty=grade(verdict),
            )  # fmt: skip
