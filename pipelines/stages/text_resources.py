"""The resources of the texts stage: lexicon, model, and the user's own files, with their digest.

Everything is read and checked once, before any report is read, and sent to the workers. Files enter
fingerprints by their content, never by their path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cxr_vlp.nlp import lexicon, spacy_backend
from cxr_vlp.nlp.layout import sections
from cxr_vlp.nlp.layout.sections import CutRule
from cxr_vlp.nlp.wording.bank import Bank, own_bank
from cxr_vlp.pipelines.config import Texts
from cxr_vlp.pipelines.errors import ConfigError, EngineError
from cxr_vlp.pipelines.files import jsonl, paths
from cxr_vlp.pipelines.stages import translations
from cxr_vlp.pipelines.stages.translations import Translations

KEYS = "texts.exceptions, texts.bank, texts.translations"


@dataclass(frozen=True)
class TextResources:
    """The resources of all studies; `digest` is that of the lexicon, the prompt bank and the model.

    The cut rules and the translations are not in the digest: each belongs to single studies, and is
    in the fingerprints of those studies only.
    """

    digest: str
    files: Mapping[str, str] = field(default_factory=dict)  # digests, as `files` returns them
    bank: Bank | None = None
    rules: Mapping[str, CutRule] = field(default_factory=dict)
    translations: Translations | None = None
    toolchain: Mapping[str, str] = field(
        default_factory=dict
    )  # versions of the libraries, if a model is used


def load(texts: Texts) -> TextResources:
    """Return the resources that `texts` names. Raises ConfigError if one cannot be read."""
    found = files(texts)
    parts = [found["lexicon"], *(f"{key} {found[key]}" for key in ("bank", "model") if found[key])]
    try:
        bank = own_bank(texts.bank) if texts.bank else None
        rules = sections.load_rules(Path(texts.exceptions)) if texts.exceptions else {}
        translated = translations.load(texts.translations) if texts.translations else None
    except FileNotFoundError as error:
        raise ConfigError(f"no file at {error.filename} ({KEYS})") from None
    except ValueError as error:
        raise ConfigError(f"texts: {error}") from None
    digest = parts[0] if len(parts) == 1 else hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return TextResources(
        digest, found, bank, rules, translated, spacy_backend.toolchain(texts.model)
    )


def files(texts: Texts) -> dict[str, str]:
    """Return the digests of the lexicon and of the files in `texts`; "" for a file that is not set.

    Raises ConfigError if one cannot be read.
    """
    for name in ("model", "exceptions", "bank", "translations"):
        paths.refuse_address(getattr(texts, name), f"texts.{name}")
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


def check_worker(texts: Texts, resources: TextResources) -> None:
    """Raise EngineError in a process whose model is not that of the run: its texts would differ."""
    if not texts.model:
        return
    try:
        same = spacy_backend.identity(texts.model) == resources.files["model"]
    except ValueError as error:
        raise EngineError(f"worker.differs: a worker says: {error}") from None
    if not same:
        here, run = (
            ", ".join(f"{name} {version}" for name, version in found.items())
            for found in (spacy_backend.toolchain(texts.model), resources.toolchain)
        )
        raise EngineError(
            f"worker.differs: texts.model of a worker ({here}) has not the files of that of the "
            f"run ({run}): install the same versions of spaCy, scispaCy and the model everywhere"
        )


def _digest(path: str) -> str:
    return jsonl.sha256(Path(path)) if path else ""
