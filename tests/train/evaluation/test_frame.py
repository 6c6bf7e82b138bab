"""Boxes and maps between square, stored and original image, against the code that makes these."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as nnf

from cxr_vlp.pipelines.format.sample import Box, Pixels
from cxr_vlp.pipelines.imaging import geometry
from cxr_vlp.train.config.recipe import ImageConfig
from cxr_vlp.train.data import images
from cxr_vlp.train.evaluation.frame import Frame, Origin, mask_of


class Parameters:
    """What geometry reads of the section `shards`."""

    def __init__(self, resize: str, side: int = 256) -> None:
        self.resize, self.side, self.enlarge = resize, side, False


def marked(height: int, width: int, box: Box) -> np.ndarray:
    """Return a black image with the box white."""
    image = np.zeros((height, width), np.uint8)
    image[int(box.y) : int(box.y + box.h), int(box.x) : int(box.x + box.w)] = 255
    return image


FITS = [
    ImageConfig(fit="pad"), ImageConfig(fit="shortest"), ImageConfig(fit="pad", part=0.875),
    ImageConfig(fit="shortest", part=0.5),
]  # fmt: skip


@pytest.mark.parametrize("recipe", FITS, ids=["pad", "shortest", "pad, part", "shortest, part"])
@pytest.mark.parametrize(("height", "width"), [(400, 300), (300, 401), (257, 512)])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_box_is_where_the_resize_puts_it(recipe, height, width, suffix):
    box = Box("", width // 2 - 40.0, height // 2 - 20.0, 60.0, 50.0)
    data = cv2.imencode(f".{suffix}", marked(height, width, box))[1].tobytes()
    square = images.prepare(images.decode(data, recipe, 96), recipe, 96, None)[0].numpy() > 127
    frame = Frame.read(data, recipe, 96)
    assert (frame.height, frame.width) == (height, width)
    left, top, right, bottom = frame.to_square(box)
    rows, columns = np.flatnonzero(square.any(axis=1)), np.flatnonzero(square.any(axis=0))
    ends = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert np.abs(np.array(ends) - np.clip([left, top, right, bottom], 0, 96)).max() <= 1.0
    back = frame.to_stored(left, top, right, bottom)
    sides = (back.x - box.x, back.y - box.y, back.w - box.w, back.h - box.h)
    assert max(map(abs, sides)) < 1e-9


def test_a_large_jpeg_that_is_read_at_a_half_has_the_frame_of_its_own_pixels():
    data = cv2.imencode(".jpg", np.zeros((1025, 801), np.uint8))[1].tobytes()
    assert images.reduction(data, ImageConfig(), 224) == 4
    frame = Frame.read(data, ImageConfig(), 224)
    assert (frame.height, frame.width) == (1025, 801)
    assert frame.down.last == 4 * 257  # 257 pixels at a quarter reach 3 pixels beyond the image
    assert frame.seen().all()


def test_a_map_is_spread_as_torch_interpolates_where_the_square_is_the_image():
    frame = Frame.of(40, 40, ImageConfig(), 96)
    grid = np.random.default_rng(0).random((6, 6))
    expected = nnf.interpolate(torch.from_numpy(grid)[None, None], (40, 40), mode="bilinear")
    assert np.abs(frame.spread(grid) - expected[0, 0].numpy()).max() < 1e-12


def test_outside_the_window_a_map_is_nan():
    frame = Frame.of(100, 60, ImageConfig(fit="shortest"), 32)  # rows 20 to 80
    spread = frame.spread(np.ones((4, 4)))
    assert np.isnan(spread[:20]).all()
    assert np.isnan(spread[80:]).all()
    assert np.abs(spread[20:80] - 1).max() < 1e-12
    assert np.array_equal(frame.seen(), ~np.isnan(spread))


def test_the_padding_of_the_square_is_no_part_of_the_stored_image():
    frame = Frame.of(100, 50, ImageConfig(fit="pad"), 32)  # the image is columns 8 to 24 of 32
    grid = np.tile(np.arange(4.0), (4, 1))
    spread = frame.spread(grid)
    assert spread.shape == (100, 50)
    assert spread[0, 0] == pytest.approx((8 + 0.5 * 16 / 50) / 8 - 0.5)
    assert frame.to_square(Box("", 0, 0, 50, 100)) == pytest.approx((8, 0, 24, 32))


SIZES = [(300, 200), (200, 300), (511, 512), (512, 512), (900, 301), (256, 200)]


@pytest.mark.parametrize("turn", ["", "X", "Y", "T", "TX", "TY", "TXY", "XY"])
@pytest.mark.parametrize("resize", ["pad", "shortest", "longest"])
@pytest.mark.parametrize("aspect", [1.0, 1.25, 0.8])
def test_the_original_image_is_where_the_pipeline_put_it(turn, resize, aspect):
    for height, width in SIZES:
        place = geometry.placement(width, height, Parameters(resize), aspect, turn)
        square = geometry.squared(width, height, aspect)
        square = square[::-1] if "T" in turn else square
        stored = (256, 256) if resize == "pad" else geometry.scaled(*square, Parameters(resize))
        pixels = Pixels(
            height=stored[1], width=stored[0], source_height=height, source_width=width,
            turned=turn, aspect=aspect,
        )  # fmt: skip
        origin = Origin.of(pixels)
        if origin is None:  # smaller than its square: it may or may not have been enlarged
            assert resize == "pad"
            assert max(square) < 256
            continue
        box = (20.0, 31.0, 50.0, 40.0)
        back = origin.box(Box("", *place.box(*box)))
        assert back == pytest.approx(box, abs=1e-6)


def test_a_map_of_the_original_image_is_turned_back():
    pixels = Pixels(2, 3, source_height=3, source_width=2, turned="TX", aspect=1.0)
    heat = np.arange(6.0).reshape(2, 3)
    original = np.array([[2.0, 5.0], [1.0, 4.0], [0.0, 3.0]])
    assert np.array_equal(geometry.turned(original, "TX"), heat)
    assert np.array_equal(Origin.of(pixels).original(heat), original)


def test_the_padding_of_a_shard_is_not_inside():
    origin = Origin.of(Pixels(256, 256, source_height=512, source_width=256, aspect=1.0))
    inside = origin.inside(256, 256)
    assert inside[:, 64:192].all()
    assert inside.sum() == 256 * 128


@pytest.mark.parametrize("lacks", ["source_width", "height"])
def test_sizes_that_are_missing_tell_no_origin(lacks):
    sizes = {"height": 10, "width": 10, "source_height": 20, "source_width": 20} | {lacks: 0}
    assert Origin.of(Pixels(**sizes)) is None


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        (Box("", 1, 0, 2, 1), [0], [1, 2]),
        (Box("", 0.6, 0, 1, 1), [0], [1]),  # the centre of pixel 0 is at 0.5
        (Box("", 0.5, 0, 1, 1), [0], [0]),
        (Box("", -3, -3, 4, 4), [0], [0]),
        (Box("", 3.1, 3.2, 9, 9), [3], [3]),
        (Box("", 2.1, 2.1, 0.1, 0.1), [2], [2]),  # no centre in it: the pixel around it
        (Box("", 9, 9, 2, 2), [], []),
    ],
    ids=["whole", "from .6", "from .5", "beyond the corner", "beyond the end", "tiny", "outside"],
)
def test_the_pixels_of_a_box_are_those_whose_centre_is_inside(box, rows, columns):
    expected = np.zeros((4, 4), bool)
    expected[np.ix_(rows, columns)] = True
    assert np.array_equal(mask_of((box,), 4, 4), expected)
