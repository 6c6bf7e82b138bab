"""Chest X-ray collections to WebDataset shards, and vision-language models trained on them.

The names in `__all__` are the public interface. Each is imported on first use, so
`import cxr_vlp` needs neither torch nor numpy. `annotate`, `filter_report`, `assertion`,
`open_shards` and `auroc_table` need the core packages only; `loader`, `Batch` and `losses` need the
extra `train` (`pip install "cxr-vlp[train]"`).

>>> import cxr_vlp
>>> report = "FINDINGS: The lungs are clear. There may be a small left pleural effusion."
>>> annotation = cxr_vlp.annotate(report)
>>> [(sentence.text, sentence.status) for sentence in annotation.sentences]
[('The lungs are clear.', 'normal'), ('There may be a small left pleural effusion.', 'uncertain')]
>>> annotation.labels["Pleural Effusion"]  # 1 positive, 0 negative, -1 uncertain
-1
>>> cxr_vlp.filter_report(report).kept
('There may be a small left pleural effusion.',)
>>> sentence = "No pneumothorax or effusion."
>>> cxr_vlp.assertion(sentence, sentence.index("effusion"), sentence.index("."))
'absent'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.9.0"

if TYPE_CHECKING:
    from cxr_vlp.api import Loader, auroc_table, loader, open_shards
    from cxr_vlp.nlp.annotate import Annotation, annotate, filter_report
    from cxr_vlp.nlp.findings.mentions import assertion
    from cxr_vlp.nlp.status import Filtered, FilterPolicy
    from cxr_vlp.pipelines.format.sample import Sample
    from cxr_vlp.train.data.batches import Batch
    from cxr_vlp.train.data.samples import StoredSample
    from cxr_vlp.train.evaluation.auroc_table import Measured
    from cxr_vlp.train.objective import losses

# name -> the module that defines it, and its name there
_PLACES = {
    "annotate": ("cxr_vlp.nlp.annotate", "annotate"),
    "Annotation": ("cxr_vlp.nlp.annotate", "Annotation"),
    "filter_report": ("cxr_vlp.nlp.annotate", "filter_report"),
    "FilterPolicy": ("cxr_vlp.nlp.status", "FilterPolicy"),
    "Filtered": ("cxr_vlp.nlp.status", "Filtered"),
    "assertion": ("cxr_vlp.nlp.findings.mentions", "assertion"),
    "open_shards": ("cxr_vlp.api", "open_shards"),
    "StoredSample": ("cxr_vlp.train.data.samples", "StoredSample"),
    "Sample": ("cxr_vlp.pipelines.format.sample", "Sample"),
    "loader": ("cxr_vlp.api", "loader"),
    "Loader": ("cxr_vlp.api", "Loader"),
    "Batch": ("cxr_vlp.train.data.batches", "Batch"),
    "losses": ("cxr_vlp.train.objective.losses", ""),
    "auroc_table": ("cxr_vlp.api", "auroc_table"),
    "Measured": ("cxr_vlp.train.evaluation.auroc_table", "Measured"),
}

__all__ = [
    "Annotation",
    "Batch",
    "FilterPolicy",
    "Filtered",
    "Loader",
    "Measured",
    "Sample",
    "StoredSample",
    "__version__",
    "annotate",
    "assertion",
    "auroc_table",
    "filter_report",
    "loader",
    "losses",
    "open_shards",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    found = importlib.import_module(module)
    value = getattr(found, attribute) if attribute else found
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names, also those that are not imported yet."""
    return sorted({*globals(), *_PLACES})
