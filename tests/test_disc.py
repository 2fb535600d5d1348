"""P-Conv's test case: the disc's share, and the four measures against sums written out."""

import numpy as np
import pytest
import torch

from pconv_core.evaluation import mean_fill
from pconv_core.study import disc


def test_the_disc_has_its_share_and_lies_inside():
    cases = list(disc.cases())
    assert len(cases) == 12
    for image, mask in cases:
        assert image.shape == (3, 256, 256)
        assert mask.shape == (1, 256, 256)
        assert 1 - mask.mean().item() == pytest.approx(disc.SHARE, rel=0.05)
        assert mask[:, [0, -1]].all()
        assert mask[..., [0, -1]].all()
    assert len({mask.numpy().tobytes() for _, mask in cases}) == 12


def test_the_same_discs_every_time():
    for (image, mask), (other, same) in zip(disc.cases(), disc.cases(), strict=True):
        assert torch.equal(image, other)
        assert torch.equal(mask, same)


def test_measures_are_those_of_their_pixels():
    """A fill that is off by 0.1 in the hole and by 0.01 elsewhere."""

    def off(images, masks):
        return images + 0.1 * (1 - masks) + 0.01 * masks

    found = disc.measure(off)
    assert list(found) == list(disc.MEASURES)
    assert found["disc_hole"] == pytest.approx(20, abs=1e-3)
    assert found["disc_known"] == pytest.approx(40, abs=1e-3)
    share = np.mean([1 - mask.double().mean().item() for _, mask in disc.cases()])
    assert found["disc_comp"] == pytest.approx(-10 * np.log10(share * 0.01), abs=0.01)
    whole = share * 0.01 + (1 - share) * 0.0001
    assert found["disc_out"] == pytest.approx(-10 * np.log10(whole), abs=0.01)


def test_known_pixels_decide_what_is_measured_on_the_output():
    assert disc.measure(mean_fill)["disc_known"] == 100


def test_the_finding_tells_copying_from_filling():
    """A network that copies badly and fills well leads in the hole, and falls behind on I_out."""

    def off(hole, known):
        return lambda images, masks: images + hole * (1 - masks) + known * masks

    fills = {"fills": off(0.1, 0.1), "copies": off(0.2, 0.01), "Telea": off(0.3, 0)}
    table = disc.table(fills)
    assert table["model"].tolist() == list(fills)
    assert table["disc_known"].tolist() == pytest.approx([20, 40, 100], abs=1e-3)
    found = disc.finding(table.assign(features="none"), "fills", "copies")
    assert "99.16% of such a picture is known" in found
    out = table.set_index("model")["disc_out"]
    lead = f"{out['fills'] - out['copies']:+.2f} dB from copies on I_out"
    assert f"fills is {lead}, and +6.02 dB in the hole" in found
    assert out["fills"] < out["copies"] - 5
    assert "Telea, the best that learns nothing" in found
