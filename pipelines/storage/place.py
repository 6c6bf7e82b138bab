"""A place is the path of a file or folder: of this machine, or of an object store.

An address (`s3://bucket/folder`) becomes a `UPath` of the library universal_pathlib. Code that gets
a place may use: `/`, name, stem, suffix, parent, with_name, exists, is_file, is_dir, iterdir, glob,
stat, open("rb"), read_bytes, read_text and unlink. It writes through files/jsonl.py only, and
publishes a folder through files/atomic_dir.py: both know how an object store does it.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any, cast

from cxr_vlp.pipelines.errors import ConfigError
from cxr_vlp.pipelines.storage.addresses import ADDRESS, STORES
from cxr_vlp.pipelines.storage.addresses import is_remote as is_remote
from cxr_vlp.pipelines.storage.addresses import is_store as is_store
from cxr_vlp.pipelines.storage.addresses import shown as shown

SILENCE = 30.0  # seconds without an answer after which a request is tried again
CONNECT = 5.0  # seconds
ATTEMPTS = 5  # of one request, with growing pauses
# Bytes that a read of a stream asks for. s3fs's default, 50 MiB, would be read again at every seek.
BLOCK = 8 << 20


def place(text: str | Path) -> Path:
    """Return the place that a text names; the type `Path` stands for both kinds.

    Raises ConfigError for an address of an unknown kind, one with a password, or one whose library
    is not installed.
    """
    if isinstance(text, str) and ADDRESS.match(text):
        scheme = _checked(text)
        # takes .2 s to import, and most runs need none
        from cxr_vlp.pipelines.storage import strict

        return cast(Path, strict.path(text, scheme, _options(scheme)))
    return Path(text)


def _checked(text: str) -> str:
    """Return the scheme of an address. Raises ConfigError if it cannot be used."""
    scheme, _, rest = text.partition("://")
    scheme = scheme.lower()
    bucket = rest.partition("/")[0]
    if scheme not in STORES:
        known = ", ".join(f"{name}://" for name in ("s3", "gs", "abfs"))
        raise ConfigError(f"{scheme}://... is no store that is read or written here: use {known}")
    if not bucket and scheme != "memory":
        raise ConfigError(f"{scheme}:// needs the name of a bucket: {scheme}://BUCKET/FOLDER")
    if ("@" in bucket and scheme not in ("abfs", "abfss")) or ":" in bucket or "?" in rest:
        # abfs://container@account... is the usual form there, and holds no password
        raise ConfigError(
            f"{scheme}://... holds a user, a password or a signature: give them in the environment "
            "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE), never in an address"
        )
    module, package = STORES[scheme]
    if importlib.util.find_spec(module) is None:
        raise ConfigError(f"{scheme}:// needs the package {package}: pip install {package}")
    return scheme


def _options(scheme: str) -> dict[str, Any]:
    """Return what the file system of a scheme is made with; a pickled place keeps it.

    $CXR_STORE_TIMEOUT replaces `SILENCE`, and AWS_MAX_ATTEMPTS `ATTEMPTS`.
    """
    if scheme == "memory":
        return {}
    # another process may change the store at any time: no listing is remembered
    options: dict[str, Any] = {"use_listings_cache": False}
    if scheme == "s3":
        silence = float(os.environ.get("CXR_STORE_TIMEOUT") or SILENCE)
        attempts = int(os.environ.get("AWS_MAX_ATTEMPTS") or ATTEMPTS)
        options["default_block_size"] = BLOCK
        options["config_kwargs"] = {
            "connect_timeout": min(CONNECT, silence),
            "read_timeout": silence,
            "retries": {"mode": "standard", "total_max_attempts": attempts},
        }
    return options
