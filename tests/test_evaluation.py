import sys

import numpy as np
import pandas as pd
import patchmatch as library
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.data import chelsea as cat

from pconv_core import evaluation
from pconv_core.data import embedded, evaluation_set
from pconv_core.files import lite0
from pconv_core.models import build_model
from pconv_core.study.tables import beside_pconv, pconv_curves, published


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


def test_perfect_picture_has_a_finite_psnr():
    a = np.random.default_rng(0).random((20, 20, 3))
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


def test_metrics_of_a_hole_that_is_everything_are_those_of_the_picture():
    rng = np.random.default_rng(2)
    a, b = rng.random((20, 24, 3)), rng.random((20, 24, 3))
    found = evaluation.metrics(a, b, np.ones((20, 24), dtype=bool))
    assert found["psnr_hole"] == found["psnr"]
    assert found["l1_hole"] == found["l1"]
    with pytest.raises(ValueError, match="the hole has no pixel"):
        evaluation.metrics(a, b, np.zeros((20, 24), dtype=bool))


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


def test_feature_distance_of_a_place_without_features_is_finite():
    flat, some = [torch.zeros(1, 4, 2, 2)], [torch.rand(1, 4, 2, 2) + 0.1]
    assert evaluation.feature_distance(flat, flat).tolist() == [0]
    assert evaluation.feature_distance(flat, some).tolist() == pytest.approx([1])


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


def test_lite0_distance_is_the_stated_one_of_its_features():
    a, b = (torch.rand(2, 3, 64, 48, generator=torch.Generator().manual_seed(k)) for k in (1, 2))
    expected = np.zeros(2)
    for f, g in zip(lite0.features(a), lite0.features(b), strict=True):
        f, g = (x.double().numpy() for x in (f, g))
        f, g = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (f, g))
        expected += ((f - g) ** 2).sum(axis=1).mean(axis=(1, 2))
    assert evaluation.lite0_distance(a, b).numpy() == pytest.approx(expected, rel=1e-4)


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
        outside = [evaluation._picture(x[0]) for x in (0.5 + 0 * images, images)]
        hole = masks[0, 0].numpy() == 0
        assert row.psnr_hole == pytest.approx(evaluation.metrics(*outside, hole)["psnr_hole"])
        comp = masks * images + (1 - masks) * 0.5
        assert row.lite0 == pytest.approx(evaluation.lite0_distance(comp, images).item(), rel=1e-4)
        assert row.border == border
        assert row.ratio == pytest.approx(1 - masks.mean().item(), abs=1e-6)


@pytest.mark.parametrize("name", evaluation.BASELINES)
def test_baselines_keep_known_pixels_and_fill_holes(crops, name):
    fill = evaluation.BASELINES[name]
    for *_, images, masks in crops:
        out = fill(images, masks)
        known = masks.bool().expand_as(images)
        assert torch.allclose(out[known], images[known], atol=1e-6)
        assert torch.isfinite(out).all()
        assert torch.allclose(fill(images * masks, masks), out, atol=1e-6), "saw into the hole"


def test_patchmatch_gives_the_same_bytes_in_any_order(crops):
    """Whatever came before, alone or in a batch; another random number would be another result."""
    pairs = [(images, masks) for *_, images, masks in crops]
    found = [evaluation.patchmatch(*pair) for pair in pairs]
    for pair, expected in reversed(list(zip(pairs, found, strict=True))):
        library.set_random_seed(7)
        assert torch.equal(evaluation.patchmatch(*pair), expected)
    together = evaluation.patchmatch(*(torch.cat(x) for x in zip(*pairs, strict=True)))
    assert torch.equal(together, torch.cat(found))


@pytest.mark.parametrize(("top", "left"), [(40, 41), (76, 76), (0, 41), (40, 0)])
def test_patchmatch_repeats_a_pattern_up_to_the_border(top, left):
    """Stripes of eight pixels; a hole of 20 x 20 inside, in a corner, at two sides."""
    stripes = torch.tensor(8 * [0.2] + 8 * [0.8]).repeat(6).expand(1, 3, 96, 96)
    mask = torch.ones(1, 1, 96, 96)
    mask[..., top : top + 20, left : left + 20] = 0
    assert (evaluation.patchmatch(stripes, mask) - stripes).abs().max() < 0.03
    assert (evaluation.telea(stripes, mask) - stripes).abs().max() > 0.3


def test_patchmatch_without_a_hole_or_without_anything_known(capfd):
    images = torch.rand(1, 3, 33, 40)
    known = evaluation.patchmatch(images, torch.ones(1, 1, 33, 40))
    assert (known - images).abs().max() <= 0.501 / 255
    black = evaluation.patchmatch(images, torch.zeros(1, 1, 33, 40))
    assert torch.equal(black, torch.zeros_like(images))
    assert capfd.readouterr() == ("", "")


def test_patchmatch_that_is_missing_is_named(monkeypatch):
    pair = torch.rand(1, 3, 32, 32), torch.ones(1, 1, 32, 32)
    monkeypatch.setattr(library, "patchmatch_available", False)
    with pytest.raises(ValueError, match=r"PyPatchMatch .* has no compiled library for this"):
        evaluation.patchmatch(*pair)
    monkeypatch.setitem(sys.modules, "patchmatch", None)
    with pytest.raises(ValueError, match=r"is not installed; install it by: pip .*PyPatchMatch=="):
        evaluation.patchmatch(*pair)


def test_mean_fill_is_the_mean_of_the_known():
    image, mask = torch.rand(1, 3, 8, 8), torch.ones(1, 1, 8, 8)
    mask[..., :4] = 0
    out = evaluation.mean_fill(image, mask)
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


def test_error_by_distance_is_that_of_each_pixel_on_its_own():
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.random((2, 3, 40, 30), dtype=np.float32))
    masks = torch.ones(2, 1, 40, 30)
    masks[0, :, 3:38, 2:27], masks[1, :, 10:13], masks[1, :, 30, 5] = 0, 0, 0
    noise = torch.from_numpy(rng.random((2, 3, 40, 30), dtype=np.float32))
    fills = {"noise": lambda *_: noise, "right": lambda images, _: images}
    table = evaluation.by_distance(fills, iter([((0.1, 0.2), True, images, masks)]))

    spans = {"1": (0, 1), "2": (1, 2), "3-4": (2, 4), "5-8": (4, 8), "9-16": (8, 16)}
    errors = {span: [] for span in spans}
    for image, mask, out in zip(images.double(), masks, noise.double(), strict=True):
        known = np.argwhere(mask[0].numpy() == 1)
        for row, column in np.argwhere(mask[0].numpy() == 0):
            distance = np.sqrt(((known - (row, column)) ** 2).sum(axis=1).min())
            span = next(s for s, (low, high) in spans.items() if low < distance <= high)
            errors[span].append(float((image - out)[:, row, column].square().mean()))
    part = table[table["model"] == "noise"]
    assert part["distance"].tolist() == list(spans)
    assert part["pixels"].tolist() == [len(e) for e in errors.values()]
    expected = [-10 * np.log10(np.mean(e)) for e in errors.values()]
    assert part["psnr"].tolist() == pytest.approx(expected, abs=1e-5)
    assert (table[table["model"] == "right"]["psnr"] == 100).all()
    with pytest.raises(ValueError, match="hole all over"):
        evaluation.by_distance(fills, iter([((0, 1), True, images, masks * 0)]))


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


def test_means_leave_out_what_has_no_value():
    frame = {"model": "a", "hole_ratio": ["0.1-0.2"] * 3 + ["0.2-0.3"], "border": True}
    inside = [20.0, np.nan, 30.0, np.nan]
    pictures = pd.DataFrame({**frame, "ratio": 0.15, "psnr_inside": inside})
    table = evaluation.by_bin(pictures)
    assert table["pictures"].tolist() == [3, 1]
    assert table["psnr_inside"].tolist() == pytest.approx([25, np.nan], nan_ok=True)
    assert evaluation.overall(pictures)["psnr_inside"].tolist() == [25]


def test_means_by_bin_and_over_all():
    pictures = pd.DataFrame(
        {
            "model": ["a", "a", "a", "b"],
            "hole_ratio": ["0.1-0.2", "0.1-0.2", "0.5-0.6", "0.1-0.2"],
            "border": [True, True, True, True],
            "ratio": [0.15, 0.2, 0.55, 0.1],
            "psnr": [20.0, 30.0, 10.0, 7.0],
        }
    )
    table = evaluation.by_bin(pictures)
    assert table[["model", "hole_ratio", "pictures", "psnr"]].values.tolist() == [
        ["a", "0.1-0.2", 2, 25.0],
        ["a", "0.5-0.6", 1, 10.0],
        ["b", "0.1-0.2", 1, 7.0],
    ]
    assert evaluation.overall(pictures).values.tolist() == [["a", 2, 25.0], ["b", 1, 7.0]]


def test_published_facts():
    table = published()
    pconv = table[table["source"] == "P-Conv"].set_index("model")["psnr_db"]
    assert pconv.to_dict() == {"PConv": 22.65, "U-Net": 13.37}
    paper = table[table["source"].str.startswith("paper")]
    assert paper["psnr_db"].tolist() == [28.32, 25.25, 22.89]


def test_biharmonic_continues_a_slope():
    """A plane solves the biharmonic equation, so the hole in one is filled exactly."""
    down, right = np.mgrid[0:24, 0:24] / 60
    plane = torch.from_numpy(np.stack([down, right, down + right])).float()[None]
    mask = torch.ones(1, 1, 24, 24)
    mask[..., 8:15, 9:14] = 0
    torch.testing.assert_close(evaluation.biharmonic(plane, mask), plane, rtol=0, atol=1e-5)
    black = evaluation.biharmonic(plane, torch.zeros_like(mask))
    assert torch.equal(black, torch.zeros_like(plane))
    assert torch.equal(evaluation.biharmonic(plane, torch.ones_like(mask)), plane)


def test_differences_by_hand():
    pictures = pd.DataFrame(
        {
            "model": 3 * ["a"] + 3 * ["b"],
            "hole_ratio": 2 * ["0.1-0.2", "0.1-0.2", "0.5-0.6"],
            "ratio": 2 * [0.12, 0.19, 0.55],
            "psnr": [30.0, 32.0, 20.0, 29.0, 30.0, 23.0],
        }
    )
    table = evaluation.differences(pictures, "a", seed=1).set_index("hole_ratio")
    assert table["difference"].unique().tolist() == ["a - b"]
    assert table["pictures"].to_dict() == {"0.01-0.5": 2, "0.1-0.2": 2, "0.5-0.6": 1}
    assert table["psnr"].to_dict() == pytest.approx(
        {"0.01-0.5": 1.5, "0.1-0.2": 1.5, "0.5-0.6": -3}
    )
    assert table.loc["0.1-0.2", ["low", "high"]].tolist() == pytest.approx([1, 2])
    assert table.loc["0.5-0.6", ["low", "high"]].tolist() == pytest.approx([-3, -3])


def test_differences_of_another_metric():
    frame = {"model": ["a", "b"], "hole_ratio": "0.1-0.2", "ratio": 0.15}
    pictures = pd.DataFrame({**frame, "psnr": [30.0, 20.0], "lite0": [0.25, 0.75]})
    table = evaluation.differences(pictures, "a", seed=1, metric="lite0")
    assert list(table.columns) == ["difference", "hole_ratio", "pictures", "lite0", "low", "high"]
    assert table["lite0"].tolist() == table["low"].tolist() == [-0.5, -0.5]
    assert evaluation.differences(pictures, "a", seed=1)["psnr"].tolist() == [10, 10]


def test_pictures_of_one_photograph_are_drawn_together():
    gap = np.random.default_rng(3).normal(0.5, 2, 300)
    frame = {"hole_ratio": "0.1-0.2", "ratio": 0.15}

    def interval(times, **sources):
        ours = pd.DataFrame({"model": "a", "psnr": 20 + np.repeat(gap, times), **frame, **sources})
        both = pd.concat([ours, ours.assign(model="b", psnr=20.0)])
        row = evaluation.differences(both, "a", seed=1).iloc[0]
        return [row["psnr"], row["low"], row["high"]]

    once = interval(1)
    assert interval(1, photograph=range(300)) == pytest.approx(once)
    # Four crops that say the same are worth one.
    assert interval(4, photograph=np.repeat(range(300), 4)) == pytest.approx(once)
    _, low, high = interval(4)
    assert high - low == pytest.approx((once[2] - once[1]) / 2, rel=0.15)


def test_photographs_count_by_their_pictures():
    gap, frame = [0.0, 4.0, 4.0, 4.0], {"hole_ratio": "0.1-0.2", "ratio": 0.15}
    ours = pd.DataFrame({"model": "a", "psnr": gap, "photograph": [7, 2, 2, 2], **frame})
    both = pd.concat([ours, ours.assign(model="b", psnr=0.0)])
    row = evaluation.differences(both, "a", seed=1).iloc[0]
    # Drawn are both, one alone or the other: 3, 0 or 4, a mean of means would be 2.
    assert (row["pictures"], row["psnr"], row["low"], row["high"]) == (4, 3, 0, 4)


def test_bootstrap_interval_is_that_of_the_mean():
    gap = np.random.default_rng(3).normal(0.5, 2, 400)
    frame = {"hole_ratio": "0.1-0.2", "ratio": 0.15}
    ours = pd.DataFrame({"model": "a", "psnr": 20 + gap, **frame})
    other = pd.DataFrame({"model": "b", "psnr": np.full(400, 20.0), **frame})
    row = evaluation.differences(pd.concat([ours, other]), "a", seed=1).iloc[0]
    error = gap.std(ddof=1) / 20
    assert row["psnr"] == pytest.approx(gap.mean())
    assert row["low"] == pytest.approx(gap.mean() - 1.96 * error, abs=0.15 * error)
    assert row["high"] == pytest.approx(gap.mean() + 1.96 * error, abs=0.15 * error)


@pytest.mark.parametrize("colour", [(0.5, 0.5, 0.5), (0.485, 0.456, 0.406), (0.9, 0.1, 0.4)])
def test_towards_input_tells_the_identity(crops, colour):
    given = torch.tensor(colour).view(1, 3, 1, 1)

    def same(images, masks):
        return torch.where(masks.bool(), images, given)

    def halfway(images, masks):
        return (images + given) / 2

    def right(images, masks):
        return images

    for fill, expected in ((same, 0), (halfway, 0.5), (right, 1)):
        found = evaluation.towards_input(fill, iter(crops), colour)
        assert found == pytest.approx(expected)
    another = (0.3, 0.6, 0.5)
    assert evaluation.towards_input(same, iter(crops), another) > 0.1


@pytest.mark.parametrize("name", ["conv", "unet"])
def test_hole_colour_is_what_a_blind_network_sees(crops, name):
    """With the hole painted in that colour and called known, its output is the same."""
    net = build_model(name, 32, 4, seed=0)
    fill, colour = evaluation.network_fill(net), evaluation.hole_colour(net)
    *_, images, masks = crops[6]
    painted = torch.where(masks.bool(), images, torch.tensor(colour).view(1, 3, 1, 1))
    expected = fill(images, masks)
    torch.testing.assert_close(fill(painted, torch.ones_like(masks)), expected)
    black = fill(images * masks, torch.ones_like(masks))
    assert (black - expected).abs().max() > 1e-3


def test_losses_beside_p_convs_bands():
    """The median of a stage's last half, in the band or not, and how often that of stage 1."""
    stages = ["stage1"] * 4 + ["stage2"] * 4 + ["finetune"]
    inside = pd.DataFrame({"stage": stages, "total": [9, 9, 0.9, 1.1, 50, 50, 10, 20, 1]})
    rises = pd.DataFrame({"stage": stages, "total": [9, 9, 0.2, 0.6, 50, 50, 8, 8, 1]})
    logs = {"pconv": ("ours", inside), "unet": ("other", rises), "conv": ("none", rises)}
    table = beside_pconv(logs, pconv_curves())
    assert table["model"].tolist() == ["ours"] * 2 + ["other"] * 2
    assert table["beside"].tolist() == ["partial U-Net 256"] * 2 + ["traditional U-Net 256"] * 2
    assert table["median_total"].tolist() == pytest.approx([1, 15, 0.4, 8])
    assert table["rise"].tolist() == pytest.approx([1, 15, 1, 20])
    assert table["inside"].tolist() == ["yes", "yes", "yes", "no"]


def test_p_convs_curves_are_those_of_its_figure():
    curves = pconv_curves().set_index(["look", "stage"])
    assert curves.loc[("pconv", "stage1"), ["first", "low", "high"]].tolist() == [2.4, 0.5, 1.3]
    assert curves.loc[("pconv", "stage2"), ["first", "low", "high"]].tolist() == [24, 7, 26]
    assert (curves.loc["unet", ["low", "high"]] == [0.2, 1.4]).all(axis=None)
