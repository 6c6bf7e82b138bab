"""NVIDIA DALI on the CPU: `python examples/read_with_dali.py data/shards/nih`.

pip install nvidia-dali-cuda120. DALI reads the tars unchanged; with index files, which
`python -m nvidia.dali...wds2idx` or `index` below writes, it starts without a pass over the tars.
"""

from __future__ import annotations

import argparse
import tarfile
import tempfile
from itertools import groupby
from pathlib import Path

from nvidia.dali import fn, pipeline_def, types


def index(tar: Path, out: Path) -> Path:
    """Write DALI's index of a tar: a line a sample with ending, first byte, size and name."""
    with tarfile.open(tar) as archive:
        groups = groupby(archive, key=lambda member: member.name.partition(".")[0])
        lines = [
            " ".join(f"{m.name.partition('.')[2]} {m.offset_data} {m.size} {m.name}" for m in group)
            for _, group in groups
        ]
    out.write_text("\n".join([f"v1.2 {len(lines)}", *lines]) + "\n", encoding="utf-8")
    return out


@pipeline_def(batch_size=8, num_threads=1, device_id=None)
def images_and_texts(tars: list[str], indexes: list[str], form: str):
    """Return images (B, 64, 64, 1) uint8 and captions as bytes."""
    stored, caption = fn.readers.webdataset(
        paths=tars, index_paths=indexes, ext=[form, "txt"], missing_component_behavior="error"
    )
    decoded = fn.decoders.image(stored, device="cpu", output_type=types.GRAY)
    return fn.resize(decoded, size=[64, 64]), fn.pad(caption, axes=[0])


def main() -> None:
    """Print the shape of a batch and the number of images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--split", default="train")
    parser.add_argument("--form", default="jpg", help="jpg or png, as the set has it")
    flags = parser.parse_args()
    tars = sorted((flags.shards / flags.split).glob("*.tar"))
    if not tars:
        raise SystemExit(f"no tars in {flags.shards / flags.split}")
    with tempfile.TemporaryDirectory() as folder:
        indexes = [index(tar, Path(folder) / f"{tar.stem}.idx") for tar in tars]
        pipeline = images_and_texts([*map(str, tars)], [*map(str, indexes)], flags.form)
        pipeline.build()
        (number,) = pipeline.epoch_size().values()
        seen = 0
        while seen < number:
            images, _captions = pipeline.run()
            seen += len(images)
    print(f"{number} images, batches of {images.as_tensor().shape()}")


if __name__ == "__main__":
    main()
