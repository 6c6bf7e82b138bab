"""Reads the file of prompts that a protocol, or `evaluate.prompts` of params.yaml, names."""

from __future__ import annotations

from cxr_vlp.nlp.wording.bank import Bank, own_bank
from cxr_vlp.train import addresses
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.protocols.protocol import PromptConfig

WHERE = "evaluate.prompts, or prompts.file of the protocol"


def own_prompts(prompts: PromptConfig) -> Bank:
    """Return the user's bank where a protocol's prompts name a file, else ours.

    Raises ConfigError for a file that is absent or wrong.
    """
    path = prompts.file
    addresses.check(path, WHERE)
    try:
        return own_bank(path)
    except FileNotFoundError:
        raise ConfigError(f"{WHERE}: no file at {path}") from None
    except ValueError as error:
        raise ConfigError(f"{WHERE}: {error}") from None
