"""State dicts built in other people's key layouts, run with their arithmetic."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pconv_core.bench.networks import TextbookUNet
from pconv_core.files import weights
from pconv_core.files.foreign import ForeignPConvUNet, ForeignUNet, build
from pconv_core.models import PConvUNet

LEVELS, WIDTHS = 3, [3, 4, 6, 8]


def conv(out_channels, in_channels, kernel, bias=True):
    entry = {"weight": 0.1 * torch.randn(out_channels, in_channels, kernel, kernel)}
    return {**entry, "bias": torch.randn(out_channels)} if bias else entry


def norm(channels):
    return {
        "weight": 0.5 + torch.rand(channels),
        "bias": torch.randn(channels),
        "running_mean": torch.randn(channels),
        "running_var": 0.5 + torch.rand(channels),
        "num_batches_tracked": torch.tensor(7),
    }


def put(state, prefix, entries):
    state.update({f"{prefix}.{k}": v for k, v in entries.items()})


def pconv_state(shallow_last=True):
    torch.manual_seed(0)
    state = {"vgg.features.0.weight": torch.randn(4, 3, 3, 3)}
    for n in range(1, LEVELS + 1):
        put(state, f"down{n}.pconv.img_conv.1", conv(WIDTHS[n], WIDTHS[n - 1], 3))
        put(state, f"down{n}.pconv.mask_conv.1", {"weight": torch.ones(1, WIDTHS[n - 1], 3, 3)})
        put(state, f"down{n}.norm", norm(WIDTHS[n]))
        up = LEVELS + 1 - n if shallow_last else n
        put(state, f"up{up}.pconv.img_conv.0", conv(WIDTHS[n - 1], WIDTHS[n] + WIDTHS[n - 1], 3))
        put(state, f"up{up}.norm", norm(WIDTHS[n - 1]))
    return state


def public_state():
    torch.manual_seed(1)
    state = {}
    for n in range(1, LEVELS + 1):
        put(state, f"enc_{n}.conv.input_conv", conv(WIDTHS[n], WIDTHS[n - 1], 3, bias=n == 1))
        put(state, f"enc_{n}.conv.mask_conv", {"weight": torch.ones(4, WIDTHS[n - 1], 3, 3)})
        joined = WIDTHS[n] + WIDTHS[n - 1]
        put(state, f"dec_{n}.conv.input_conv", conv(WIDTHS[n - 1], joined, 3, bias=n == 1))
        if n > 1:
            put(state, f"enc_{n}.bn", norm(WIDTHS[n]))
            put(state, f"dec_{n}.bn", norm(WIDTHS[n - 1]))
    return state


def pair():
    torch.manual_seed(2)
    mask = torch.ones(1, 1, 40, 40)
    mask[..., 10:30, 5:22] = 0
    return torch.rand(1, 3, 40, 40), mask


def partial(x, mask, entry, stride, ones):
    """v1 (ones False) or v2 of the paper's equation, with a mask as wide as the features."""
    weight, padding = entry["weight"], entry["weight"].shape[-1] // 2
    known = F.conv2d(mask, torch.ones_like(weight[:1]), None, stride, padding)
    y = F.conv2d(x * mask, weight, None, stride, padding)
    y = y / known.clamp(min=1) * (weight[0].numel() if ones else 1)
    new = (known > 0).float()
    bias = entry.get("bias", torch.zeros(len(weight))).view(1, -1, 1, 1)
    return (y + bias) * new, new


def entries(state, prefix):
    return {k[len(prefix) + 1 :]: v for k, v in state.items() if k.startswith(prefix + ".")}


def batch_norm(x, entry):
    return F.batch_norm(
        x, entry["running_mean"], entry["running_var"], entry["weight"], entry["bias"]
    )


def by_hand(state, image, mask, of_pconv):
    """Either layout, written out: another computation than the one tested."""
    x, skips = (image * 2 - 1) * mask, []
    if not of_pconv:
        mean, std = PConvUNet(1, 1).normalise.mean, PConvUNet(1, 1).normalise.std
        x = (image - mean) / std * mask
    m = mask.expand_as(x)
    for n in range(1, LEVELS + 1):
        skips.append((x, m))
        prefix = f"down{n}.pconv.img_conv.1" if of_pconv else f"enc_{n}.conv.input_conv"
        x, m = partial(x, m, entries(state, prefix), 2, ones=not of_pconv)
        if not of_pconv and n > 1:
            x = batch_norm(x, entries(state, f"enc_{n}.bn"))
        x, m = x.relu(), m.expand_as(x)
    for n in range(LEVELS, 0, -1):
        skip, skip_mask = skips.pop()
        double = lambda t: F.interpolate(t, scale_factor=2.0)  # noqa: E731
        x = torch.cat([double(x), skip], 1)
        m = torch.cat([double(m), skip_mask], 1)
        prefix = f"up{LEVELS + 1 - n}.pconv.img_conv.0" if of_pconv else f"dec_{n}.conv.input_conv"
        x, m = partial(x, m, entries(state, prefix), 1, ones=not of_pconv)
        if n > 1:
            of_norm = f"up{LEVELS + 1 - n}.norm" if of_pconv else f"dec_{n}.bn"
            x = F.leaky_relu(batch_norm(x, entries(state, of_norm)), 0.2)
        m = m.expand_as(x)
    return torch.sigmoid(x) if of_pconv else x * std + mean


@pytest.mark.parametrize("shallow_last", [True, False])
def test_pconvs_partial_unet(shallow_last):
    net = build(pconv_state(shallow_last))
    assert isinstance(net, ForeignPConvUNet)
    with torch.no_grad():
        expected = by_hand(pconv_state(), *pair(), of_pconv=True)
        torch.testing.assert_close(net(*pair()), expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(net.folded()(*pair()), expected, atol=1e-5, rtol=1e-4)
        if shallow_last:
            assert 0 <= net(*pair()).min() <= net(*pair()).max() <= 1


def test_the_public_layout():
    net = build({f"module.{k}": v for k, v in public_state().items()})
    with torch.no_grad():
        expected = by_hand(public_state(), *pair(), of_pconv=False)
        torch.testing.assert_close(net(*pair()), expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(net.folded()(*pair()), expected, atol=1e-4, rtol=1e-4)


def test_pconvs_traditional_unet():
    torch.manual_seed(3)
    state = {}
    for n, (a, b) in enumerate(itertools.pairwise(WIDTHS), start=1):
        put(state, f"down{n}.layer.0", conv(b, a, 3))
        put(state, f"down{n}.layer.1", norm(b))
    for n, (a, b) in enumerate([(8 + 6, 6), (6 + 4, 3)], start=1):
        put(state, f"up{n}.layer.0", conv(b, a, 3))
    net = build(state)
    assert isinstance(net, ForeignUNet)
    with torch.no_grad():
        out = net(*pair())
    assert out.shape == (1, 3, 40, 40)
    assert torch.isfinite(out).all()


def test_files_of_either_kind_are_opened(tmp_path):
    for name, state in (("pconv", pconv_state()), ("public", {"state_dict": public_state()})):
        path = tmp_path / f"{name}.pt"
        torch.save(state, path)
        assert isinstance(weights.load_network(path), ForeignPConvUNet)


def test_weights_that_do_not_fit_or_are_unknown(tmp_path):
    broken = pconv_state()
    del broken["up2.pconv.img_conv.0.weight"]
    torch.save(broken, tmp_path / "broken.pt")
    with pytest.raises(ValueError, match=r"do not fit together|not those of a partial U-Net"):
        weights.load_network(tmp_path / "broken.pt")
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "linear.pt")
    with pytest.raises(ValueError, match=r"no kind known here \(its first keys: weight, bias\)"):
        weights.load_network(tmp_path / "linear.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="holds a list"):
        weights.load_network(tmp_path / "list.pt")


def test_hand_written_arithmetic_is_the_papers():
    """The computation by hand, with sum(1), is the textbook's: the tests above lean on it."""
    net = TextbookUNet(LEVELS, 2).eval()
    image, mask = pair()
    level = net.encoder[0].conv
    y, _ = level.convolve([image * mask], [mask])
    entry = {"weight": level.weight, "bias": level.bias}
    z, _ = partial(image, mask.expand_as(image), entry, 2, ones=True)
    kernel = level.weight.shape[-1]
    assert kernel == 7
    torch.testing.assert_close(y, z, atol=1e-5, rtol=1e-4)
