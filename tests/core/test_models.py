import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.export import Dim

from pconv_core.models import MODELS, build_model, double, levels_for


def net(name="pconv", size=64, width=4):
    return build_model(name, size, width, seed=0)


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=12, deadline=None)
@given(height=st.integers(32, 97), width=st.integers(32, 97))
def test_every_size_comes_back_as_it_went_in(name, height, width):
    image, mask = torch.rand(1, 3, height, width), torch.ones(1, 1, height, width)
    mask[..., 8:20, 5:25] = 0
    with torch.no_grad():
        out = net(name).eval()(image, mask)
    assert out.shape == image.shape
    assert torch.isfinite(out).all()


@pytest.mark.parametrize("name", MODELS)
def test_hole_content_is_not_seen(name):
    image, mask = torch.rand(2, 3, 40, 36), (torch.rand(2, 1, 40, 36) < 0.6).float()
    model = net(name).eval()
    other = image * mask + torch.rand_like(image) * (1 - mask)
    with torch.no_grad():
        torch.testing.assert_close(model(image, mask), model(other, mask))
        unknown = torch.where(mask.bool(), image, torch.nan)
        torch.testing.assert_close(model(image, mask), model(unknown, mask))


def test_all_hole_gives_finite_output_and_gradient():
    model = net().train()
    out = model(torch.rand(2, 3, 32, 32), torch.zeros(2, 1, 32, 32))
    out.sum().backward()
    assert torch.isfinite(out).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_levels():
    assert [levels_for(s) for s in (56, 64, 112, 128, 224, 256, 512)] == [6, 6, 7, 7, 8, 8, 9]


def test_table_2():
    """Kernels, strides and channels of the paper's table 2, for 8 levels and 64 channels."""
    encoder = [(3, 64, 7), (64, 128, 5), (128, 256, 5), (256, 512, 3)] + [(512, 512, 3)] * 4
    decoder = [(512 + 512, 512)] * 4 + [(512 + 256, 256), (256 + 128, 128), (128 + 64, 64)]
    decoder += [(64 + 3, 3)]
    with torch.device("meta"):
        model = MODELS["pconv"](levels=8, base_channels=64)
    found = [
        (b.conv.in_channels, b.conv.out_channels, b.conv.kernel_size[0]) for b in model.encoder
    ]
    assert found == encoder
    assert all(b.conv.stride == (2, 2) for b in model.encoder)
    assert [(b.conv.in_channels, b.conv.out_channels) for b in model.decoder] == decoder
    assert all(b.conv.kernel_size == (3, 3) and b.conv.stride == (1, 1) for b in model.decoder)
    blocks = [*model.encoder, *model.decoder]
    has_norm = [isinstance(b.norm, torch.nn.BatchNorm2d) for b in blocks]
    assert has_norm == [False] + [True] * 14 + [False]


@pytest.mark.parametrize("name", [name for name in MODELS if name != "refined"])
def test_frozen_encoder_norm_stays(name):
    model = net(name)
    model.freeze_encoder_norm()
    model.train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 0.1)
    model(torch.rand(2, 3, 32, 32), torch.ones(2, 1, 32, 32)).square().mean().backward()
    optimiser.step()
    after = model.state_dict()
    norms = {id(m) for m in model.encoder.modules() if isinstance(m, torch.nn.BatchNorm2d)}
    frozen = [k for k, m in model.named_modules() if id(m) in norms]
    assert frozen
    for k, value in after.items():
        is_frozen = k.rsplit(".", 1)[0] in frozen
        if is_frozen:
            assert torch.equal(value, before[k]), k
        elif "weight" in k:
            assert not torch.equal(value, before[k]), k


def test_every_weight_of_the_refined_network_learns():
    """It begins with a last layer of zeros, which lets no gradient by at the first step.

    There is no batch norm to freeze, and a picture by itself comes out as in a batch.
    """
    model = net("refined")
    model.freeze_encoder_norm()
    model.train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    image, mask = torch.rand(2, 3, 32, 32), torch.ones(2, 1, 32, 32)
    mask[..., 8:20, 10:22] = 0
    for _ in range(2):
        (model(image, mask) - image).square().mean().backward()
        optimiser.step()
    still = [k for k, v in model.state_dict().items() if torch.equal(v, before[k])]
    assert not still
    with torch.no_grad():
        out = model(image, mask)
        torch.testing.assert_close(model(image[:1], mask[:1]), out[:1])
    known = mask.bool().expand_as(image)
    torch.testing.assert_close(out[known], image[known])
    assert (out[~known] - image[~known]).abs().max() > 1e-3


def test_seed_fixes_weights_and_spares_the_global_generator():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    a, b = net(), net()
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        (torch.rand(1, 3, 64, 64), torch.ones(1, 1, 64, 63), "mask is 64x63, image is 64x64"),
        (torch.rand(1, 1, 64, 64), torch.ones(1, 1, 64, 64), "image has shape"),
        (torch.rand(1, 3, 64, 64), torch.ones(1, 3, 64, 64), "mask has shape"),
        (torch.zeros(1, 3, 64, 64).byte(), torch.ones(1, 1, 64, 64), "image is of type torch.u"),
        (torch.rand(1, 3, 64, 64), torch.ones(1, 1, 64, 64).bool(), "mask is of type torch.bool"),
        (torch.rand(1, 3, 31, 64), torch.ones(1, 1, 31, 64), "31x64; both sides .* at least 32"),
        (torch.rand(1, 3, 64, 64), torch.full((1, 1, 64, 64), 255.0), "mask holds 255"),
        (torch.rand(1, 3, 64, 64), torch.full((1, 1, 64, 64), torch.nan), "mask holds nan"),
    ],
)
def test_bad_input(image, mask, message):
    with pytest.raises(ValueError, match=message):
        net()(image, mask)


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), odd=st.tuples(*[st.booleans()] * 2))
def test_double_is_every_pixel_four_times_cropped(height, width, odd):
    x = torch.rand(1, 2, height, width)
    size = (2 * height - odd[0], 2 * width - odd[1])
    expected = x.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., : size[0], : size[1]]
    assert torch.equal(double(x, size), expected)


def test_double_of_a_large_map():
    x = torch.arange(20_001.0).view(1, 1, 1, -1)
    assert torch.equal(double(x, (2, 40_001))[0, 0, 0], torch.arange(40_001.0).div(2).floor())


def lightly_masked(n, height, width):
    generator = torch.Generator().manual_seed(n * height * width)
    image = torch.rand(n, 3, height, width, generator=generator)
    return image, (torch.rand(n, 1, height, width, generator=generator) < 0.6).float()


@pytest.mark.parametrize("name", ["pconv", "partwise", "conv"])
@pytest.mark.parametrize("folded", [False, True])
def test_exported_once_for_every_size(name, folded):
    """The least side has two pixels at the bottleneck: of one, PyTorch would make a constant."""
    model = build_model(name, 16, 4, seed=0).eval()
    model = model.folded() if folded else model
    sizes = {0: Dim("batch", min=1), 2: Dim("height", min=32), 3: Dim("width", min=32)}
    example = (torch.rand(2, 3, 64, 64), torch.ones(2, 1, 64, 64))
    recorded = torch.export.export(model, example, dynamic_shapes=(sizes, sizes)).module()
    for shape in ((1, 32, 32), (3, 47, 65), (2, 100, 33)):
        image, mask = lightly_masked(*shape)
        with torch.no_grad():
            torch.testing.assert_close(recorded(image, mask), model(image, mask))


@pytest.mark.parametrize("name", MODELS)
def test_vmap_over_masks(name):
    model = build_model(name, 16, 4, seed=0).eval().requires_grad_(False)
    image, mask = lightly_masked(2, 40, 37)
    masks = torch.stack([torch.ones_like(mask), mask])
    found = torch.func.vmap(model, in_dims=(None, 0))(image, masks)
    for result, given_mask in zip(found, masks, strict=True):
        torch.testing.assert_close(result, model(image, given_mask), rtol=1e-4, atol=1e-4)
