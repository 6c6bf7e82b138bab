"""Reads the file of prompts that a protocol names, for the tasks that make texts of their own."""

from __future__ import annotations

from cxr_vlp.nlp.wording.bank import Bank, own_bank
from cxr_vlp.train import addresses
from cxr_vlp.train.errors import ConfigError
from cxr_vlp.train.evaluation.protocols.protocol import Protocol


def own_prompts(protocol: Protocol) -> Bank:
    """Return the user's bank where the protocol names a file, else ours.

    Raises ConfigError for a file that is absent or wrong.
    """
    path = protocol.prompts.file
    addresses.check(path, "prompts.file")
    try:
        return own_bank(path)
    except FileNotFoundError:
        raise ConfigError(f"prompts.file: no file at {path}") from None
    except ValueError as error:
        raise ConfigError(f"prompts.file: {error}") from None
