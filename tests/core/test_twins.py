"""The twins of the partial network against loops over windows, written in NumPy alone."""

import numpy as np
import pytest
import torch

from pconv_core.models import MODELS, build_model

TWINS = ["pconv", "conv", "masked", "gated", "partial-masked", "merged"]
PARTIAL = ("pconv", "partial-masked", "merged")
MEAN, STD = (
    np.array(values, np.float32).astype(float).reshape(3, 1, 1)
    for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
)


def windows(x, kernel, stride):
    """All windows (rows, columns, C, kernel, kernel) of x (C, H, W), zeros around it."""
    edge = kernel // 2
    x = np.pad(x, ((0, 0), (edge, edge), (edge, edge)))
    rows, columns = (range(0, side - kernel + 1, stride) for side in (x.shape[1], x.shape[2]))
    return [[x[:, r : r + kernel, c : c + kernel] for c in columns] for r in rows]


def convolution(x, weight, bias, stride):
    return np.array(
        [
            [[(w * window).sum() + b for w, b in zip(weight, bias, strict=True)] for window in row]
            for row in windows(x, weight.shape[-1], stride)
        ]
    ).transpose(2, 0, 1)


def partial_convolution(x, mask, weight, bias, stride):
    """eq. 1 and 2; x and mask (C, H, W)."""
    size = weight.shape[-1]
    values, masks = [], []
    for row, mask_row in zip(
        windows(x * mask, size, stride), windows(mask, size, stride), strict=True
    ):
        for window, known in zip(row, mask_row, strict=True):
            ratio = known.size / known.sum() if known.sum() > 0 else 0
            b = bias * (known.sum() > 0)
            values.append([(w * window).sum() * ratio + c for w, c in zip(weight, b, strict=True)])
            masks.append(float(known.sum() > 0))
    shape = (len(windows(x, size, stride)), -1)
    return np.array(values).reshape(*shape, len(weight)).transpose(2, 0, 1), np.reshape(
        masks, shape
    )


def normed(p, at, x):
    if f"{at}.norm.weight" not in p:
        return x
    mean, var, scale, shift = (
        p[f"{at}.norm.{k}"].reshape(-1, 1, 1)
        for k in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / np.sqrt(var + 1e-5) * scale + shift


def layer(name, p, at, parts, masks, stride, slope):
    """One layer: parts (C, H, W) with masks (H, W); slope of the activation below 0."""
    x, weight = np.concatenate(parts), p[f"{at}.conv.weight"]
    bias = p.get(f"{at}.conv.bias", np.zeros(len(weight)))
    if name in PARTIAL:
        if name == "merged":
            masks = [np.maximum.reduce(masks)] * len(masks)
        mask = np.concatenate(
            [np.repeat(m[None], len(f), 0) for f, m in zip(parts, masks, strict=True)]
        )
        x, mask = partial_convolution(x, mask, weight, bias, stride)
        x = normed(p, at, x) * mask
        return np.where(x > 0, x, slope * x), mask
    y = normed(p, at, convolution(x, weight, bias, stride))
    y = np.where(y > 0, y, slope * y)
    if name.startswith("gated") and at != LAST:
        gate = convolution(x, p[f"{at}.gate.weight"], p[f"{at}.gate.bias"], stride)
        y = y / (1 + np.exp(-gate))
    return y, np.zeros(y.shape[1:])


LEVELS = 2
LAST = f"decoder.{LEVELS - 1}"


def doubled(x, like):
    return x.repeat(2, -1).repeat(2, -2)[..., : like.shape[-2], : like.shape[-1]]


def reference(name, p, image, mask):
    """I_out (3, H, W) of image (3, H, W) and mask (H, W)."""
    x = (image - MEAN) / STD * mask
    if name not in ("pconv", "conv", "merged"):
        x = np.concatenate([x, mask[None]])
    skips = []
    for i in range(LEVELS):
        skips.append((x, mask))
        x, mask = layer(name, p, f"encoder.{i}", [x], [mask], 2, 0)
    for i in range(LEVELS):
        skip, known = skips.pop()
        parts, masks = [doubled(x, skip), skip], [doubled(mask, known), known]
        x, mask = layer(name, p, f"decoder.{i}", parts, masks, 1, 0.2 if i < LEVELS - 1 else 1)
    return x * STD + MEAN


def tried(net, seed=1):
    """In evaluation mode, float64, with norms and biases as after some training."""
    generator = torch.Generator().manual_seed(seed)
    for key, value in net.state_dict().items():
        if "norm" in key and value.is_floating_point():
            low = 0.5 if key.endswith(("var", "weight")) else -0.5
            value.uniform_(low, low + 1, generator=generator)
        elif key.endswith("bias"):
            value.uniform_(-0.5, 0.5, generator=generator)
    return net.double().eval()


def pair(height, width):
    """A picture, a mask with a hole as large as some windows and scattered ones."""
    generator = torch.Generator().manual_seed(height)
    image = torch.rand(1, 3, height, width, generator=generator, dtype=torch.float64)
    mask = (torch.rand(1, 1, height, width, generator=generator) < 0.7).double()
    mask[..., 4:23, 5:27] = 0
    return image, mask


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("size", [(32, 34), (35, 33)])
def test_a_twin_is_what_a_loop_over_windows_says(name, size):
    torch.manual_seed(0)
    net = tried(MODELS[name](levels=LEVELS, base_channels=3))
    image, mask = pair(*size)
    parameters = {k: v.numpy() for k, v in net.state_dict().items()}
    expected = reference(name, parameters, image[0].numpy(), mask[0, 0].numpy())
    with torch.no_grad():
        found = net(image, mask)[0].numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


def parameters(name, levels, width):
    with torch.device("meta"):
        net = MODELS[name](levels=levels, base_channels=width)
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("levels", [6, 7, 8])
@pytest.mark.parametrize("width", [8, 16, 24, 64])
def test_numbers_of_parameters(levels, width):
    partial = parameters("pconv", levels, width)
    assert parameters("merged", levels, width) == partial
    # One channel more, into `width` channels by 7x7 and into three by 3x3.
    assert parameters("masked", levels, width) == partial + 49 * width + 27
    assert parameters("partial-masked", levels, width) == partial + 49 * width + 27
    assert parameters("gated", levels, width) == pytest.approx(partial, rel=0.03)


@pytest.mark.parametrize("name", MODELS)
def test_folded_is_the_same_network(name):
    net = tried(build_model(name, 56, 4, seed=0))
    image, mask = pair(56, 43)
    with torch.no_grad():
        expected = net(image, mask)
        folded = net.folded()
        torch.testing.assert_close(folded(image, mask), expected, rtol=1e-9, atol=1e-9)
    assert not [k for k in folded.state_dict() if "running" in k]
