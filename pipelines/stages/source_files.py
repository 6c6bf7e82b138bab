"""An image of the inventory in, the bytes of its file out: those that `scan` told of, or none."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from cxr_vlp.pipelines.cache import file_index
from cxr_vlp.pipelines.errors import DataError, IngestError
from cxr_vlp.pipelines.files import paths
from cxr_vlp.pipelines.records import Image


@dataclass(frozen=True)
class Originals:
    """The raw files below a root.

    A file that scan has hashed, and whose size, time and inode are what they were then, is not
    hashed again (it would double the cost of an uncompressed DICOM); any other is.
    """

    root: str
    official: bool = False  # digests are the collection's own, and nobody has read the files yet
    file_index: str = ""  # where scan remembers what it read (memory.py); "": hash every file
    links: bool = False  # links may lead out of the root

    def read(self, image: Image) -> bytes:
        """Return the file's bytes.

        Raises IngestError for a file that cannot be read, or that is not the published one, and
        DataError for one that moved since `scan`: the inventory is then of another tree.
        """
        # not of the path, whose ids could be found by trying; data/scan tells which image it is
        name = f"sha256 {image.sha256[:16]}..."
        path = paths.inside(paths.RawTree(Path(self.root), self.links), image.path)
        try:
            stat = paths.plain(path, "image")
            data = path.read_bytes()
        except FileNotFoundError:
            raise DataError(
                "source.gone: an image of the inventory is no longer there; run scan again "
                f"({name})"
            ) from None
        except OSError:
            raise IngestError("image.io") from None
        if self._known(image, stat) or hashlib.sha256(data).hexdigest() == image.sha256:
            return data
        if self.official:  # it is damaged, or an unfinished download
            raise IngestError("image.digest")
        raise DataError(
            f"source.changed: an image is not the one in the inventory; run scan again ({name})"
        )

    def _known(self, image: Image, stat: os.stat_result) -> bool:
        if not self.file_index or self.official:
            return False
        facts = file_index.at(self.file_index).get(image.path, stat)
        return facts is not None and facts["read"] and facts["sha256"] == image.sha256
