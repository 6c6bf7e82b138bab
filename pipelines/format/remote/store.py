"""Lists and reads the objects of a store through fsspec, with retries and messages of our own.

An object is named by its address, `s3://bucket/folder/name`. Keys, endpoints and profiles come from
the environment, as for other tools (AWS_PROFILE, AWS_ENDPOINT_URL ...). A message names the address
without a user, and never a key: errors of the store's own library may hold signed addresses.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, NamedTuple, TypeVar

from cxr_vlp.pipelines.format.errors import AbsentError, StoreError

# scheme -> the package that reads it
SCHEMES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "abfss": "adlfs"}
WAITS = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before the second, third ... attempt
CONNECT, SILENCE = 10.0, 60.0  # seconds until an attempt is given up
SILENCE_VARIABLE = "CXR_STORE_TIMEOUT"  # replaces SILENCE
CHUNK = 16 << 20  # bytes of one request
_ACCESS = ("AccessDenied", "AllAccessDisabled", "403", "InvalidObjectState")
KEYS = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (gs: "
    "GOOGLE_APPLICATION_CREDENTIALS; abfs: AZURE_STORAGE_ACCOUNT_NAME and _KEY)"
)

T = TypeVar("T")


class Entry(NamedTuple):
    """What a folder of a store holds: an object, or a folder below it."""

    name: str
    folder: bool
    size: int  # bytes; 0 for a folder
    identity: str  # changes with the object's bytes (ETag, generation); "" for a folder


def is_store(text: str) -> bool:
    """Return whether a text is the address of an object store of a kind that can be read."""
    return text.strip().partition("://")[0].lower() in SCHEMES and "://" in text


def clean(text: str) -> str:
    """Return the address of a store without blanks and a slash at its end.

    Raises ValueError for one without a bucket, or with a user, a password or a signature; the
    message does not repeat it.
    """
    scheme, _, rest = text.strip().partition("://")
    scheme, bucket = scheme.lower(), rest.partition("/")[0]
    if not bucket:
        raise ValueError(f"{scheme}:// needs the name of a bucket: {scheme}://BUCKET/FOLDER")
    # abfs://container@account... is the usual form there, and holds no password
    if ("@" in bucket and not scheme.startswith("abfs")) or ":" in bucket or "?" in rest:
        raise ValueError(f"{scheme}://... holds a user, a password or a signature: {KEYS}")
    return f"{scheme}://{rest.rstrip('/')}"


def listing(address: str) -> list[Entry]:
    """Return what lies right below an address, by name. Raises AbsentError where nothing does."""
    found = _tried(address, lambda fs: fs.ls(address, detail=True))
    own = address.partition("://")[2]
    entries = [_entry(row) for row in found if row["name"].rstrip("/") != own]
    return sorted(entry for entry in entries if entry.name not in ("", ".", ".."))


def read(address: str) -> bytes:
    """Return the bytes of a small object."""
    return bytes(_tried(address, lambda fs: fs.cat_file(address)))


def chunks(address: str, size: int) -> Iterator[bytes]:
    """Yield the bytes of an object of `size` bytes, in order; each piece is asked for by itself.

    A piece that arrives cut or not at all is asked for again: an object is never read short.
    """
    for start in range(0, size, CHUNK):
        end = min(size, start + CHUNK)
        yield _tried(address, partial(_piece, address=address, start=start, end=end))


def identity(address: str) -> tuple[int, str]:
    """Return (bytes, identity) of an object as it is now."""
    row = _entry(_tried(address, lambda fs: fs.info(address)))
    return row.size, row.identity


def _piece(fs: Any, *, address: str, start: int, end: int) -> bytes:
    data = bytes(fs.cat_file(address, start=start, end=end))
    if len(data) != end - start:
        raise ConnectionError("cut")
    return data


def _entry(row: dict[str, Any]) -> Entry:
    name = row["name"].rstrip("/").rpartition("/")[2]
    if row["type"] == "directory":
        return Entry(name, True, 0, "")
    marks = (row.get(key) for key in ("ETag", "etag", "generation", "md5Hash", "LastModified"))
    return Entry(name, False, int(row["size"]), str(next(filter(None, marks), "")).strip('"'))


def _tried(address: str, work: Callable[[Any], T]) -> T:
    """Return what `work` returns for the store's file system; try again where that may help."""
    for wait in (*WAITS, None):
        try:
            return work(_file_system(address))
        except Exception as error:  # every library of a store has errors of its own
            if wait is None or not _may_pass(error):
                raise _told(error, address) from None
        time.sleep(wait)
    raise AssertionError  # the last attempt returns or raises


def _may_pass(error: Exception) -> bool:
    """Return whether another attempt may succeed: not without a key, a right or the object."""
    final = isinstance(error, FileNotFoundError | PermissionError | ImportError | ValueError)
    return not final and type(error).__name__ not in _KEYLESS


_KEYLESS = {
    "NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "TokenRetrievalError",
    "UnauthorizedSSOTokenError", "SSOTokenLoadError", "CredentialRetrievalError",
    "DefaultCredentialsError", "ClientAuthenticationError", "ParamValidationError",
}  # fmt: skip


def _told(error: Exception, address: str) -> Exception:
    """Return the error that says what is wrong and what to do, without the library's own words."""
    if isinstance(error, StoreError):
        return error
    code, name = _code(error), type(error).__name__
    if isinstance(error, ImportError):
        package = SCHEMES[address.partition(":")[0]]
        return StoreError(f"{address}: reading it needs {package}: pip install {package}")
    if code == "NoSuchBucket":
        return AbsentError(f"{address}: there is no such bucket: correct the address")
    if isinstance(error, FileNotFoundError):
        return AbsentError(f"{address}: there is nothing of this name in the store")
    if isinstance(error, PermissionError) and code in (*_ACCESS, ""):
        return StoreError(
            f"{address}: the store refuses access: use keys with the right to list and to read it, "
            f"or correct the address; {KEYS}"
        )
    if isinstance(error, PermissionError) or name in _KEYLESS:
        what = f" ({code or name})"
        return StoreError(f"{address}: the store has no valid credentials of yours{what}: {KEYS}")
    if "Endpoint" in name or "Connect" in name:
        return StoreError(
            f"{address}: the store cannot be reached ({name}, {len(WAITS) + 1} attempts): look at "
            "the network, and at AWS_ENDPOINT_URL where the store is not Amazon's; then start again"
        )
    return StoreError(
        f"{address}: the store does not answer as it should ({code or name}, {len(WAITS) + 1} "
        "attempts): start again later; what was fetched is kept"
    )


def _code(error: BaseException | None) -> str:
    """Return the store's own code of an error (`NoSuchBucket`, `SlowDown`), "" without one."""
    while error is not None:
        answer = getattr(error, "response", None)
        if isinstance(answer, dict):
            code = str(answer.get("Error", {}).get("Code", ""))
            return code if re.fullmatch(r"\w{1,40}", code) else ""
        error = error.__cause__
    return ""


def _file_system(address: str) -> Any:
    """Return fsspec's file system of an address, one for each process and set of variables.

    A forked process must not use its parent's, whose connections run in a thread of the parent.
    """
    named = ("AWS_", SILENCE_VARIABLE)
    settings = tuple(sorted(item for item in os.environ.items() if item[0].startswith(named)))
    return _made(address.partition(":")[0], os.getpid(), settings)


@lru_cache(maxsize=8)
def _made(scheme: str, _process: int, _settings: tuple[tuple[str, str], ...]) -> Any:
    import fsspec

    more: dict[str, Any] = {}
    if scheme == "s3":  # `_tried` alone tries again: else attempts would multiply
        silence = float(os.environ.get(SILENCE_VARIABLE) or SILENCE)
        more["config_kwargs"] = {
            "connect_timeout": min(CONNECT, silence),
            "read_timeout": silence,
            "retries": {"total_max_attempts": 1},
        }
    made = fsspec.filesystem(scheme, skip_instance_cache=True, use_listings_cache=False, **more)
    if scheme == "s3":
        made.retries = 1
    return made
