"""`inpainting` fills wide holes coarse to fine, and all else in one pass."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pconv_core import inpainting, weights
from pconv_core.models import IMAGENET_MEAN, InpaintingNet, build_model


class Near(InpaintingNet):
    """Fills with the known mean what has a known pixel within `reach`; the rest with red."""

    def __init__(self, trained_size=64, reach=16):
        super().__init__()
        self.trained_size, self.reach = trained_size, reach
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.passes = []

    def forward(self, image, mask):
        self.passes.append(tuple(mask.shape[-2:]))
        side = 2 * self.reach + 1
        mean = (image * mask).sum((2, 3), keepdim=True) / mask.sum().clamp(min=1)
        near = torch.nn.functional.max_pool2d(mask, side, 1, self.reach) > 0
        red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
        return torch.where(near, mean, red).expand_as(image)


@pytest.fixture(scope="module")
def net():
    return build_model("pconv", 64, 2, seed=0).eval()


@pytest.fixture(scope="module")
def shipped():
    return weights.load("shipped").folded()


def noise(height, width, seed=0):
    return np.random.default_rng(seed).random((height, width, 3), dtype=np.float32)


def square(height, width, side, top=None, left=None):
    hole = np.zeros((height, width), bool)
    top = (height - side) // 2 if top is None else top
    left = (width - side) // 2 if left is None else left
    hole[top : top + side, left : left + side] = True
    return hole


def opened(hole, radius):
    """Union of the discs of this radius within a hole, one by one; they may leave the picture."""
    height, width = hole.shape
    rows, columns = np.mgrid[:height, :width]
    wide = np.zeros_like(hole)
    for row, column in np.argwhere(hole):
        disc = (rows - row) ** 2 + (columns - column) ** 2
        # A centre farther than the radius from all that is known.
        if not (~hole & (disc <= radius**2)).any():
            wide |= disc < radius**2
    return wide


@settings(max_examples=25, deadline=None)
@given(st.integers(33, 70), st.integers(33, 70), st.integers(0, 2**32))
def test_wide_is_the_union_of_discs_in_the_hole(height, width, seed):
    hole = np.zeros((height, width), bool)
    for top, left, tall, broad in np.random.default_rng(seed).integers(0, 34, (3, 4)):
        hole[top : top + tall, left : left + broad] = True
    wide = inpainting._wide(build_model("pconv", 64, 2, seed=0), hole)
    assert np.array_equal(wide, opened(hole, 8))


@pytest.mark.parametrize("size", [(97, 130), (64, 64), (33, 200)])
def test_where_nothing_is_wide_it_is_one_pass_bit_for_bit(net, size):
    rgb, hole = noise(*size), np.zeros(size, bool)
    hole[::5], hole[3:19, 4:20], hole[-8:, -8:] = True, True, True
    assert inpainting.halvings(net, hole) == 0
    single = inpainting.fill(net, rgb, hole)
    assert np.array_equal(inpainting.coarse_to_fine(net, rgb, hole), single)
    assert np.array_equal(
        inpainting.inpaint(net, rgb, hole), np.where(hole[..., None], single, rgb)
    )


def test_thin_holes_beside_a_wide_one_are_filled_in_one_pass():
    """A line far from the square comes from the last pass, at native resolution."""
    net = Near()
    rgb, hole = noise(150, 300), square(150, 300, 80, left=10)
    hole[:, 250:253] = True
    out = inpainting.inpaint(net, rgb, hole)
    line = out[:, 250:253]
    assert np.array_equal(line, np.broadcast_to(line[0, 0], line.shape))
    net.passes.clear()
    inpainting.inpaint(net, rgb, hole & (np.arange(300) >= 250))
    assert net.passes == [(150, 300)]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32), st.floats(0, 1))
def test_a_halved_picture_is_the_mean_of_what_is_known(height, width, seed, ratio):
    rng = np.random.default_rng(seed)
    rgb, hole = noise(height, width, seed), rng.random((height, width)) < ratio
    small, small_hole = inpainting._halved(np.where(hole[..., None], np.nan, rgb), hole)
    assert small.shape == (-(-height // 2), -(-width // 2), 3)
    assert small.dtype == np.float32
    for i, j in np.ndindex(small_hole.shape):
        part = np.s_[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        known = rgb[part][~hole[part]].astype(np.float64)
        assert small_hole[i, j] == (len(known) == 0)
        assert small[i, j] == pytest.approx(known.mean(axis=0) if len(known) else 0, abs=1e-6)


@pytest.mark.parametrize(
    ("side", "expected"), [(16, 0), (20, 1), (40, 2), (200, 4), (390, 5)], ids=str
)
def test_halvings_follow_depth_and_training_size(side, expected):
    hole = square(400, 500, side)
    assert inpainting.halvings(build_model("pconv", 64, 2, 0), hole) == expected
    assert inpainting.halvings(build_model("pconv", 128, 2, 0), hole) == max(0, expected - 1)


@pytest.mark.parametrize("side", [60, 150, 280])
def test_what_the_network_does_not_reach_comes_from_below(side):
    """One pass leaves the middle red; coarse to fine fills all with the picture's mean."""
    net, rgb, hole = Near(), noise(300, 400), square(300, 400, side)
    red = np.array([1, 0, 0], np.float32)
    assert (inpainting.fill(net, rgb, hole)[hole] == red).all(axis=1).any()
    net.passes.clear()
    out = inpainting.inpaint(net, rgb, hole)
    assert np.abs(out[hole] - 0.5).max() < 0.1
    assert len(net.passes) == 1 + inpainting.halvings(net, hole)
    assert np.array_equal(out[~hole], rgb[~hole])


def test_without_a_known_pixel_nothing_is_made_up(net):
    rgb, hole = noise(80, 90), np.ones((80, 90), bool)
    with pytest.raises(ValueError, match="hole all over; some of it should be known"):
        inpainting.inpaint(net, rgb, hole)


def test_what_the_picture_holds_in_the_hole_is_not_looked_at(net):
    rgb, hole = noise(140, 150), square(140, 150, 100)
    before = rgb.copy()
    out = inpainting.inpaint(net, rgb, hole)
    assert np.array_equal(rgb, before)
    for value in (np.nan, 7):
        other = np.where(hole[..., None], np.float32(value), rgb)
        assert np.array_equal(inpainting.inpaint(net, other, hole, overwrite=value == 7), out)
    assert np.array_equal(other, out)
    assert out.dtype == np.float32


def test_windows_agree_with_a_single_one(net):
    """Where windows see what the network needs, they change nothing but rounding."""
    net = Near()
    plain = np.broadcast_to(np.float32([0.2, 0.5, 0.7]), (300, 400, 3))
    hole = square(300, 400, 180)
    small = inpainting.inpaint(net, plain, hole, window=160, overlap=64)
    assert np.abs(small - plain).max() < 1e-5


def test_levels_hand_over_without_a_seam():
    """No step within the hole is larger than the difference of two levels spread over the fade."""
    net, hole = Near(), square(200, 200, 120)
    rgb = np.zeros((200, 200, 3), np.float32)
    rgb[:, 100:] = 1
    rgb[::2] = 0.2  # the levels differ in their means
    out = inpainting.inpaint(net, rgb, hole)[41:159, 41:159].astype(np.float64)
    steps = max(np.abs(np.diff(out, axis=axis)).max() for axis in (0, 1))
    assert steps < 1.5 * np.ptp(out) / inpainting.FADE + 1e-6


def test_training_size_is_kept():
    for name in ("pconv", "partwise", "refined", "conv", "unet"):
        net = build_model(name, 88, 2, seed=0).eval()
        assert net.trained_size == net.folded().trained_size == 88
    assert weights.load("shipped").trained_size >= 64


@pytest.mark.parametrize("colour", [(0.7, 0.1, 0.1), (0.3, 0.5, 0.9), (0.9, 0.9, 0.85)])
def test_a_large_hole_ends_in_colours_that_fit(shipped, colour):
    """Far beyond the field of a network, whose one pass ends in the ImageNet mean without more."""
    plain = np.broadcast_to(np.float32(colour), (480, 480, 3))
    hole = square(480, 480, 400)
    found = inpainting.inpaint(shipped, plain, hole)[hole]
    assert np.abs(found - colour).mean() < 0.08
    assert not (np.abs(found - IMAGENET_MEAN) < 1 / 255).all(axis=1).any()
    single = inpainting.fill(build_model("pconv", 64, 4, seed=0).eval(), plain, hole)[hole]
    assert (np.abs(single - IMAGENET_MEAN) < 1 / 255).all(axis=1).any()


@pytest.mark.parametrize("size", [(640, 768), (639, 768), (36, 200)])
def test_only_where_there_is_hole_is_exact(size):
    """The network's own pass is of the whole picture; `fill` computes parts of it."""
    net, generator = build_model("refined", 64, 2, seed=0).eval(), torch.Generator().manual_seed(1)
    for weight in (p for p in net.parameters() if p.dim() == 4):
        torch.nn.init.kaiming_normal_(weight, generator=generator)
    net.last.weight.data /= 200  # in [0, 1], so that nothing is clipped
    hole = square(*size, min(size) - 20) & ~square(*size, min(size) - 32)
    hole[:9, :9], hole[:, size[1] // 2 :] = True, False
    rgb, known = noise(*size), torch.from_numpy(~hole).float()[None, None]
    with torch.no_grad():
        whole = net(torch.from_numpy(rgb.transpose(2, 0, 1))[None], known)
    whole = whole[0].permute(1, 2, 0).clamp(0, 1).numpy()
    assert whole[hole].std() > 0.05
    assert len(inpainting._parts(hole, net.reach)) > (size == (640, 768))
    np.testing.assert_allclose(inpainting.fill(net, rgb, hole), whole, atol=1e-5)


def test_parts_leave_out_what_is_far_from_a_hole():
    corners = square(1024, 1024, 20, 10, 10) | square(1024, 1024, 20, 900, 980)
    frame = square(1024, 1024, 900) & ~square(1024, 1024, 868)
    for hole, most in ((corners, 0.05), (frame, 0.75), (noise(1024, 1024)[..., 0] < 0.1, 1)):
        parts, held = inpainting._parts(hole, 52), np.zeros((1024, 1024), int)
        for part in parts:
            held[part] += 1
        assert (held[hole] == 1).all()
        around = [tuple(slice(max(0, p.start - 52), p.stop + 52) for p in part) for part in parts]
        assert sum(hole[part].size for part in around) <= most * hole.size
