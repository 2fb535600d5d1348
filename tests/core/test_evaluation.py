import numpy as np
import patchmatch as library
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.data import chelsea as cat

from pconv_core import baselines, evaluation
from pconv_core.data import embedded, evaluation_set
from pconv_core.models import build_model


@pytest.fixture(scope="module")
def crops():
    return list(evaluation_set(embedded("test"), 32, per_cell=1, seed=5))


def ssim_by_definition(a, b):
    """Wang et al. (2004): Gaussian window of sigma 1.5, 11 wide, borders left out."""

    def blur(x):
        return gaussian_filter(x, 1.5, truncate=3.5)[5:-5, 5:-5]

    values = []
    for x, y in zip(np.moveaxis(a, 2, 0), np.moveaxis(b, 2, 0), strict=True):
        mx, my = blur(x), blur(y)
        vx, vy, cov = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
        c1, c2 = 0.01**2, 0.03**2
        values.append((2 * mx * my + c1) * (2 * cov + c2) / (mx**2 + my**2 + c1) / (vx + vy + c2))
    return np.mean(values)


def test_metrics_by_their_definitions():
    rng = np.random.default_rng(0)
    a, b = rng.random((40, 30, 3)), rng.random((40, 30, 3))
    found = evaluation.metrics(a, b)
    assert found["psnr"] == pytest.approx(10 * np.log10(1 / np.mean((a - b) ** 2)))
    assert found["l1"] == pytest.approx(100 * np.abs(a - b).mean())
    assert found["ssim"] == pytest.approx(ssim_by_definition(a, b), abs=1e-6)
    assert evaluation.metrics(a, a.copy()) == {"psnr": 100.0, "ssim": pytest.approx(1), "l1": 0.0}


def test_metrics_of_the_hole_by_loops():
    """Squares and differences pixel by pixel; SSIM of each window of 11 x 11 by its weights."""
    rng = np.random.default_rng(1)
    truth = rng.random((26, 24, 3))
    result = np.clip(truth + 0.2 * rng.normal(size=truth.shape), 0, 1)
    hole = np.zeros((26, 24), dtype=bool)
    hole[6:11, 7:9], hole[18, 12] = True, True
    line = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights = np.outer(line, line) / line.sum() ** 2
    squares, differences, ssims = [], [], []
    for y, x in zip(*np.nonzero(hole), strict=True):
        for c in range(3):
            a, b = truth[y, x, c], result[y, x, c]
            squares.append((a - b) ** 2)
            differences.append(abs(a - b))
            p, q = (i[y - 5 : y + 6, x - 5 : x + 6, c] for i in (truth, result))
            mp, mq = (weights * p).sum(), (weights * q).sum()
            vp, vq = (weights * (p - mp) ** 2).sum(), (weights * (q - mq) ** 2).sum()
            cov = (weights * (p - mp) * (q - mq)).sum()
            top = (2 * mp * mq + 0.01**2) * (2 * cov + 0.03**2)
            ssims.append(top / (mp**2 + mq**2 + 0.01**2) / (vp + vq + 0.03**2))
    found = evaluation.metrics(result, truth, hole)
    assert found["psnr_hole"] == pytest.approx(-10 * np.log10(np.mean(squares)))
    assert found["l1_hole"] == pytest.approx(100 * np.mean(differences))
    assert found["ssim_hole"] == pytest.approx(np.mean(ssims), abs=1e-6)
    assert {k: found[k] for k in ("psnr", "ssim", "l1")} == evaluation.metrics(result, truth)


@given(
    shapes=st.lists(st.tuples(*[st.integers(1, 5)] * 3), min_size=1, max_size=3),
    count=st.integers(1, 3),
    seed=st.integers(0, 99),
)
@settings(max_examples=25)
def test_feature_distance_by_a_loop_in_float64(shapes, count, seed):
    rng = np.random.default_rng(seed)
    pairs = [rng.normal(size=(2, count, *shape)) for shape in shapes]
    expected = np.zeros(count)
    for (f, g), (_, height, width) in zip(pairs, shapes, strict=True):
        for n in range(count):
            for y in range(height):
                for x in range(width):
                    p, q = f[n, :, y, x], g[n, :, y, x]
                    gap = p / np.sqrt((p**2).sum()) - q / np.sqrt((q**2).sum())
                    expected[n] += (gap**2).sum() / (height * width)
    stages = [[torch.from_numpy(pair[k]) for pair in pairs] for k in (0, 1)]
    found = evaluation.feature_distance(*stages).numpy()
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
    single = [[f.float() for f in stage] for stage in stages]
    assert evaluation.feature_distance(*single).numpy() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("size", [(32, 32), (45, 38), (300, 280)])
def test_lite0_distance_is_one_of_the_pictures_it_is_given(size):
    """0 for the same, symmetric, growing with noise; and batches do not matter."""
    rng = torch.Generator().manual_seed(0)
    truths = torch.from_numpy(cat()[None, : size[0], : size[1]]).permute(0, 3, 1, 2).float() / 255
    noise = torch.randn(truths.shape, generator=rng)
    results = torch.cat([(truths + k * noise).clamp(0, 1) for k in (0, 0.02, 0.1, 0.5)])
    truths = truths.expand_as(results)
    found = evaluation.lite0_distance(results, truths)
    assert found.shape == (4,)
    assert found.tolist() == sorted(found.tolist())
    assert found[0] == 0 < found[1]
    assert found[3] < 20
    torch.testing.assert_close(evaluation.lite0_distance(truths, results), found)
    alone = [
        evaluation.lite0_distance(a[None], b[None]) for a, b in zip(results, truths, strict=True)
    ]
    torch.testing.assert_close(torch.cat(alone), found)


def test_evaluate_measures_the_composite(crops):
    def grey(images, masks):
        return torch.full_like(images, 0.5)

    table = evaluation.evaluate(grey, iter(crops))
    assert len(table) == len(crops)
    for row, (_, border, images, masks) in zip(table.itertuples(), crops, strict=True):
        error = ((1 - masks) * (images - 0.5)).square().mean().item()
        assert row.psnr == pytest.approx(-10 * np.log10(error), rel=1e-4)
        error = (images - 0.5).square().mean().item()
        assert row.psnr_out == pytest.approx(-10 * np.log10(error), rel=1e-4)
        outside = [evaluation.picture_of(x[0]) for x in (0.5 + 0 * images, images)]
        hole = masks[0, 0].numpy() == 0
        assert row.psnr_hole == pytest.approx(evaluation.metrics(*outside, hole)["psnr_hole"])
        comp = masks * images + (1 - masks) * 0.5
        assert row.lite0 == pytest.approx(evaluation.lite0_distance(comp, images).item(), rel=1e-4)
        assert row.border == border
        assert row.ratio == pytest.approx(1 - masks.mean().item(), abs=1e-6)


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_baselines_keep_known_pixels_and_fill_holes(crops, name):
    fill = baselines.BASELINES[name]
    for *_, images, masks in crops:
        out = fill(images, masks)
        known = masks.bool().expand_as(images)
        assert torch.allclose(out[known], images[known], atol=1e-6)
        assert torch.isfinite(out).all()
        assert torch.allclose(fill(images * masks, masks), out, atol=1e-6), "saw into the hole"


def test_patchmatch_gives_the_same_bytes_in_any_order(crops):
    """Whatever came before, alone or in a batch; another random number would be another result."""
    pairs = [(images, masks) for *_, images, masks in crops]
    found = [baselines.patchmatch(*pair) for pair in pairs]
    for pair, expected in reversed(list(zip(pairs, found, strict=True))):
        library.set_random_seed(7)
        assert torch.equal(baselines.patchmatch(*pair), expected)
    together = baselines.patchmatch(*(torch.cat(x) for x in zip(*pairs, strict=True)))
    assert torch.equal(together, torch.cat(found))


def test_mean_fill_is_the_mean_of_the_known():
    image, mask = torch.rand(1, 3, 8, 8), torch.ones(1, 1, 8, 8)
    mask[..., :4] = 0
    out = baselines.mean_fill(image, mask)
    expected = image[0, :, :, 4:].mean(dim=(1, 2))
    assert torch.allclose(out[0, :, 2, 1], expected)


def test_network_sees_no_hole_and_no_gradient(crops):
    *_, images, masks = crops[6]
    net = build_model("unet", 32, 4, seed=0)
    fill = evaluation.network_fill(net.train())
    out = fill(images, masks)
    assert not out.requires_grad
    assert torch.equal(out, fill(images * masks, masks))
    assert 0 <= out.min() <= out.max() <= 1


def test_psnr_at_the_edge_and_inside_of_a_hole_by_a_loop():
    """The hole reaches the border, beyond which nothing is known."""
    rng = np.random.default_rng(4)
    truth, result = rng.random((2, 24, 30, 3))
    hole = np.zeros((24, 30), dtype=bool)
    hole[:13, 3:21], hole[20, 25] = True, True
    known = np.argwhere(~hole)
    squares = {"psnr_edge": [], "psnr_inside": []}
    exactly = 0
    for y, x in np.argwhere(hole):
        # In whole numbers, so that "at most 4" is exact.
        square = min((y - a) ** 2 + (x - b) ** 2 for a, b in known)
        exactly += square == 16
        name = "psnr_edge" if square <= 16 else "psnr_inside"
        squares[name].extend((truth[y, x] - result[y, x]) ** 2)
    assert exactly > 0
    row = evaluation.picture_row(result, result, truth, hole, 0.0)
    for name, values in squares.items():
        assert row[name] == pytest.approx(-10 * np.log10(np.mean(values)))


def test_psnr_of_a_part_without_pixels_is_no_number():
    truth, result = np.random.default_rng(5).random((2, 20, 24, 3))
    thin = np.zeros((20, 24), dtype=bool)
    thin[5:13] = True  # 8 rows: 4 from each side
    row = evaluation.picture_row(result, result, truth, thin, 0.0)
    assert row["psnr_edge"] == row["psnr_hole"]
    assert np.isnan(row["psnr_inside"])
    row = evaluation.picture_row(result, result, truth, np.ones_like(thin), 0.0)
    assert np.isnan(row["psnr_edge"])
    assert row["psnr_inside"] == row["psnr_hole"]


def test_biharmonic_continues_a_slope():
    """A plane solves the biharmonic equation, so the hole in one is filled exactly."""
    down, right = np.mgrid[0:24, 0:24] / 60
    plane = torch.from_numpy(np.stack([down, right, down + right])).float()[None]
    mask = torch.ones(1, 1, 24, 24)
    mask[..., 8:15, 9:14] = 0
    torch.testing.assert_close(baselines.biharmonic(plane, mask), plane, rtol=0, atol=1e-5)
    black = baselines.biharmonic(plane, torch.zeros_like(mask))
    assert torch.equal(black, torch.zeros_like(plane))
    assert torch.equal(baselines.biharmonic(plane, torch.ones_like(mask)), plane)
