"""The command `train`: masks from a folder, other options on resuming."""

import numpy as np
import pytest
import torch
from PIL import Image

from pconv_cli.__main__ import main
from pconv_core import data


def train(folder, *more, images="embedded"):
    small = ["--size", "32", "--base-channels", "2", "--batch-size", "2", "--workers", "0"]
    small += ["--lambda-perceptual", "0", "--lambda-style", "0", "--features", "random"]
    small += ["--feature-width", "0.0625", "--checkpoint", str(folder / "net.pt")]
    return main(["train", "--images", str(images), *small, *(str(m) for m in more)])


def save_masks(folder, hole, known=255, marked=0):
    folder.mkdir()
    for k in range(3):
        Image.fromarray(np.where(hole, marked, known).astype(np.uint8)).save(folder / f"{k}.png")


@pytest.mark.parametrize(
    ("known", "marked", "more", "ratio", "asked"),
    [
        (255, 0, [], "0.06", False),
        (0, 255, ["--mask-hole", "white"], "0.06", False),
        (0, 255, [], "1.00", True),
        (100, 0, [], "0.06", False),
    ],
)
def test_masks_mark_the_hole_as_told(tmp_path, capsys, known, marked, more, ratio, asked):
    hole = np.zeros((128, 128), bool)
    hole[32:64, 32:64] = True
    save_masks(tmp_path / "m", hole, known, marked)
    assert train(tmp_path, "--masks", tmp_path / "m", "--steps", "1", *more) == 0
    printed = capsys.readouterr()
    found = float(printed.out.split("mean hole ratio of the masks: ")[1].split()[0])
    assert found == pytest.approx(1 - 0.0625 if asked else float(ratio), abs=0.02)
    assert ("say --mask-hole white" in printed.err) == asked


def test_lines_of_one_pixel_are_trained_on(tmp_path, capsys):
    hole = np.zeros((512, 512), bool)
    hole[:, 257] = True
    save_masks(tmp_path / "m", hole)
    assert train(tmp_path, "--masks", tmp_path / "m", "--steps", "1") == 0
    assert "mean hole ratio of the masks: 0.03" in capsys.readouterr().out


def test_a_resumed_run_may_change_when_told_so(tmp_path, capsys):
    assert train(tmp_path, "--steps", "4") == 0
    other = ["--steps", "10", "--resume", "--batch-size", "3", "--lr", "0.001"]
    assert train(tmp_path, *other) == 2
    said = capsys.readouterr().err
    assert "batch_size 2 instead of 3, learning_rate 0.002 instead of 0.001" in said
    assert train(tmp_path, *other, "--may-change") == 0
    after = torch.load(tmp_path / "net.pt", weights_only=True)
    assert (after["step"], after["samples"]) == (10, 4 * 2 + 6 * 3)
    assert after["optimiser"]["param_groups"][0]["lr"] == 0.001
    assert (after["settings"]["batch_size"], after["settings"]["learning_rate"]) == (3, 0.001)
    assert train(tmp_path, *other, "--model", "conv", "--cosine", "--may-change") == 2
    assert "cosine None instead of True, model 'pconv' instead of 'conv', steps None " in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("where", ["", "beside", "below"])
def test_masks_among_the_photographs_are_not_trained_on(tmp_path, capsys, where):
    """Photographs are grey, masks black and white: no photograph that is seen is."""
    folder, hole = tmp_path / "in", np.zeros((64, 64), bool)
    hole[:, 20:30] = True
    save_masks(folder, hole)
    for k in range(3):
        name = f"{k}_mask00{k}.png" if where != "below" else f"m/{k}.png"
        (folder / "m").mkdir(exist_ok=True)
        (folder / f"{k}.png").rename(folder / name)
        Image.fromarray(np.full((64, 64), 100 + k, np.uint8)).save(folder / f"{k}.jpg")
    masks = {"": [], "beside": ["--masks", folder], "below": ["--masks", folder / "m"]}[where]
    seen, read = [], data.Samples.__getitem__

    def noted(samples, number):
        seen.append(read(samples, number))
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data.Samples, "__getitem__", noted)
        assert train(tmp_path, "--steps", "4", *masks, images=folder) == 0
    assert "note: 3 pictures are masks and not trained on" in capsys.readouterr().err
    assert all(0.38 < image.min() <= image.max() < 0.41 for image, _ in seen)
    assert not where or all(0.7 < mask.mean() < 0.9 for _, mask in seen)


def test_a_folder_of_photographs_alone_has_no_masks_in_it(tmp_path, capsys):
    save_masks(tmp_path / "in", np.eye(64) > 0)
    assert train(tmp_path, "--masks", tmp_path / "in", "--steps", "1", images=tmp_path / "in") == 2
    assert "masks with their names, a_mask.png for a.jpg" in capsys.readouterr().err
