"""A place is the path of a file or folder: of this machine, or of an object store.

An address (`s3://bucket/folder`) becomes a `UPath` of the library universal_pathlib. Code that gets
a place may use: `/`, name, stem, suffix, parent, with_name, exists, is_file, is_dir, iterdir, glob,
stat, open("rb"), read_bytes, read_text and unlink. It writes through files/jsonl.py only, and
publishes a folder through files/atomic_dir.py: both know how an object store does it.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import cast

from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.format.remote import addresses, store
from cxr_vlp.pipelines.format.remote.addresses import is_remote as is_remote
from cxr_vlp.pipelines.format.remote.addresses import is_store as is_store
from cxr_vlp.pipelines.format.remote.addresses import shown as shown


def place(text: str | Path) -> Path:
    """Return the place that a text names; the type `Path` stands for both kinds.

    Raises ConfigError for an address of an unknown kind, one with a password, one whose library is
    not installed, or a variable (CXR_STORE_TIMEOUT, AWS_MAX_ATTEMPTS) that is no number.
    """
    if isinstance(text, str) and addresses.ADDRESS.match(text):
        address = _checked(text)
        # takes .2 s to import, and most runs need none
        from cxr_vlp.pipelines.storage import strict

        scheme = addresses.scheme_of(address)
        return cast(Path, strict.path(address, scheme))
    return Path(text)


def _checked(text: str) -> str:
    """Return an address as it is used. Raises ConfigError as `place` does."""
    try:
        address = addresses.clean(text)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    scheme = addresses.scheme_of(address)
    if importlib.util.find_spec(addresses.STORES[scheme][0]) is None:
        raise ConfigError(addresses.package_missing(scheme))
    try:
        store.check_environment()
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return address
