"""The smooth continuation that `RefinedUNet` adds to."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.restoration import inpaint_biharmonic

from pconv_core import data
from pconv_core.continuation import continuation
from pconv_core.models import build_model


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    levels=st.integers(0, 7),
    known=st.sampled_from([0.02, 0.3, 0.9, 1.0]),
    seed=st.integers(0, 2**31),
)
def test_known_pixels_stay_and_one_colour_stays_one_colour(height, width, levels, known, seed):
    g = torch.Generator().manual_seed(seed)
    mask = (torch.rand(2, 1, height, width, generator=g) < known).float()
    mask[..., 0, 0] = 1
    image = torch.rand(2, 3, height, width, generator=g)
    hole = ~mask.bool().expand_as(image)
    filled = continuation(image.masked_fill(hole, torch.nan), mask, levels)
    assert torch.equal(filled[~hole], image[~hole])
    assert torch.isfinite(filled).all()
    colour = torch.tensor([0.7, 0.1, 0.4]).view(1, 3, 1, 1).expand_as(image)
    torch.testing.assert_close(continuation(colour, mask, levels), colour, rtol=0, atol=1e-5)


def lines(size, width):
    """A mask (1, 1, size, size) of eight straight lines, `width` pixels wide."""
    mask, rng = np.ones((size, size), np.uint8), np.random.default_rng(3)
    for _ in range(8):
        start, end = rng.integers(0, size, (2, 2)).tolist()
        cv2.line(mask, start, end, 0, width)
    return torch.from_numpy(mask).float()[None, None]


def test_a_slope_goes_on_through_a_line():
    """A plane solves the biharmonic equation."""
    rows, columns = torch.meshgrid(
        torch.linspace(0, 1, 48), torch.linspace(0, 1, 48), indexing="ij"
    )
    plane = (0.2 + 0.5 * rows + 0.2 * columns).expand(1, 3, 48, 48)
    mask = torch.ones(1, 1, 48, 48)
    mask[..., 20:23, 8:40] = 0
    error = (continuation(plane, mask, 6) - plane).abs().max()
    assert error < 2e-3
    with_means = plane.clone()
    with_means[..., 20:23, 8:40] = plane.mean()
    assert (with_means - plane).abs().max() > 50 * error


@pytest.mark.parametrize("width", [1, 2])
def test_thin_lines_come_near_the_exact_biharmonic_solution(width):
    photo = data.embedded("test")[0][100:196, 180:276]
    image, mask = data.to_tensor(photo)[None], lines(96, width)
    exact = inpaint_biharmonic(photo / 255, mask[0, 0].numpy() == 0, channel_axis=2)
    exact = torch.from_numpy(exact.transpose(2, 0, 1)[None].astype(np.float32))
    hole = (mask == 0).expand_as(image)
    ours, theirs = (
        -10 * (fill - image)[hole].square().mean().log10()
        for fill in (continuation(image, mask, 6), exact)
    )
    assert abs(ours - theirs) < 2


def test_network_begins_as_the_continuation():
    net = build_model("refined", 64, 4, seed=0).eval()
    image = torch.rand(2, 3, 64, 50, generator=torch.Generator().manual_seed(0))
    mask = lines(64, 4)[..., :50].expand(2, 1, 64, 50)
    with torch.no_grad():
        out = net(image, mask)
    expected = continuation(image, mask, 6)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-5)


def test_network_gives_a_plain_surface_back_whatever_its_colour():
    """The U-Net sees the image less its mean, so what it adds does not depend on the colour."""
    net = build_model("refined", 64, 4, seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    for weight in (p for p in net.parameters() if not p.any()):
        torch.nn.init.normal_(weight, std=0.1, generator=generator)
    mask = torch.ones(1, 1, 64, 64)
    mask[..., 20:40, 20:40] = 0
    with torch.no_grad():
        added = [
            net(colour.view(1, 3, 1, 1).expand(1, 3, 64, 64), mask) - colour.view(1, 3, 1, 1)
            for colour in (torch.tensor([0.8, 0.1, 0.1]), torch.tensor([0.2, 0.3, 0.9]))
        ]
    torch.testing.assert_close(*added, rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(129, 300), (300, 129), (256, 257)])
def test_tiles_change_nothing(monkeypatch, shape):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, *shape, generator=generator)
    mask = (torch.rand(2, 1, *shape, generator=generator) < 0.5).float()
    mask[..., 60:110, 20:90], mask[..., 128:, 128:] = 0, 1
    tiled = continuation(image, mask, 6)
    monkeypatch.setattr("pconv_core.continuation._TILE", 1000)
    torch.testing.assert_close(continuation(image, mask, 6), tiled, rtol=0, atol=1e-6)
