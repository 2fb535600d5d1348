"""The partial convolution against a loop over windows, written from eq. 1 and 2 alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pconv_core.layers import PartialConv2d, PartwiseConv2d, PlainConv2d


def window_loop(x, mask, weight, bias, stride, padding, dilation):
    """eq. 1 and 2, window by window, in float64; `mask` has as many channels as `x`."""
    n, c, h, w = x.shape
    out_channels, _, kh, kw = weight.shape
    rows = (h + 2 * padding - dilation * (kh - 1) - 1) // stride + 1
    columns = (w + 2 * padding - dilation * (kw - 1) - 1) // stride + 1
    values, masks = [], []
    for i in range(n):
        for r in range(rows):
            for s in range(columns):
                total = torch.zeros(out_channels, dtype=torch.float64)
                known = 0.0
                for a in range(kh):
                    for b in range(kw):
                        y = r * stride - padding + a * dilation
                        z = s * stride - padding + b * dilation
                        if 0 <= y < h and 0 <= z < w:
                            total = total + weight[:, :, a, b] @ (x[i, :, y, z] * mask[i, :, y, z])
                            known += mask[i, :, y, z].sum().item()
                value = total * (kh * kw * c / known) + bias if known > 0 else total * 0
                values.append(value)
                masks.append(float(known > 0))
    values = torch.stack(values).view(n, rows, columns, out_channels).permute(0, 3, 1, 2)
    return values, torch.tensor(masks, dtype=torch.float64).view(n, 1, rows, columns)


@st.composite
def cases(draw):
    kernel = draw(st.integers(1, 4))
    dilation = draw(st.integers(1, 2))
    reach = dilation * (kernel - 1) + 1
    return {
        "parts": draw(st.lists(st.integers(1, 3), min_size=1, max_size=2)),
        "out": draw(st.integers(1, 3)),
        "kernel": kernel,
        "dilation": dilation,
        "stride": draw(st.integers(1, 3)),
        "padding": draw(st.integers(0, 2)),
        "height": draw(st.integers(reach, reach + 4)),
        "width": draw(st.integers(reach, reach + 4)),
        "one_channel": draw(st.booleans()),
        "known": draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])),
        "seed": draw(st.integers(0, 2**31)),
    }


def close(ours, theirs):
    """Largest error of 1e-5, relative where the values exceed 1."""
    scale = max(1.0, theirs.abs().max().item())
    return (ours.double() - theirs).abs().max().item() <= 1e-5 * scale


def partwise_loop(xs, masks, weight, bias, *geometry):
    """The loop for each part alone, its sum the features; the bias where anything is known."""
    weights, nothing = weight.split([x.shape[1] for x in xs], dim=1), 0 * bias
    terms = [
        window_loop(x, m, w, nothing, *geometry) for x, m, w in zip(xs, masks, weights, strict=True)
    ]
    new_mask = torch.stack([found for _, found in terms]).amax(0)
    return sum(value for value, _ in terms) + bias.view(1, -1, 1, 1) * new_mask, new_mask


def whole_loop(xs, masks, *others):
    """The loop for the concatenation."""
    return window_loop(torch.cat(xs, dim=1), torch.cat(masks, dim=1), *others)


@pytest.mark.parametrize(
    ("kind", "loop"), [(PartialConv2d, whole_loop), (PartwiseConv2d, partwise_loop)]
)
@settings(max_examples=150, deadline=None)
@given(case=cases())
def test_equals_the_window_loop_in_value_and_gradient(kind, loop, case):
    g = torch.Generator().manual_seed(case["seed"])
    size = (case["height"], case["width"])
    shapes = [(2, c, *size) for c in case["parts"]]
    xs = [torch.rand(s, generator=g, dtype=torch.float64) * 2 - 1 for s in shapes]
    masks = [
        (torch.rand((2, 1 if case["one_channel"] else s[1], *size), generator=g) < case["known"])
        for s in shapes
    ]
    layer = kind(
        sum(case["parts"]),
        case["out"],
        case["kernel"],
        case["stride"],
        case["padding"],
        case["dilation"],
    )
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=g) - 0.5)

    ours_x = [x.float().requires_grad_() for x in xs]
    y, new_mask = layer(ours_x, [m.float() for m in masks])
    theirs_x = [x.clone().requires_grad_() for x in xs]
    weight = layer.weight.detach().double().requires_grad_()
    bias = layer.bias.detach().double().requires_grad_()
    ref, ref_mask = loop(
        theirs_x,
        [m.double().expand_as(x) for m, x in zip(masks, xs, strict=True)],
        weight,
        bias,
        case["stride"],
        case["padding"],
        case["dilation"],
    )
    assert torch.equal(new_mask.double(), ref_mask)
    assert close(y, ref)

    pull = torch.rand(ref.shape, generator=g, dtype=torch.float64)
    ours = torch.autograd.grad((y * pull.float()).sum(), [*ours_x, layer.weight, layer.bias])
    # Where nothing is known at all, the loop uses neither weights nor features.
    keep = {"allow_unused": True, "materialize_grads": True}
    theirs = torch.autograd.grad(
        ((ref + 0 * bias.sum()) * pull).sum(), [*theirs_x, weight, bias], **keep
    )
    for a, b in zip(ours, theirs, strict=True):
        assert close(a, b)


def test_gradcheck():
    layer = PartialConv2d(3, 2, 3, stride=2, padding=1).double()
    mask = (torch.rand(1, 1, 6, 5, generator=torch.Generator().manual_seed(0)) < 0.4).double()
    x = torch.rand(1, 3, 6, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: layer(t, mask)[0], x)


def test_all_hole_gives_zero_and_no_nan():
    layer = PartialConv2d(2, 3, 3, padding=1)
    x = torch.full((1, 2, 4, 4), float(10), requires_grad=True)
    y, new_mask = layer(x, torch.zeros(1, 1, 4, 4))
    y.sum().backward()
    assert y.abs().max() == 0
    assert new_mask.max() == 0
    for grad in (x.grad, layer.weight.grad, layer.bias.grad):
        assert torch.isfinite(grad).all()
        assert grad.abs().max() == 0


def test_all_known_without_padding_is_a_plain_convolution():
    layer = PartialConv2d(3, 4, 3, stride=2, dilation=2)
    plain = nn.Conv2d(3, 4, 3, stride=2, dilation=2)
    plain.load_state_dict(layer.state_dict())
    x = torch.rand(2, 3, 9, 9)
    y, new_mask = layer(x, torch.ones(2, 1, 9, 9))
    torch.testing.assert_close(y, plain(x))
    assert new_mask.min() == 1


def test_what_the_hole_holds_does_not_matter():
    layer = PartialConv2d(3, 4, 5, padding=2)
    mask = (torch.rand(1, 1, 12, 12) < 0.5).float()
    x = torch.rand(1, 3, 12, 12)
    assert torch.equal(layer(x, mask)[0], layer(x + 100 * (1 - mask), mask)[0])


def test_counts_survive_half_precision():
    """1024 channels and 7x7 windows hold 50,176 entries; bfloat16 counts no further than 256."""
    layer = PartialConv2d(1024, 1, 7, bias=False).bfloat16()
    nn.init.constant_(layer.weight, 1.0)
    mask = torch.ones(1, 1, 7, 7, dtype=torch.bfloat16)
    mask[..., 0, 0] = 0
    x = torch.full((1, 1024, 7, 7), 1 / 1024, dtype=torch.bfloat16)
    y, _ = layer(x, mask)
    assert y.item() == pytest.approx(49, rel=0.01)


@pytest.mark.parametrize(
    ("x", "mask", "message"),
    [
        ((1, 3, 8, 8), (1, 1, 8, 7), r"mask has shape \(1, 1, 8, 7\).*should be \(1, 1, 8, 8\)"),
        ((1, 3, 8, 8), (1, 2, 8, 8), "mask has shape"),
        ((1, 2, 8, 8), (1, 1, 8, 8), "features have 2 channels, the layer takes 3"),
    ],
)
def test_shapes_that_do_not_fit(x, mask, message):
    with pytest.raises(ValueError, match=message):
        PartialConv2d(3, 4, 3)(torch.rand(x), torch.ones(mask))


def test_parts_without_a_mask_each():
    with pytest.raises(ValueError, match="2 parts of features come with 1 masks"):
        PartialConv2d(4, 4, 3)([torch.rand(1, 2, 8, 8)] * 2, torch.ones(1, 1, 8, 8))


def test_plain_twin_ignores_the_mask():
    layer = PlainConv2d(4, 2, 3)
    parts = [torch.rand(1, 1, 6, 6), torch.rand(1, 3, 6, 6)]
    mask = torch.zeros(1, 1, 6, 6)
    y, passed = layer(parts, [mask, mask])
    plain = nn.functional.conv2d(torch.cat(parts, 1), layer.weight, layer.bias)
    torch.testing.assert_close(y, plain)
    assert passed is mask
