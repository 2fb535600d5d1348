"""Everything that makes the networks fast must leave their arithmetic as it is."""

import shutil

import pytest
import torch

from pconv_core.features import VGGFeatures
from pconv_core.losses import InpaintingLoss
from pconv_core.masks import random_mask
from pconv_core.models import build_model
from pconv_core.training import Switches, make_objective

needs_compiler = pytest.mark.skipif(
    not any(shutil.which(c) for c in ("c++", "g++", "clang++")),
    reason="torch.compile needs a C++ compiler",
)


def batch(n, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(n, 3, height, width, generator=generator)
    masks = [random_mask((height, width), seed=seed, number=k) for k in range(n)]
    return image, torch.stack([torch.from_numpy(m) for m in masks])[:, None]


@pytest.mark.parametrize(
    ("switches", "of_terms", "of_gradient"),
    [
        (Switches(), 1e-5, 2e-3),
        (Switches(precision="bfloat16"), 3e-2, 0.3),
        pytest.param(Switches(compiled=True), 1e-5, 2e-3, marks=needs_compiler),
    ],
)
def test_switches_agree_with_plain_float32(switches, of_terms, of_gradient):
    """The gradient has the wider tolerance: L1's jumps wherever a difference changes its sign."""
    # Twice the network's size: over one pixel of two images, batch norm would be ill-conditioned.
    image, mask = batch(2, 128, 128)

    def step(switches):
        net = build_model("pconv", 64, 8, seed=0).train()
        loss = InpaintingLoss(VGGFeatures("random", 0.125))
        if switches is None:  # in torch's own memory order
            total, terms = loss(net(image, mask), image, mask)
        else:
            total, terms = make_objective(net, loss, switches)(image, mask)
        total.backward()
        torch.compiler.reset()
        gradient = torch.cat([p.grad.flatten() for p in net.parameters()])
        return terms, gradient

    terms, gradient = step(switches)
    plain_terms, plain_gradient = step(None)
    for name, value in plain_terms.items():
        assert terms[name].dtype == torch.float32
        assert terms[name].item() == pytest.approx(value.item(), rel=of_terms)
    error = (gradient - plain_gradient).norm() / plain_gradient.norm()
    assert error < of_gradient
