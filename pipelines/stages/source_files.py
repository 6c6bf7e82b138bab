"""Reads the raw file of an image and checks that it did not change since `scan`."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from cxr_vlp.pipelines.cache import file_index
from cxr_vlp.pipelines.errors import DataError, IngestError
from cxr_vlp.pipelines.files import paths
from cxr_vlp.pipelines.records import Image
from cxr_vlp.pipelines.storage.place import place


@dataclass(frozen=True)
class SourceFiles:
    """The raw files below a root.

    A file that scan has hashed is not hashed again if its size, time and inode are unchanged (that
    would double the cost of an uncompressed DICOM file). Any other file is hashed.
    """

    root: str
    official: bool = False  # the digests are the collection's own, and scan read no file
    index: str = ""  # path of the index in the inventory's folder; "": hash every file
    links: bool = False  # links may lead out of the root
    kept: str = ""  # the folder in which the indices of tars are kept

    def read(self, image: Image) -> bytes:
        """Return the file's bytes.

        Raises IngestError for a file that cannot be read, or that is not the published file, and
        DataError for a file that changed since `scan`: the inventory then describes another tree.
        """
        # the message has no path, because its ids could be guessed; data/scan shows the image
        name = f"sha256 {image.sha256[:16]}..."
        kept = Path(self.kept) if self.kept else None
        path = paths.inside(paths.RawTree(place(self.root), self.links, kept), image.path)
        try:
            data, stat = paths.read_plain(path, "image")
        except FileNotFoundError:
            raise DataError(
                "source.gone: an image of the inventory is no longer there; run scan again "
                f"({name})"
            ) from None
        except OSError:
            raise IngestError("image.io") from None
        if self._unchanged(image, stat) or hashlib.sha256(data).hexdigest() == image.sha256:
            return data
        if self.official:  # the file is damaged, or its download is unfinished
            raise IngestError("image.digest")
        raise DataError(
            f"source.changed: an image is not the one in the inventory; run scan again ({name})"
        )

    def _unchanged(self, image: Image, stat: os.stat_result) -> bool:
        if not self.index or self.official:
            return False
        facts = file_index.facts(Path(self.index), image.path, stat)
        return facts is not None and facts["read"] and facts["sha256"] == image.sha256
