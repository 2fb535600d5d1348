import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pconv_core.masks import BINS, KINDS, hole_ratio, margin_pixels, random_mask


@settings(max_examples=250, deadline=None)
@given(
    height=st.integers(16, 96),
    width=st.integers(16, 96),
    lo=st.floats(0, 0.55),
    span=st.floats(0.01, 0.3),
    border=st.booleans(),
    seed=st.integers(0, 2**40),
    number=st.integers(0, 2**40),
    kind=st.sampled_from(KINDS),
)
def test_every_mask_keeps_its_promises(height, width, lo, span, border, seed, number, kind):
    hi = min(1.0, lo + span)
    m = 0 if border else margin_pixels((height, width))
    room = (height - 2 * m) * (width - 2 * m)
    assume(lo * height * width + 1 <= min(hi * height * width, room))
    mask = random_mask((height, width), (lo, hi), border, seed, number, kind)
    assert mask.shape == (height, width)
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) <= {0, 1}
    holes = int((mask == 0).sum())
    assert lo * height * width < holes <= hi * height * width + 1e-6
    if not border:
        frame = np.ones_like(mask, dtype=bool)
        frame[m:-m, m:-m] = False
        assert mask[frame].all()


@pytest.mark.parametrize("border", [True, False])
@pytest.mark.parametrize("ratio", BINS)
@pytest.mark.parametrize("size", [56, 256, (224, 300)])
@pytest.mark.parametrize("kind", KINDS)
def test_the_papers_bins(size, ratio, border, kind):
    for number in range(5):
        mask = random_mask(size, ratio, border, 1, number, kind)
        assert ratio[0] < hole_ratio(mask) <= ratio[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [425, 1744])
def test_no_draw_of_a_mask_differs(number, kind):
    """With OpenCV's exact distances some draws of masks that end by growing differed."""
    draw = {"ratio": (0.55, 0.6), "border": False, "seed": 2018, "number": number, "kind": kind}
    assert len({random_mask(64, **draw).tobytes() for _ in range(50)}) == 1


@pytest.mark.parametrize("border", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_ratios_fill_the_interval_evenly(border, kind):
    draw = {"ratio": (0, 0.6), "border": border, "kind": kind}
    ratios = np.array([hole_ratio(random_mask(64, **draw, number=k)) for k in range(400)])
    counts, _ = np.histogram(ratios, np.linspace(0, 0.6, 5))
    assert counts.min() > 60  # 100 expected, 8.7 the standard deviation
    assert counts.max() < 140


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ratio": (0.7, 0.8), "border": False}, r"no 64x64 mask without border.*\(0.7, 0.8\]"),
        ({"ratio": (0.5, 0.4)}, r"hole ratio is \(0.5, 0.4\]"),
        ({"ratio": (0.1, 0.1001), "size": 10}, "whole number of pixels"),
        ({"size": 7}, "mask size is 7x7"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_masks_that_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        random_mask(**{"size": 64, **arguments})
