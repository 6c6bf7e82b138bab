"""The user's own files and model in, what the texts stage reads reports with out, and its digest.

Everything is read and checked once, before any report is; the workers get it ready made. What they
hold enters fingerprints by its content, never by its path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cxr_vlp.nlp import lexicon, prompts, sections, spacy_backend
from cxr_vlp.nlp.prompts import Bank
from cxr_vlp.nlp.sections import CutRule
from cxr_vlp.pipelines.config import Texts
from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.files import addresses, jsonl
from cxr_vlp.pipelines.stages import translations
from cxr_vlp.pipelines.stages.translations import Translations

KEYS = "texts.exceptions, texts.bank, texts.translations"


@dataclass(frozen=True)
class Wording:
    """The lexicon with the user's additions; `digest` is over the bytes of all that is shared.

    The cut rules and the translations are not in it: they are their own study's, and in that
    study's fingerprint only.
    """

    digest: str
    files: Mapping[str, str] = field(default_factory=dict)  # `files`
    bank: Bank | None = None
    rules: Mapping[str, CutRule] = field(default_factory=dict)
    translations: Translations | None = None
    toolchain: Mapping[str, str] = field(default_factory=dict)  # what decides where a model is used


def load(texts: Texts) -> Wording:
    """Return what `texts` names. Raises ConfigError with the fix where a thing cannot be read."""
    found = files(texts)
    parts = [found["lexicon"], *(f"{key} {found[key]}" for key in ("bank", "model") if found[key])]
    try:
        bank = prompts.own_bank(texts.bank) if texts.bank else None
        rules = sections.load_rules(Path(texts.exceptions)) if texts.exceptions else {}
        said = translations.load(texts.translations) if texts.translations else None
    except FileNotFoundError as error:
        raise ConfigError(f"no file at {error.filename} ({KEYS})") from None
    except ValueError as error:
        raise ConfigError(f"texts: {error}") from None
    digest = parts[0] if len(parts) == 1 else hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return Wording(digest, found, bank, rules, said, spacy_backend.toolchain(texts.model))


def files(texts: Texts) -> dict[str, str]:
    """Return the digests of the lexicon and of all that `texts` names; "" for what it does not.

    Raises ConfigError where a thing cannot be read.
    """
    for name in ("model", "exceptions", "bank", "translations"):
        addresses.check(getattr(texts, name), f"texts.{name}")
    try:
        return {
            "lexicon": lexicon.digest(),
            "model": spacy_backend.identity(texts.model) if texts.model else "",
            **{key: _digest(getattr(texts, key)) for key in ("bank", "exceptions", "translations")},
        }
    except FileNotFoundError as error:
        raise ConfigError(f"no file at {error.filename} ({KEYS})") from None
    except ValueError as error:
        raise ConfigError(f"texts: {error}") from None


def _digest(path: str) -> str:
    return jsonl.sha256(Path(path)) if path else ""
