"""Finds the file of an image that a row states as a path, a name or a stem: never a wrong one.

Rows and files rarely agree on folders and suffixes. So a path is known by its tail: its last parts,
as many as are needed for the stated paths to differ (`Tails`). `00000001_000.png` is found in any
folder; of `patient1/study1/view1.jpg` and `patient2/study1/view1.jpg` three parts are needed.
Upper and lower case count only where stated paths differ by nothing else. Where the stated folders
are those of the disk, they count too (`Disk.agreed`): the file of a film that was not downloaded is
not that of another patient's film with the same name.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch

from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.files import archives, paths
from cxr_vlp.pipelines.files.paths import Root

DICOM = (".dcm", ".dicom", ".dcm.gz", ".dicom.gz")
PICTURES = (".png", ".jpg", ".jpeg")
OTHERS = (".bmp", ".tif", ".tiff")  # found, so that `shards` can say that it does not read them
_SUFFIX = re.compile(r"(?:\.(?:dcm|dicom)(?:\.gz)?|\.(?:png|jpe?g|bmp|tiff?))\Z", re.I)
_ANY_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,6}\Z")
_AWAY = re.compile(r"^(?:(?:\.\.?)?/|[A-Za-z]:/?)+")  # ../, ./, / and C:/ in front
_MOST = 40  # parts of a path


@functools.lru_cache(maxsize=256)  # a row's path is asked for several times
def parts_of(stated: str) -> tuple[str, ...]:
    """Return the parts of a stated path, the last without its suffix.

    What leads to a folder of another machine, or out of the table's own folder, is left out: the
    path is only compared, never opened. Raises IngestError csv.path for a path that names no file.
    """
    path = _AWAY.sub("", unicodedata.normalize("NFC", stated).strip().replace("\\", "/"))
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or "\0" in path or len(parts) > _MOST or path.endswith("/"):
        raise IngestError("csv.path")
    return (*parts[:-1], stem(parts[-1]))


def stem(name: str) -> str:
    """Return a file's name without the suffixes of images: x of x.dcm.png."""
    while (bare := _SUFFIX.sub("", name)) and bare != name:
        name = bare
    return name


def is_image(path: str) -> bool:
    """Return whether a file's suffix says that it is an image."""
    return bool(_SUFFIX.search(path))


@dataclass(frozen=True)
class Tails:
    """How many parts of a path, counted from its end, tell the stated images apart."""

    length: int = 1
    exact: bool = False  # upper and lower case differ

    @classmethod
    def of(cls, stated: Iterable[tuple[str, ...]]) -> Tails:
        """Return the shortest tails by which all stated paths differ."""
        whole = set(stated)
        folded = {tuple(map(str.casefold, parts)) for parts in whole}
        exact = len(folded) < len(whole)
        found = whole if exact else folded
        longest = max(map(len, found), default=1)
        for length in range(1, longest):
            if len({parts[-length:] for parts in found}) == len(found):
                return cls(length, exact)
        return cls(longest, exact)

    def tail(self, parts: tuple[str, ...]) -> str:
        """Return the tail of a path as text, which names an image in the whole collection."""
        text = "/".join(parts[-self.length :])
        return text if self.exact else text.casefold()


@dataclass
class Disk:
    """The files that may be images, by tail: one path, or several in a tuple.

    It holds a path and a tail for each file: about 200 bytes, 80 MB for 400,000 files.
    """

    files: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)  # codes of the walk
    agreed: int = 0  # the most parts in which a stated path and a file of its form agree

    @classmethod
    def of(
        cls,
        root: Root,
        tails: Tails,
        stated: Iterable[tuple[str, ...]],
        patterns: tuple[str, ...] = (),
    ) -> Disk:
        """Return the files below the root that match one of the patterns; all without patterns."""
        disk = cls()
        above = paths.tree(root).root.parts[1:]
        for path in _walked(root, disk.faults.append, patterns):
            *folders, name = unicodedata.normalize("NFC", path).split("/")
            # rows may begin with the name of the root
            tail = tails.tail((*above, *folders, stem(name)))
            held = disk.files.get(tail)
            if held is None:
                disk.files[tail] = path
            else:
                disk.files[tail] = (*((held,) if isinstance(held, str) else held), path)
        # stated paths of one part agree in no folder
        deep = (parts for parts in stated if len(parts) > 1)
        disk.agreed = max(
            (
                _in_common(parts, parts_of(path))
                for parts in deep
                for path in disk.candidates(tails.tail(parts))
            ),
            default=0,
        )
        return disk

    def candidates(self, tail: str) -> tuple[str, ...]:
        """Return the files of one tail."""
        held = self.files.get(tail, ())
        return (held,) if isinstance(held, str) else held

    def unlisted(self, listed: Container[str]) -> int:
        """Return how many images on disk no row names."""
        return sum(
            sum(map(is_image, self.candidates(tail))) for tail in self.files if tail not in listed
        )

    def find(self, stated: str, tail: str, prefer: str) -> tuple[str, int]:
        """Return (the file of a stated image, how many other files of it there are).

        Raises IngestError image.missing, image.ambiguous (files in different folders, of which
        none is nearer to what is stated) and path.encoding.
        """
        there = [path for path in self.candidates(tail) if self._certain(stated, path)]
        if len(there) == 1 and paths.readable(there[0]):
            return there[0], 0  # the usual case
        agreed = {path: _common(stated, path) for path in there}
        best, parts = max(agreed.values(), default=0), tail.count("/") + 1
        # A file of the other form is the same image (BRAX has a PNG twin of each DICOM file) if its
        # path agrees in more parts than the tail, which any file of that name has.
        same = {p: common for p, common in agreed.items() if common == best or common // 2 > parts}
        twins = {p: common for p, common in same.items() if _is_dicom(p) == (prefer == "dicom")}
        nearest = max((twins or same).values(), default=0)
        near = [path for path, common in (twins or same).items() if common == nearest]
        # an archive beside its unpacked copy changes nothing
        found = [path for path in near if not archives.within(path)] or near
        if len({path.rpartition("/")[0] for path in found}) > 1:
            raise IngestError("image.ambiguous")
        if not found:
            raise IngestError("image.missing")
        chosen = min(found, key=lambda path: (_form(path, prefer), not _spelt(stated, path), path))
        if not paths.readable(chosen):
            raise IngestError("path.encoding")
        return chosen, len(same) - 1

    def _certain(self, stated: str, path: str) -> bool:
        """Return whether a file agrees with a path as far as the files of other paths do."""
        if self.agreed < 2:
            return True
        if is_image(stated) and _is_dicom(stated) != _is_dicom(path):
            return True  # a twin lies in folders of its own
        there, here = parts_of(stated), parts_of(path)
        return _in_common(there, here) >= min(self.agreed, len(there), len(here))


def _walked(root: Root, fault: Callable[[str], object], patterns: tuple[str, ...]) -> Iterator[str]:
    for path in paths.walk(root, fault):
        name = path.rpartition("/")[2]
        if name.startswith(".") or not (_SUFFIX.search(name) or not _ANY_SUFFIX.search(name)):
            continue
        if not patterns or any(_matches(path, pattern) for pattern in patterns):
            yield path


def _matches(path: str, pattern: str) -> bool:
    """Return whether a path, or its end, matches a pattern like CXR_png/*.png, in any case."""
    return fnmatch(path.lower(), pattern.lower()) or fnmatch(path.lower(), f"*/{pattern.lower()}")


def _common(stated: str, path: str) -> int:
    """Return how much two paths agree: their common parts from the end, and the suffix."""
    length = _in_common(parts_of(stated), parts_of(path))
    return 2 * length + (stated[-4:].casefold() == path[-4:].casefold() and is_image(stated))


def _in_common(there: tuple[str, ...], here: tuple[str, ...]) -> int:
    """Return how many parts of two paths are equal, from the end, in any case."""
    length = 0
    for a, b in zip(reversed(there), reversed(here), strict=False):
        if a != b and a.casefold() != b.casefold():
            break
        length += 1
    return length


def _spelt(stated: str, path: str) -> bool:
    """Return whether a file's name has the upper and lower case of the stated one."""
    return parts_of(stated)[-1] == parts_of(path)[-1]


def _is_dicom(path: str) -> bool:
    return path.lower().endswith(DICOM)


def _form(path: str, prefer: str) -> int:
    """Return the rank of a file's form: the preferred one, PNG before JPEG, others last."""
    name = path.lower()
    if name.endswith(DICOM):
        return 0 if prefer == "dicom" else 3
    ranks = {".png": 1, ".jpg": 2, "jpeg": 2}
    return ranks.get(name[-4:], 4)
