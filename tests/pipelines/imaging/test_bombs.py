"""Decompression bombs: files that declare a huge size are refused before they are decoded."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import Any

import cv2
import imagecodecs
import numpy as np
import PIL.Image
import pydicom
import pytest
from mutants import Decoding, results, total
from sound import dicom, xray

from cxr_vlp.pipelines.config import Shards
from cxr_vlp.pipelines.errors import IngestError
from cxr_vlp.pipelines.executor.pool import PartPool
from cxr_vlp.pipelines.imaging import codecs, encode
from cxr_vlp.pipelines.synthetic.writing import dicom_files


def claiming(frame: bytes, syntax: str, **sizes: Any) -> bytes:
    """Return a DICOM file with this frame, whose header says 512 x 512 or other sizes."""
    dataset = pydicom.dcmread(io.BytesIO(dicom(dicom_files.SYNTAXES[2])))
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.Rows = dataset.Columns = 512
    for name, value in sizes.items():
        setattr(dataset, name, value)
    dataset.PixelData = pydicom.encaps.encapsulate([frame])
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


def j2k(side: int) -> bytes:
    """Return a codestream whose SIZ declares `side` pixels a side, in one tile."""
    small = bytearray(imagecodecs.jpeg2k_encode(xray(512, 512), codecformat="j2k", level=0))
    at = small.index(b"\xff\x51")
    for place in (at + 6, at + 10, at + 22, at + 26):  # Xsiz, Ysiz, XTsiz, YTsiz (15444-1 A.5.1)
        small[place : place + 4] = side.to_bytes(4, "big")
    return bytes(small)


def jpeg(encoded: bytes, mark: bytes, side: int) -> bytes:
    """Return a JPEG whose frame header, at this marker, declares `side` pixels a side."""
    at = encoded.index(mark)
    return encoded[: at + 5] + side.to_bytes(2, "big") * 2 + encoded[at + 9 :]


def png(side: int) -> bytes:
    """Return a whole PNG of zeros, 60,000 of them deflated to a few kilobytes a megapixel."""
    chunk = b"IHDR" + side.to_bytes(4, "big") * 2 + b"\x08\0\0\0\0"
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(side + 1)) for _ in range(2000)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (len(c) - 4).to_bytes(4, "big") + c + zlib.crc32(c).to_bytes(4, "big")
        for c in (chunk, b"IDAT" + data, b"IEND")
    )


def tiff() -> bytes:
    stream = io.BytesIO()
    PIL.Image.fromarray((xray(512, 512) >> 4).astype(np.uint8)).save(stream, "TIFF")
    return stream.getvalue()


EIGHT = (xray(512, 512) >> 4).astype(np.uint8)
J2K, JPEG, JPEG_LS, LOSSLESS = (
    "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.70",
)  # fmt: skip
CODES = (
    "dicom.bad_dims", "image.too_large", "dicom.undecodable", "dicom.truncated", "image.unreadable",
    "dicom.damaged_frame",
)  # fmt: skip
BOMBS = [
    pytest.param(lambda: claiming(j2k(30_000), J2K), ".dcm", id="j2k-siz"),
    pytest.param(lambda: claiming(j2k(8_000), J2K), ".dcm", id="j2k-siz-below-the-limit"),
    pytest.param(
        lambda: claiming(jpeg(imagecodecs.jpeg_encode(EIGHT), b"\xff\xc0", 65_000), JPEG),
        ".dcm", id="jpeg-sof"),
    pytest.param(
        lambda: claiming(jpeg(imagecodecs.ljpeg_encode(EIGHT), b"\xff\xc3", 65_000), LOSSLESS),
        ".dcm", id="jpeg-lossless-sof"),
    pytest.param(
        lambda: claiming(jpeg(imagecodecs.jpegls_encode(EIGHT), b"\xff\xf7", 65_000), JPEG_LS),
        ".dcm", id="jpeg-ls-sof"),
    pytest.param(lambda: png(60_000), ".png", id="png-of-zeros"),
    pytest.param(
        lambda: jpeg(cv2.imencode(".jpg", EIGHT)[1].tobytes(), b"\xff\xc0", 65_000), ".jpg",
        id="jpeg"),
    pytest.param(lambda: gzip.compress(bytes(150 << 20), 1), ".dcm.gz", id="gzip"),
    pytest.param(lambda: dicom(NumberOfFrames=10**9), ".dcm", id="a-billion-frames"),
    pytest.param(lambda: dicom(Rows=65_535, Columns=65_535), ".dcm", id="rows-and-columns"),
    pytest.param(lambda: claiming(tiff(), J2K), ".dcm", id="tiff-in-dicom"),
    pytest.param(lambda: claiming(cv2.imencode(".png", EIGHT)[1].tobytes(), J2K), ".dcm",
                 id="png-in-dicom"),
    pytest.param(tiff, ".png", id="tiff-called-png"),
]  # fmt: skip


@pytest.mark.parametrize(("made", "suffix"), BOMBS)
def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch, made, suffix):
    """No decoder is called, so nothing is allocated."""
    data, called = made(), []
    monkeypatch.setattr(codecs, "DECODERS", dict.fromkeys(codecs.DECODERS, called.append))
    monkeypatch.setattr(cv2, "imdecode", called.append)
    with pytest.raises(IngestError) as error:
        encode.encode(data, suffix, Shards())
    assert called == []
    assert error.value.code in CODES


def deflated() -> bytes:
    """Return a deflated DICOM of 3 MB whose data set inflates to 3 GB."""
    data = dicom()
    start = data.index(b"\x08\x00\x05\x00") if b"\x08\x00\x05\x00" in data else 400
    meta = pydicom.dcmread(io.BytesIO(data)).file_meta
    meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    stream = io.BytesIO(bytes(128) + b"DICM")
    stream.seek(0, io.SEEK_END)
    pydicom.filewriter.write_file_meta_info(stream, meta)
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    head = packer.compress(data[start:] + bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return stream.getvalue() + head + 3000 * block + packer.flush()


def run_lengths() -> bytes:
    """Return an RLE DICOM of 16 MB whose two segments unpack to 1 GB."""
    segment = b"\x81\x00" * (4 << 20)
    starts = (2, 64, 64 + len(segment), *([0] * 13))
    frame = np.array(starts, "<u4").tobytes() + 2 * segment
    return claiming(frame, dicom_files.SYNTAXES[1])


def test_bombs_take_no_memory(tmp_path):
    made = [*(bomb.values for bomb in BOMBS), (deflated, ".dcm"), (run_lengths, ".dcm")]
    for number, (make, suffix) in enumerate(made):
        (tmp_path / f"{number}{suffix}").write_bytes(make())
    paths = tuple(map(str, sorted(tmp_path.iterdir())))
    names = [f"part-{number}" for number in range(len(paths))]
    work = Decoding(paths, parts=len(paths))
    totals = total(results(work, names, PartPool(1, image_timeout=60)))
    print("\n", totals)
    assert set(totals["outcomes"]) <= set(CODES)
    assert totals["memory"] < 1024


@pytest.mark.slow
@pytest.mark.parametrize(
    "syntax", dicom_files.SYNTAXES, ids=lambda uid: uid.name.split(",")[0][:30]
)
def test_the_largest_accepted_image_fits_in_memory(tmp_path, syntax):
    side = int((Shards().max_megapixels * 1e6) ** 0.5)
    large = cv2.resize(xray(1000, 1000), (side, side), interpolation=cv2.INTER_NEAREST)
    (tmp_path / "large.dcm").write_bytes(dicom(syntax, values=large))
    totals = total(results(Decoding((str(tmp_path / "large.dcm"),)), ["part-0"], PartPool(1)))
    print("\n", totals)
    assert totals["outcomes"] == {"image": 1}
    assert totals["memory"] < 1024
