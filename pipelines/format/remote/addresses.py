"""What an address of an object store is (`s3://bucket/folder`), and how a message shows it."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.format import local_paths

ADDRESS = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]+://")
# scheme -> (the module that reads it, the package to install)
STORES = {
    "s3": ("s3fs", "s3fs"),
    "gs": ("gcsfs", "gcsfs"),
    "gcs": ("gcsfs", "gcsfs"),
    "abfs": ("adlfs", "adlfs"),
    "abfss": ("adlfs", "adlfs"),
    "az": ("adlfs", "adlfs"),
    "memory": ("fsspec", "fsspec"),  # in this process only; for tests
}
_OTHER_NAMES = {"s3a": "s3", "s3n": "s3", "wasb": "abfs", "wasbs": "abfs"}  # Hadoop's and Spark's
CREDENTIALS = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE "
    "(gs://: GOOGLE_APPLICATION_CREDENTIALS; abfs://: AZURE_STORAGE_CONNECTION_STRING)"
)


def is_remote(found: Any) -> bool:
    """Return whether a place, or the text of one, is in an object store."""
    if isinstance(found, str):
        return bool(ADDRESS.match(found))
    return not isinstance(found, Path)


def scheme_of(text: str) -> str:
    """Return the scheme of an address in small letters."""
    return text.strip().partition("://")[0].lower()


def is_store(text: str) -> bool:
    """Return whether a text is an address of an object store; `clean` says if it can be used."""
    return is_remote(text) and scheme_of(text) in (*STORES, *_OTHER_NAMES)


def clean(text: str) -> str:
    """Return an address without blanks around it and slashes at its end, its scheme in small.

    Raises ValueError for an address of an unknown kind, one without a bucket, one with `.` or `..`
    as a folder, or one with a user, a password or a signature; the message does not repeat it.
    """
    scheme, rest = scheme_of(text), text.strip().partition("://")[2].rstrip("/")
    bucket, _, below = rest.partition("/")
    if scheme not in STORES:
        raise ValueError(_unknown(scheme))
    if not bucket and scheme != "memory":
        raise ValueError(f"{scheme}:// needs the name of a bucket: {scheme}://BUCKET/FOLDER")
    # abfs://container@account... is the usual form there, and holds no password
    if ("@" in bucket and scheme not in ("abfs", "abfss")) or ":" in bucket or "?" in rest:
        raise ValueError(
            f"{scheme}://... holds a user, a password or a signature: give them in the environment "
            f"({CREDENTIALS}), never in an address"
        )
    if below and {".", "..", ""} & set(below.split("/")):
        raise ValueError(f"{scheme}://... has a folder that is empty, `.` or `..`: correct it")
    return f"{scheme}://{rest}"


def _unknown(scheme: str) -> str:
    known = ", ".join(f"{name}://" for name in ("s3", "gs", "abfs"))
    if other := _OTHER_NAMES.get(scheme):
        return f"{scheme}:// is another program's name for {other}://: write {other}://"
    return f"{scheme}://... is no store that is read or written here: use {known}"


def package_missing(scheme: str) -> str:
    """Return what to say where the library of a scheme is not installed."""
    package = STORES[scheme][1]
    return f"{scheme}:// needs the package {package}: pip install {package}"


def flag(text: str) -> Path | str:
    """Return what a flag gives: a path of this machine, or the address of a store as text.

    Raises ArgumentTypeError, as argparse wants it, for any other address.
    """
    if not is_store(text):
        return local_paths.path(text)
    try:
        return clean(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def shown(found: Any) -> str:
    """Return a place for a message: of an address its scheme and bucket, as the rest may hold ids.

    A path of this machine is shown whole.
    """
    text = str(found).strip()
    if not is_remote(text):
        return str(found)
    scheme, _, rest = text.partition("://")
    bucket = rest.partition("/")[0].rpartition("@")[2]  # without a user and a password
    return f"{scheme}://{bucket}/..."
