"""The command `evaluate`, against the same measures taken by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from skimage.metrics import structural_similarity

from pconv_core.__main__ import main
from pconv_core.evaluation import lite0_distance
from pconv_core.files import checkpoints
from pconv_core.masks import random_mask
from pconv_core.models import build_model

RATIOS = ((0.1, 0.2), (0.1, 0.2), (0.5, 0.6))


@pytest.fixture
def given(tmp_path):
    """Three pictures, their masks and a network, in files."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (3, 40, 48, 3), dtype=np.uint8)
    masks = [random_mask((40, 48), r, number=k) for k, r in enumerate(RATIOS)]
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for k, (picture, mask) in enumerate(zip(pictures, masks, strict=True)):
        Image.fromarray(picture).save(tmp_path / "images" / f"{k}.png")
        Image.fromarray((255 * mask).astype(np.uint8)).save(tmp_path / "masks" / f"{k}.png")
    net = build_model("pconv", 32, 2, seed=0).eval()
    settings = {"model": "pconv", "size": 32, "base_channels": 2}
    checkpoints.save_weights(tmp_path / "net.pt", net, settings)
    return tmp_path, pictures, masks, net


def run(folder, *more):
    names = ("checkpoint", "net.pt"), ("images", "images"), ("masks", "masks")
    arguments = [a for name, file in names for a in (f"--{name}", str(folder / file))]
    return main(["evaluate", *arguments, "--out", str(folder / "out.csv"), *more])


def test_every_number(given):
    folder, pictures, masks, net = given
    assert run(folder) == 0
    table = pd.read_csv(folder / "out.csv")
    assert table["row"].tolist() == ["picture"] * 3 + ["bin"] * 2 + ["all"]
    assert table["hole_ratio"].tolist()[:3] == ["0.1-0.2", "0.1-0.2", "0.5-0.6"]
    for k, (picture, mask) in enumerate(zip(pictures, masks, strict=True)):
        truth = picture.astype(np.float64) / 255
        image = torch.from_numpy(truth.transpose(2, 0, 1)).float()[None]
        with torch.no_grad():
            out = net(image, torch.from_numpy(mask)[None, None])[0].clamp(0, 1)
        out = out.permute(1, 2, 0).double().numpy()
        comp = mask[..., None] * truth + (1 - mask[..., None]) * out
        row = table.iloc[k]
        for result, end in ((comp, ""), (out, "_out")):
            psnr = -10 * np.log10(((result - truth) ** 2).mean())
            ssim = structural_similarity(
                truth,
                result,
                data_range=1.0,
                channel_axis=2,
                gaussian_weights=True,
                use_sample_covariance=False,
            )
            assert row[f"psnr{end}"] == pytest.approx(psnr, abs=1e-3)
            assert row[f"ssim{end}"] == pytest.approx(ssim, abs=1e-3)
            assert row[f"l1{end}"] == pytest.approx(100 * abs(result - truth).mean(), abs=1e-3)
        hole, gap = mask == 0, comp - truth
        assert row["psnr_hole"] == pytest.approx(-10 * np.log10((gap[hole] ** 2).mean()), abs=1e-3)
        assert row["l1_hole"] == pytest.approx(100 * abs(gap[hole]).mean(), abs=1e-3)
        assert row["ssim_hole"] < row["ssim"]
        pair = (torch.from_numpy(x.transpose(2, 0, 1)).float()[None] for x in (comp, truth))
        distance = lite0_distance(*pair).item()
        assert row["lite0"] == pytest.approx(distance, abs=1e-3)
        assert row["ratio"] == pytest.approx((mask == 0).mean(), abs=1e-4)
    for bin_row, rows in ((3, [0, 1]), (4, [2]), (5, [0, 1, 2])):
        for name in ("psnr", "ssim", "l1", "lite0", "ssim_hole", "psnr_out"):
            mean = table[name].iloc[rows].mean()
            assert table[name].iloc[bin_row] == pytest.approx(mean, abs=1e-3)


def test_the_middle_square_is_taken(given):
    folder, pictures, *_ = given
    assert run(folder, "--size", "40") == 0
    whole = pd.read_csv(folder / "out.csv")
    for k, picture in enumerate(pictures):
        Image.fromarray(picture[:, 4:44]).save(folder / "images" / f"{k}.png")
        with Image.open(folder / "masks" / f"{k}.png") as mask:
            mask = np.array(mask)
        Image.fromarray(mask[:, 4:44]).save(folder / "masks" / f"{k}.png")
    assert run(folder) == 0
    pd.testing.assert_frame_equal(whole, pd.read_csv(folder / "out.csv"))


def test_masks_are_used_again_and_may_be_inverted(given):
    folder, _, masks, _ = given
    assert run(folder) == 0
    before = pd.read_csv(folder / "out.csv")
    for path in (folder / "masks").iterdir():
        path.unlink()
    Image.fromarray((255 * (1 - masks[0])).astype(np.uint8)).save(folder / "masks" / "m.png")
    assert run(folder, "--mask-hole", "white") == 0
    after = pd.read_csv(folder / "out.csv")
    assert after["mask"].tolist()[:3] == ["m.png"] * 3
    assert after["psnr"][0] == before["psnr"][0]


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda f: (f / "images").rename(f / "gone"), "no folder at"),
        (lambda f: [p.unlink() for p in (f / "masks").iterdir()], "masks holds no picture"),
        (lambda f: (f / "images" / "1.png").write_text("x"), "cannot read"),
        (lambda f: (f / "net.pt").unlink(), "no checkpoint at"),
        (lambda f: Image.new("L", (48, 40), 255).save(f / "masks" / "0.png"), "marks no hole"),
    ],
)
def test_bad_input_is_one_line(given, capsys, break_it, message):
    folder, *_ = given
    break_it(folder)
    assert run(folder) == 2
    error = capsys.readouterr().err.replace("\r", "\n").strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert not (folder / "out.csv").exists()


def test_bad_options(given, capsys):
    folder, *_ = given
    assert run(folder, "--size", "8") == 2
    assert "--size is 8; it should be at least 32" in capsys.readouterr().err
    assert run(folder, "--out", str(folder / "out.txt")) == 2
    assert "out.txt; it should end in .csv" in capsys.readouterr().err
