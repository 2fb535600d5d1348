"""Files in other people's layouts against their arithmetic, of F.conv2d and masks alone."""

import re
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pconv_cli import foreign, weights
from pconv_cli.foreign import ForeignPConvUNet, build
from pconv_core.layers import PartialConv2d, UnscaledPartialConv2d

MEAN, STD = (
    torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
)


def widths(levels, base=2):
    """Channels before each level and after the last, as both authors have them."""
    return [3] + [base * min(2**n, 8) for n in range(levels)]


def conv(out_channels, in_channels, kernel, bias=True):
    """Weights that keep values of order 1 when a sum over the window is divided by its count."""
    count = in_channels * kernel**2
    entry = {"weight": count**0.5 * torch.randn(out_channels, in_channels, kernel, kernel)}
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


def kernel(level):
    return {1: 7, 2: 5, 3: 5}.get(level, 3)


def pconv_state(levels, seed):
    """As `PartialUNet` of P-Conv saves itself."""
    torch.manual_seed(seed)
    state, wide = {"vgg.features.0.weight": torch.randn(4, 3, 3, 3)}, widths(levels)
    for n in range(1, levels + 1):
        a, b, k = wide[n - 1], wide[n], kernel(n)
        put(state, f"down{n}.pconv.img_conv.1", conv(b, a, k))
        put(state, f"down{n}.pconv.mask_conv.1", {"weight": torch.ones(b, a, k, k)})
        put(state, f"up{n}.pconv.img_conv.1", conv(a, a + b, 3))
        put(state, f"up{n}.pconv.mask_conv.1", {"weight": torch.ones(a, a + b, 3, 3)})
        if n > 1:
            put(state, f"down{n}.norm", norm(b))
            put(state, f"up{n}.norm", norm(a))
    return state


def unet_state(levels, seed):
    """As `UNet` of P-Conv saves itself."""
    torch.manual_seed(seed)
    state, wide = {"vgg.features.0.weight": torch.randn(4, 3, 3, 3)}, widths(levels)
    for n, (a, b) in enumerate(pairwise(wide), start=1):
        put(state, f"down{n}.layer.0", {k: v / 9 for k, v in conv(b, a, 3).items()})
        if n > 1:
            put(state, f"down{n}.layer.1", norm(b))
            put(state, f"up{n}.layer.0", {k: v / 9 for k, v in conv(a, a + b, 3).items()})
            put(state, f"up{n}.layer.1", norm(a))
    put(state, "up1", {k: v / 9 for k, v in conv(3, wide[1], 3).items()})
    return state


def public_state(levels, seed, name="input_conv", bias=False):
    """As naoto0804's `PConvUNet` saves itself; earlier its layers had other names and a bias."""
    torch.manual_seed(seed)
    state, wide = {}, widths(levels)
    for n in range(1, levels + 1):
        a, b, k = wide[n - 1], wide[n], kernel(n)
        put(state, f"enc_{n}.conv.{name}", conv(b, a, k, bias))
        put(state, f"enc_{n}.conv.mask_conv", {"weight": torch.ones(b, a, k, k)})
        put(state, f"dec_{n}.conv.{name}", conv(a, a + b, 3, bias or n == 1))
        if n > 1:
            put(state, f"enc_{n}.bn", norm(b))
            put(state, f"dec_{n}.bn", norm(a))
    return state


def mm_state(levels, seed):
    """As MMEditing's `PConvInpaintor` saves itself: a bias where there is no norm."""
    torch.manual_seed(seed)
    state, wide = {"loss_percep.vgg.vgg_layers.0.weight": torch.randn(4, 3, 3, 3)}, widths(levels)
    for n in range(1, levels + 1):
        a, b = wide[n - 1], wide[n]
        for side, (i, o, k) in {"enc": (a, b, kernel(n)), "dec": (a + b, a, 3)}.items():
            name = f"generator.{side}oder.{side}{n}"
            entry = conv(o, i, k, n == 1)
            entry["weight"] /= i * k**2  # eq. 1 multiplies by that
            put(state, f"{name}.conv", {**entry, "weight_mask_updater": torch.ones(o, i, k, k)})
            if n > 1:
                put(state, f"{name}.bn", norm(o))
    return state


def pair(height=64, width=64):
    torch.manual_seed(2)
    mask = torch.ones(1, 1, height, width)
    mask[..., 10:30, 5:22] = 0
    mask[..., 20:50, 40] = 0
    return torch.rand(1, 3, height, width), mask


def entries(state, prefix):
    return {k[len(prefix) + 1 :]: v for k, v in state.items() if k.startswith(prefix + ".")}


def partial(x, mask, entry, stride, with_ones=False):
    """W^T (X * M) / sum(M) + b, where sum(M) runs over all channels of a window."""
    padding = entry["weight"].shape[-1] // 2
    known = F.conv2d(mask, torch.ones_like(entry["weight"]), None, stride, padding)
    y = F.conv2d(x * mask, entry["weight"], None, stride, padding) / known.clamp(min=1)
    if with_ones:
        y = y * entry["weight"][0].numel()
    bias = entry.get("bias", torch.zeros(len(y[0]))).view(1, -1, 1, 1)
    return (y + bias) * (known > 0), (known > 0).float()


def batch_norm(x, entry):
    return F.batch_norm(
        x, entry["running_mean"], entry["running_var"], entry["weight"], entry["bias"]
    )


def doubled(x, like):
    return F.interpolate(x, scale_factor=2.0)[..., : like.shape[-2], : like.shape[-1]]


def by_hand(state, x, mask, sides, conv, norm, with_ones):
    """A partial U-Net whose levels are named side, number, conv or norm; 0 in the hole."""
    m, skips, (down, up) = mask.expand_as(x), [], sides
    levels = sum(k.startswith(down) and k.endswith(f"{conv}.weight") for k in state)

    def level(x, m, name, stride, slope):
        x, m = partial(x, m, entries(state, name + conv), stride, with_ones)
        normed = entries(state, name + norm)
        return F.leaky_relu(batch_norm(x, normed) if normed else x, slope), m

    x = x * mask
    for n in range(1, levels + 1):
        skips.append((x, m))
        x, m = level(x, m, f"{down}{n}", 2, 0.0)
    for n in range(levels, 0, -1):
        skip, skip_mask = skips.pop()
        x, m = (torch.cat(p, 1) for p in ((doubled(x, skip), skip), (doubled(m, skip), skip_mask)))
        x, m = level(x, m, f"{up}{n}", 1, 0.2 if n > 1 else 1.0)
    return x


def pconv_by_hand(state, image, mask, with_ones=False):
    """The output of P-Conv's `PartialUNet`, whose encoder throws away what its norms give."""
    state = {k: v for k, v in state.items() if not re.match(r"down\d+\.norm", k)}
    names = ("down", "up"), ".pconv.img_conv.1", ".norm"
    return torch.sigmoid(by_hand(state, image * 2 - 1, mask, *names, with_ones))


def public_by_hand(state, image, mask, with_ones=False, name="input_conv"):
    """The output of naoto0804's `PConvUNet`, between ImageNet's mean and deviation."""
    names = ("enc_", "dec_"), f".conv.{name}", ".bn"
    return by_hand(state, (image - MEAN) / STD, mask, *names, with_ones) * STD + MEAN


def mm_by_hand(state, image, mask, with_ones=True):
    """The output of MMEditing's `PConvEncoderDecoder`, from [-1, 1] to [0, 1]."""
    names = ("generator.encoder.enc", "generator.decoder.dec"), ".conv", ".bn"
    return by_hand(state, image * 2 - 1, mask, *names, with_ones) / 2 + 0.5


def unet_by_hand(state, image, mask):
    """The output of P-Conv's `UNet`: the skip is joined before the features."""
    x, skips = (image * 2 - 1) * mask, []
    levels = sum(k.startswith("down") and k.endswith("layer.0.weight") for k in state)

    def level(x, name, normed):
        entry = entries(state, f"{name}.layer.0")
        x = F.conv2d(x, entry["weight"], entry["bias"], padding=1)
        return (batch_norm(x, entries(state, f"{name}.layer.1")) if normed else x).relu()

    for n in range(1, levels + 1):
        x = level(x if n == 1 else F.max_pool2d(x, 2), f"down{n}", n > 1)
        skips.append(x)
    skips.pop()
    for n in range(levels, 1, -1):
        skip = skips.pop()
        x = level(torch.cat([skip, doubled(x, skip)], 1), f"up{n}", True)
    return torch.tanh(F.conv2d(x, state["up1.weight"], state["up1.bias"], padding=1)) / 2 + 0.5


# The three partial and the one traditional network of P-Conv's README, 256 pixels and 224, and
# naoto0804's: (state, arithmetic, height and width).
FILES = {
    "P-Conv 256": (lambda: pconv_state(8, 0), pconv_by_hand, (256, 256)),
    "P-Conv 256, fine-tuned": (lambda: pconv_state(8, 1), pconv_by_hand, (256, 256)),
    "P-Conv 224": (lambda: pconv_state(8, 2), pconv_by_hand, (224, 224)),
    "P-Conv U-Net": (lambda: unet_state(8, 3), unet_by_hand, (256, 256)),
    "naoto0804": (lambda: public_state(7, 4), public_by_hand, (256, 256)),
    "MMEditing": (lambda: mm_state(7, 8), mm_by_hand, (256, 256)),
    "MMEditing, odd sides": (lambda: mm_state(3, 9), mm_by_hand, (61, 75)),
    "P-Conv, odd sides": (lambda: pconv_state(3, 5), pconv_by_hand, (61, 75)),
    "naoto0804, odd sides": (lambda: public_state(3, 6), public_by_hand, (61, 75)),
    "naoto0804, earlier": (
        lambda: public_state(7, 7, "conv2d", bias=True),
        lambda *given: public_by_hand(*given, name="conv2d"),
        (128, 128),
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_gives_what_its_arithmetic_gives(tmp_path, name):
    state, by_hand, size = FILES[name]
    state, given = state(), pair(*size)
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "net.pth")
    net = weights.load_network(tmp_path / "net.pth")
    with torch.no_grad():
        expected = by_hand(state, *given)
        for found in (net(*given), net.folded()(*given)):
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    hole = expected[:, :, 10:30, 5:22]
    assert hole.std() > 0.01  # not a plain surface, which would agree by chance


@pytest.mark.parametrize("name", ["P-Conv 256", "naoto0804"])
def test_sum_1_put_in_is_seen(monkeypatch, name):
    state, by_hand, size = FILES[name]
    state, given = state(), pair(*size)
    monkeypatch.setattr(foreign, "UnscaledPartialConv2d", PartialConv2d)
    with torch.no_grad():
        wrong = build(state)(*given)
        assert (wrong - by_hand(state, *given)).abs().max() > 0.1
        expected = by_hand(state, *given, with_ones=True)
        assert (wrong - expected).abs().max() < 1e-3 * expected.abs().max()


def test_sum_1_left_out_is_seen(monkeypatch):
    state, given = mm_state(4, 0), pair()
    monkeypatch.setattr(foreign, "PartialConv2d", UnscaledPartialConv2d)
    with torch.no_grad():
        wrong = build(state)(*given)
        assert (wrong - mm_by_hand(state, *given)).abs().max() > 0.01
        torch.testing.assert_close(wrong, mm_by_hand(state, *given, with_ones=False))


def test_the_order_of_the_skip_is_seen():
    state, given = unet_state(4, 0), pair()
    other = dict(state)
    for n in range(2, 5):
        skip = widths(4)[n - 1]
        weight = state[f"up{n}.layer.0.weight"]
        other[f"up{n}.layer.0.weight"] = torch.cat([weight[:, skip:], weight[:, :skip]], 1)
    with torch.no_grad():
        assert (build(other)(*given) - unet_by_hand(state, *given)).abs().max() > 0.01


def test_pconvs_unet_takes_every_size():
    with torch.no_grad():
        out = build(unet_state(4, 0))(*pair(61, 75))
    assert out.shape == (1, 3, 61, 75)
    assert 0 <= out.min() <= out.max() <= 1


def test_weights_that_do_not_fit_or_are_unknown(tmp_path):
    assert isinstance(build(pconv_state(3, 0)), ForeignPConvUNet)
    for state, missing in (
        (pconv_state(3, 0), "up2.pconv.img_conv.1.weight"),
        (unet_state(3, 0), "down1.layer.0.weight"),
        (unet_state(3, 0), "up1.weight"),
        (public_state(3, 0), "enc_2.conv.input_conv.weight"),
        (mm_state(3, 0), "generator.encoder.enc2.conv.weight"),
    ):
        del state[missing]
        torch.save(state, tmp_path / "broken.pt")
        with pytest.raises(ValueError, match=r"do not fit together|are not those of"):
            weights.load_network(tmp_path / "broken.pt")
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "linear.pt")
    with pytest.raises(ValueError, match=r"no kind known here \(its first keys: weight, bias\)"):
        weights.load_network(tmp_path / "linear.pt")
    # tanimutomo's, of which the file does not tell the levels.
    torch.save({"enc_1.conv.weight": torch.ones(4, 3, 7, 7)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="or named enc_N"):
        weights.load_network(tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="holds a list"):
        weights.load_network(tmp_path / "list.pt")
