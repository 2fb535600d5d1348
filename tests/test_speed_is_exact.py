"""Everything that makes the networks fast must leave their arithmetic as it is."""

import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from pconv_core.bench.networks import TextbookUNet
from pconv_core.losses import InpaintingLoss, VGGFeatures
from pconv_core.masks import random_mask
from pconv_core.models import MODELS, PConvUNet, build_model
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


def with_lived_in_norms(net):
    """Batch norms as after training, not the identity they start as."""
    generator = torch.Generator().manual_seed(1)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
            for tensor in (module.bias.data, module.running_mean):
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return net


def relative(a, b):
    return ((a.double() - b.double()).abs().max() / b.double().abs().max()).item()


# The same cases each time: in training, batch norm over few values amplifies rounding at will.
@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    height=st.integers(32, 80),
    width=st.integers(32, 80),
    levels=st.integers(1, 4),
    seed=st.integers(0, 1000),
    training=st.booleans(),
)
def test_network_equals_the_textbooks_in_float64(height, width, levels, seed, training):
    image, mask = batch(2, height, width, seed)
    torch.manual_seed(seed)
    net = PConvUNet(levels, 4)
    reference = TextbookUNet(levels, 4).double()
    reference.load_state_dict(with_lived_in_norms(net).state_dict())
    net.train(training)
    reference.train(training)
    out, expected = net(image, mask), reference(image.double(), mask.double())
    assert relative(out, expected) < (1e-3 if training else 1e-4)
    if training:
        out.square().sum().backward()
        expected.square().sum().backward()
        for ours, theirs in zip(net.parameters(), reference.parameters(), strict=True):
            scale = theirs.grad.abs().max().clamp(min=1e-3)
            assert (ours.grad.double() - theirs.grad).abs().max() < 2e-2 * scale


def test_the_studys_network_within_1e_4_of_float64():
    image, mask = batch(2, 256, 256)
    net = with_lived_in_norms(PConvUNet(8, 16)).eval()
    reference = TextbookUNet(8, 16).double().eval()
    reference.load_state_dict(net.state_dict())
    with torch.no_grad():
        expected = reference(image.double(), mask.double())
        assert relative(net(image, mask), expected) < 1e-4
        assert relative(net.folded()(image, mask), expected) < 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_folded_network_gives_the_same(name):
    net = with_lived_in_norms(build_model(name, 64, 8, seed=0)).eval()
    image, mask = batch(2, 64, 50)
    folded = net.folded()
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    # "refined" alone has no norm.
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules()) == (name != "refined")
    with torch.no_grad():
        assert relative(folded(image, mask), net(image, mask)) < 5e-5


def test_a_network_in_training_cannot_be_folded():
    with pytest.raises(ValueError, match=r"call eval\(\) before folded"):
        build_model("pconv", 64, 4, seed=0).train().folded()


class WideMasks(TorchDispatchMode):
    """Notes every tensor of ones and zeros, both of them, that is wider than two groups."""

    def __init__(self):
        super().__init__()
        self.found, self.seen = [], 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.dim() == 4:
                self.seen += 1
                wide = min(tensor.shape[1], tensor.stride(1) or 1) > 2 or tensor.shape[1] > 2
                values = tensor.detach().double().unique() if wide else torch.zeros(1)
                if len(values) == 2 and values.tolist() == [0, 1]:
                    self.found.append((str(function), tuple(tensor.shape)))
        return result


def wide_masks(net):
    image, mask = batch(2, 64, 64)
    with WideMasks() as watch:
        (net.train()(image, mask) - image).abs().mean().backward()
    assert watch.seen > 100
    return watch.found


def test_no_mask_is_ever_as_wide_as_the_features():
    assert wide_masks(PConvUNet(6, 4)) == []
    # The watch sees what it is meant to see.
    assert len(wide_masks(TextbookUNet(6, 4))) > 6


@pytest.mark.parametrize(
    ("switches", "of_terms", "of_gradient"),
    [
        (Switches(channels_last=True), 1e-5, 2e-3),
        (Switches(channels_last=False), 1e-5, 2e-3),
        (Switches(precision="bfloat16"), 3e-2, 0.3),
        pytest.param(Switches(compiled=True), 1e-5, 2e-3, marks=needs_compiler),
        pytest.param(
            Switches(precision="bfloat16", compiled=True), 3e-2, 0.3, marks=needs_compiler
        ),
    ],
)
def test_switches_agree_with_plain_float32(switches, of_terms, of_gradient):
    """The gradient has the wider tolerance: L1's jumps wherever a difference changes its sign."""
    # Twice the network's size: over one pixel of two images, batch norm would be ill-conditioned.
    image, mask = batch(2, 128, 128)

    def step(switches):
        net = build_model("pconv", 64, 8, seed=0).train()
        loss = InpaintingLoss(VGGFeatures("random", 0.125))
        total, terms = make_objective(net, loss, switches)(image, mask)
        total.backward()
        torch.compiler.reset()
        gradient = torch.cat([p.grad.flatten() for p in net.parameters()])
        return terms, gradient

    terms, gradient = step(switches)
    plain_terms, plain_gradient = step(Switches(channels_last=False))
    for name, value in plain_terms.items():
        assert terms[name].dtype == torch.float32
        assert terms[name].item() == pytest.approx(value.item(), rel=of_terms)
    error = (gradient - plain_gradient).norm() / plain_gradient.norm()
    assert error < of_gradient


def test_unknown_precision():
    net, loss = build_model("pconv", 64, 4, 0), InpaintingLoss(VGGFeatures("random", 0.0625))
    with pytest.raises(
        ValueError, match="precision is 'float8'; it should be one of float32, bfloat16, auto"
    ):
        make_objective(net, loss, Switches(precision="float8"))
