"""The partial convolution against a loop over windows, written from eq. 1 and 2 alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.export import Dim
from torch.fx.experimental.proxy_tensor import make_fx

from pconv_core.layers import PartialConv2d, PartwiseConv2d


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
    how = [case[name] for name in ("stride", "padding", "dilation")]
    layer = kind(sum(case["parts"]), case["out"], case["kernel"], *how)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=g) - 0.5)

    ours_x = [x.float().requires_grad_() for x in xs]
    y, new_mask = layer(ours_x, [m.float() for m in masks])
    theirs_x = [x.clone().requires_grad_() for x in xs]
    weight = layer.weight.detach().double().requires_grad_()
    bias = layer.bias.detach().double().requires_grad_()
    theirs_masks = [m.double().expand_as(x) for m, x in zip(masks, xs, strict=True)]
    ref, ref_mask = loop(theirs_x, theirs_masks, weight, bias, *how)
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


def draw(shape, seed=0, **kind):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), **kind)


@st.composite
def geometries(draw):
    groups = draw(st.integers(1, 3))
    kernel = draw(st.integers(1, 4))
    padding = draw(st.sampled_from(["same", "valid", 0, 1, 2]))
    return {
        "in_channels": groups * draw(st.integers(1, 2)),
        "out_channels": groups * draw(st.integers(1, 2)),
        "kernel_size": kernel,
        "stride": 1 if padding == "same" else draw(st.integers(1, 2)),
        "padding": padding,
        "dilation": draw(st.integers(1, 2)),
        "groups": groups,
        "bias": draw(st.booleans()),
        "padding_mode": draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"])),
    }


def by_plain_layers(layer, geometry, x, mask):
    """eq. 1 and 2 by two layers of torch's own in float64: the convolution, and one of ones."""
    plain = nn.Conv2d(**geometry, dtype=torch.float64)
    plain.load_state_dict(layer.state_dict())
    ones = nn.Conv2d(**{**geometry, "bias": False}, dtype=torch.float64)
    nn.init.ones_(ones.weight)
    bias = torch.zeros(1) if plain.bias is None else plain.bias.view(-1, 1, 1)
    mask = mask.double().expand_as(x)
    known = ones(mask)
    window = layer.weight[0].numel()
    value = (plain(x.double() * mask) - bias) * window / known.clamp(min=1) + bias
    return torch.where(known > 0, value, 0).detach(), (known > 0).double()


MASK_TYPES = [torch.bool, torch.uint8, torch.int64, torch.float16, torch.float32, torch.float64]


@settings(max_examples=200, deadline=None)
@given(
    geometry=geometries(),
    dtype=st.sampled_from(MASK_TYPES),
    wide=st.booleans(),
    batch=st.sampled_from([None, 1, 2]),
    one_mask=st.booleans(),
    known=st.sampled_from([0.0, 0.3, 0.9, 1.0]),
    seed=st.integers(0, 999),
)
def test_takes_what_a_plain_layer_takes(geometry, dtype, wide, batch, one_mask, known, seed):
    layer = PartialConv2d(**geometry)
    channels = geometry["in_channels"]
    size = (9, 8)
    lead = () if batch is None else (batch,)
    lead_mask = (1,) if lead and one_mask else lead
    x = draw((*lead, channels, *size), seed) - 0.5
    hole = draw((*lead_mask, channels if wide else 1, *size), seed + 1) >= known
    hollow = torch.where(hole, torch.nan, x).requires_grad_()
    y, new_mask = layer(hollow, (~hole).to(dtype))
    expected, expected_mask = by_plain_layers(layer, geometry, x, ~hole)
    assert y.shape == expected.shape
    assert close(y, expected)
    by_group = geometry["groups"] > 1 and wide and channels > 1
    assert new_mask.shape == (expected if by_group else expected.narrow(-3, 0, 1)).shape
    assert torch.equal(new_mask.double().expand_as(expected), expected_mask)
    assert new_mask.dtype == y.dtype
    y.square().sum().backward()
    for gradient in [hollow.grad, *(p.grad for p in layer.parameters())]:
        assert torch.isfinite(gradient).all()
    assert not hollow.grad[hole.expand_as(x)].any()


@pytest.mark.parametrize("kind", [PartialConv2d, PartwiseConv2d])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_nothing_of_the_hole_comes_through(kind, value):
    layer = kind(4, 2, 3, padding=1)
    parts = [draw((1, c, 6, 6), c) for c in (1, 3)]
    masks = [draw((1, 1, 6, 6), c) < 0.5 for c in (5, 6)]
    hollow = [torch.where(m, x, value).requires_grad_() for m, x in zip(masks, parts, strict=True)]
    y, _ = layer(hollow, masks)
    assert torch.equal(y, layer(parts, masks)[0])
    gradients = torch.autograd.grad(y.square().sum(), [*hollow, *layer.parameters()])
    assert all(torch.isfinite(g).all() for g in gradients)


def test_groups_reach_over_the_parts_of_a_concatenation():
    geometry = {"in_channels": 6, "out_channels": 4, "kernel_size": 3, "groups": 2, "padding": 1}
    layer = PartialConv2d(**geometry)
    parts = [draw((2, c, 7, 6), c) for c in (1, 5)]
    masks = [draw((2, c, 7, 6), c + 9) < 0.03 for c in (1, 5)]
    y, new_mask = layer(parts, masks)
    joined = layer(torch.cat(parts, dim=1), torch.cat(masks, dim=1))
    torch.testing.assert_close((y, new_mask), joined)
    assert not torch.equal(new_mask[:, :2], new_mask[:, 2:])
    # A layer that follows takes this mask.
    PartialConv2d(4, 2, 3)(y, new_mask)
    with pytest.raises(ValueError, match="groups is 2; it should be 1 for several parts"):
        PartwiseConv2d(**geometry)(parts, masks)


def test_the_masks_gradient_is_none():
    mask = torch.ones(1, 1, 6, 6, requires_grad=True)
    y, new_mask = PartialConv2d(2, 2, 3)(draw((1, 2, 6, 6)).requires_grad_(), mask)
    assert not new_mask.requires_grad
    y.sum().backward()
    assert mask.grad is None


def traced(layer, example):
    """The ways of torch to record what an example does."""
    yield torch.jit.trace(layer, example)
    yield make_fx(layer)(*example)
    sizes = {0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO}
    yield torch.export.export(layer, example, dynamic_shapes=(sizes, sizes)).module()


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", [PartialConv2d, PartwiseConv2d])
def test_an_example_without_a_hole_decides_no_trace(kind):
    layer = kind(3, 4, 3, stride=2, padding=1).requires_grad_(False)
    x, mask = draw((2, 3, 20, 24)), (draw((2, 1, 20, 24), 1) < 0.3).float()
    for recorded in traced(layer, (draw((2, 3, 20, 24), 3), torch.ones(2, 1, 20, 24))):
        torch.testing.assert_close(recorded(x, mask), layer(x, mask))
