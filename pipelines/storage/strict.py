"""The paths of object stores, as universal_pathlib gives them, but strict about faults.

The library answers "there is no such file" when the credentials have expired, the network is down
or access is denied, and a stage would take a finished output for an empty one. Here such a fault is
a StorageError, and only an object that the store says it lacks is absent.
"""

from __future__ import annotations

import contextlib
import errno
import io
from collections.abc import Iterator
from typing import IO, Any

from upath import registry
from upath.core import UPath
from upath.implementations.cloud import AzurePath, GCSPath, S3Path
from upath.implementations.memory import MemoryPath

from cxr_vlp.pipelines.errors import StorageError
from cxr_vlp.pipelines.format.remote import faults, store
from cxr_vlp.pipelines.format.remote.addresses import shown

# a stage reads the folder of its input that was published when it began
_ABSENT = "an object is not there; if its folder was published again, run the same command again"


def path(text: str, scheme: str) -> UPath:
    """Return the strict path of an address."""
    return UPath(text, protocol=scheme)


@contextlib.contextmanager
def translated(found: Any) -> Iterator[None]:
    """Turn the faults of a store, in the block, into a StorageError; absence stays an OSError."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        if text := faults.message(error):
            raise StorageError(f"{shown(found)}: {text}") from None
        if isinstance(error, FileNotFoundError):
            # the library names the whole object, which may be that of a patient
            raise FileNotFoundError(errno.ENOENT, _ABSENT, shown(found)) from None
        raise


class _Strict(UPath):
    """Methods of a path that tell an absent object from a store that does not answer."""

    __slots__ = ()

    @classmethod
    def _fs_factory(cls, urlpath: str, protocol: str, storage_options: Any) -> Any:  # noqa: ARG003
        return store.opened(urlpath)[0]  # one for all who ask this store, with one policy

    def _kind(self) -> str:
        """Return "file", "directory" or "" for nothing."""
        with translated(self):
            try:
                return str(self.fs.info(self.path)["type"])
            except FileNotFoundError as error:
                if faults.message(error):  # the bucket is absent
                    raise
                return ""

    def exists(self, **_: Any) -> bool:
        return bool(self._kind())

    def is_file(self, **_: Any) -> bool:
        return self._kind() == "file"

    def is_dir(self, **_: Any) -> bool:
        return self._kind() == "directory"

    def is_mount(self) -> bool:
        return False

    def stat(self, **options: Any) -> Any:
        with translated(self):
            return super().stat(**options)

    def open(self, mode: str = "r", *arguments: Any, **options: Any) -> IO[Any]:  # type: ignore[override]
        with translated(self):
            return super().open(mode, *arguments, **options)

    def read_bytes(self) -> bytes:
        with translated(self):
            return store.whole(self.fs, self.path)

    def read_text(
        self, encoding: str | None = None, errors: str | None = None, newline: str | None = None
    ) -> str:
        data = io.BytesIO(self.read_bytes())
        return io.TextIOWrapper(data, encoding or "utf-8", errors, newline).read()

    def iterdir(self) -> Any:
        with translated(self):
            names = self.fs.ls(self.path, detail=False)
        own = self.path.strip("/")  # the listing of a file, and of some folders, names itself
        below = sorted({name.strip("/") for name in names} - {own})
        return iter([self / name.rpartition("/")[2] for name in below])

    def glob(self, pattern: str, **options: Any) -> Any:
        with translated(self):
            return iter(sorted(super().glob(pattern, **options), key=str))

    def unlink(self, missing_ok: bool = False) -> None:
        if not self.is_file():
            if missing_ok:
                return
            raise FileNotFoundError(errno.ENOENT, _ABSENT, shown(self))
        with translated(self):
            self.fs.rm_file(self.path)


class StrictS3(_Strict, S3Path):
    """A path of s3://."""

    __slots__ = ()


class StrictGCS(_Strict, GCSPath):
    """A path of gs://."""

    __slots__ = ()


class StrictAzure(_Strict, AzurePath):
    """A path of abfs://."""

    __slots__ = ()


class StrictMemory(_Strict, MemoryPath):
    """A path of memory://: of this process, for tests."""

    __slots__ = ()


_CLASSES: dict[str, type[UPath]] = {
    "s3": StrictS3,
    "gs": StrictGCS,
    "gcs": StrictGCS,
    "abfs": StrictAzure,
    "abfss": StrictAzure,
    "az": StrictAzure,
    "memory": StrictMemory,
}
for _scheme, _class in _CLASSES.items():
    registry.register_implementation(_scheme, _class, clobber=True)
