"""The partial convolution (eq. 1 and 2) and its plain twin."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Parts = Tensor | Sequence[Tensor]


class PartialConv2d(nn.Conv2d):
    """2-D convolution over the known pixels of each window, a drop-in for `torch.nn.Conv2d`.

    With weights W, bias b, features X and mask M of one window (eq. 1 and 2)::

        x' = W^T (X * M) * sum(1) / sum(M) + b    if sum(M) > 0, else 0
        m' = 1                                    if sum(M) > 0, else 0

    sum(1) is the number of entries of the window, kernel area times input channels; sum(M)
    counts those that are known, over all channels.  With groups, both run over the channels of
    the output's own group.  Zero padding counts as hole, so windows that hang over the border are
    rescaled as well; the other padding modes pad features and mask alike.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode
        As for `torch.nn.Conv2d`.

    Examples
    --------
    >>> layer = PartialConv2d(3, 8, kernel_size=3, padding=1)
    >>> features, mask = layer(torch.rand(1, 3, 5, 5), torch.zeros(1, 1, 5, 5))
    >>> features.abs().max().item(), mask.max().item()
    (0.0, 0.0)
    """

    def forward(self, x: Parts, mask: Parts) -> tuple[Tensor, Tensor]:
        """Convolve the known pixels and shrink the hole.

        Parameters
        ----------
        x : Tensor of shape (N, C, H, W) or (C, H, W), or a sequence of such
            Features; what they hold in the hole is ignored, even NaN.  A sequence stands for its
            concatenation along the channels (a skip connection), each part with a mask of its own.
        mask : Tensor of shape (N, 1, H, W) or (N, C, H, W), or a sequence of such
            Of any type: 0 in the hole, known where it is not 0; one for each part of `x`, without
            N where `x` is.  N may be 1, for one mask that goes with the whole batch.

        Returns
        -------
        y : Tensor of shape (N, out_channels, H', W')
            0 wherever the window holds no known entry; without N where `x` is.
        new_mask : Tensor of shape (N, 1, H', W'), of the type of `y`
            1 = known, 0 = hole; carries no gradient.  With groups its shape is that of `y`, since
            each group knows windows of its own, unless `mask` is one tensor of one channel.
        """
        features, masks = _as_parts(x), _as_parts(mask)
        _check_parts(features, masks, self.in_channels)
        if features[0].dim() == 3:
            y, new_mask = self.forward([f[None] for f in features], [m[None] for m in masks])
            return y[0], new_mask[0]
        pairs = [
            (f, m.expand(f.shape[0], -1, -1, -1) != 0) for f, m in zip(features, masks, strict=True)
        ]
        # Not a product: 0 times NaN is NaN, forwards and backwards.
        features = [torch.where(m, f, 0) for f, m in pairs]
        return self.convolve(features, [m.to(f.dtype) for f, m in pairs])

    def convolve(self, known: Sequence[Tensor], masks: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """As `forward`, for features that are 0 in their holes already; nothing is checked.

        A network that empties the hole once where features are made need not do it again at each
        of the layers that read them.
        """
        ratio, new_mask = self._rescaling([f.shape[1] for f in known], masks)
        return self._shifted(_rescaled(_convolve(self, known, bias=None), ratio), new_mask)

    def _shifted(self, y: Tensor, new_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Add the bias, in place, where the new mask says known."""
        new_mask = new_mask.to(y.dtype)
        if self.bias is not None:
            y = y.addcmul_(self.bias.to(y.dtype).view(1, -1, 1, 1), new_mask)
        return y, new_mask

    @torch.no_grad()
    def _rescaling(self, channels: list[int], masks: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return sum(1)/sum(M), 0 where sum(M) is 0, and the new mask.

        Both are of shape (N, 1, H', W'), or (N, out_channels, H', W') where groups may differ.  A
        one-channel mask stands for all `channels` of its part: weighed, never expanded.
        """
        by_group = self.groups > 1 and (len(masks) > 1 or masks[0].shape[1] > 1)
        if all(all_known(m) for m in masks):
            # One channel says it all.
            window, known = self._count([1], [masks[0][:, :1]])
        elif by_group:
            masks = [m.expand(-1, c, -1, -1) for c, m in zip(channels, masks, strict=True)]
            window, known = self._count(channels, masks, self.groups)
        else:
            window, known = self._count(channels, masks)
        # Sums of ones are whole numbers; 0.5 also forgives the rounding of a fast convolution.
        new_mask = (known > 0.5).to(known.dtype)
        ratio = window / known.clamp_(min=1) * new_mask
        if by_group:
            repeats = self.out_channels // ratio.shape[1]
            ratio, new_mask = (t.repeat_interleave(repeats, dim=1) for t in (ratio, new_mask))
        return ratio, new_mask

    def _count(
        self, channels: list[int], masks: Sequence[Tensor], groups: int = 1
    ) -> tuple[int, Tensor]:
        """Return sum(1), a number, and sum(M) of shape (N, groups, H', W')."""
        counts = [m.shape[1] for m in masks]
        weights = [c / n for c, n in zip(channels, counts, strict=True) for _ in range(n)]
        mask = masks[0] if len(masks) == 1 else torch.cat(list(masks), dim=1)
        # Counts reach kernel area x channels, beyond the integers that half precision holds.
        mask = mask.to(torch.promote_types(mask.dtype, torch.float32))
        kernel = mask.new_tensor(weights).view(groups, -1, 1, 1).expand(-1, -1, *self.kernel_size)
        padding = self.padding
        if self.padding_mode != "zeros":  # as the features are
            mask = F.pad(mask, self._reversed_padding_repeated_twice, mode=self.padding_mode)
            padding = 0
        device = mask.device.type  # "meta" knows no autocast
        apart = nullcontext() if device == "meta" else torch.autocast(device, enabled=False)
        with apart:
            known = F.conv2d(mask, kernel, None, self.stride, padding, self.dilation, groups)
        return sum(channels) // groups * self.kernel_size[0] * self.kernel_size[1], known

    @staticmethod
    def empty_hole(x: Tensor, mask: Tensor) -> Tensor:
        """Set features to 0 in the hole, in place: batch norm leaves its shift there."""
        return x if all_known(mask) else x.mul_(mask)


class PartwiseConv2d(PartialConv2d):
    """A partial convolution that rescales each part of a concatenation by its own sum(1)/sum(M).

    With the parts p of a window, each with features X_p, mask M_p and its share W_p of the
    weights, and sums over p::

        x' = sum W_p^T (X_p * M_p) * sum(1_p) / sum(M_p) + b    if any sum(M_p) > 0, else 0
        m' = 1                                                  if any sum(M_p) > 0, else 0

    A part of which a window holds no known entry adds nothing to it.

    This is not eq. 1, which divides by one sum over all channels: in the last layer of a U-Net the
    decoder's channels are many and all known, so a window that lacks most of its image is hardly
    rescaled there.  Several parts go with one group only.
    """

    def convolve(self, known: Sequence[Tensor], masks: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """As `PartialConv2d.convolve`, part by part."""
        if self.groups > 1 and len(known) > 1:
            raise ValueError(f"groups is {self.groups}; it should be 1 for several parts")
        y = new_mask = None
        for part, mask, weight in zip(known, masks, _split(self.weight, known), strict=True):
            ratio, found = self._rescaling([part.shape[1]], [mask])
            term = _rescaled(self._conv_forward(part, weight, None), ratio)
            y = term if y is None else y.add_(term)
            new_mask = found if new_mask is None else torch.maximum(new_mask, found)
        return self._shifted(y, new_mask)


class MergedMaskConv2d(PartialConv2d):
    """A partial convolution that merges the masks of a concatenation by OR.

    With the parts p of a window, each with features X_p and mask M_p, its one mask is
    M = max over p of M_p, for all channels of all parts; eq. 1 and 2 then hold with X the
    concatenation of the X_p * M_p.

    This is not eq. 1, in which each channel has a mask of its own: the zeros that a part has in its
    hole count as known wherever another part is known.
    """

    def convolve(self, known: Sequence[Tensor], masks: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """As `PartialConv2d.convolve`, with one mask (N, 1, H, W) for all parts."""
        if len(masks) > 1:
            merged = torch.cat(list(masks), dim=1).amax(1, keepdim=True)
            masks = [merged] * len(masks)
        return super().convolve(known, masks)


class UnscaledPartialConv2d(PartialConv2d):
    """1/sum(M) without sum(1), as version 1 of the paper has it; P-Conv's layer."""

    def _rescaling(self, channels, masks) -> tuple[Tensor, Tensor]:
        ratio, new_mask = super()._rescaling(channels, masks)
        window = self.in_channels * self.kernel_size[0] * self.kernel_size[1]
        return ratio / window, new_mask


class PlainConv2d(nn.Conv2d):
    """An ordinary convolution that is called as `PartialConv2d` is and passes the mask by.

    It makes the paper's baseline "Conv" the same network with the one operation exchanged.
    """

    def forward(self, x: Parts, mask: Parts) -> tuple[Tensor, Tensor]:
        """Convolve `x`, parts concatenated; return it with the first mask, untouched."""
        return self.convolve(_as_parts(x), _as_parts(mask))

    def convolve(self, features: Sequence[Tensor], masks: Sequence[Tensor]) -> tuple:
        """As `forward`, for sequences."""
        return _convolve(self, features, self.bias), masks[0]

    @staticmethod
    def empty_hole(x: Tensor, mask: Tensor) -> Tensor:
        """Leave the hole as it is."""
        return x


def _convolve(layer: nn.Conv2d, parts: Sequence[Tensor], bias: Tensor | None) -> Tensor:
    """Convolve the concatenation of parts without making it: the sum of a convolution each.

    The copies that concatenating takes, forwards and backwards, cost more than adding the results.
    """
    if layer.groups > 1:
        # A group may reach over parts.
        parts = [torch.cat(list(parts), dim=1)]
    weights = _split(layer.weight, parts)
    y = layer._conv_forward(parts[0], weights[0], bias)
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        y = y.add_(layer._conv_forward(part, weight, None))
    return y


def _rescaled(y: Tensor, ratio: Tensor) -> Tensor:
    """The result of a convolution times sum(1)/sum(M)."""
    if y.dtype == torch.float16:
        # The ratio of a wide layer is beyond the largest such number, 65,504; their product is not.
        return (y.float() * ratio).half()
    # In place: the gradient of the convolution needs its input and weight, not its result.
    return y.mul_(ratio.to(y.dtype))


def _split(weight: Tensor, parts: Sequence[Tensor]) -> Sequence[Tensor]:
    """The share of the weights that belongs to each part."""
    if len(parts) == 1:
        return [weight]
    return weight.split([part.shape[1] for part in parts], dim=1)


def all_known(mask: Tensor) -> bool:
    """Whether a mask is seen to be all ones, so that work on it can be left out."""
    return seen(mask, lambda values: (values != 0).all())


def seen(x: Tensor, condition: Callable[[Tensor], Tensor]) -> bool:
    """Whether a condition on the values of a tensor is seen to hold.

    The look costs nothing on the CPU.  A GPU would have to be waited for, compiled code does the
    work within other loops, and a trace must not depend on what its example holds: there the
    answer is always False.
    """
    if x.device.type != "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    try:
        return bool(condition(x))
    except RuntimeError:
        # Under vmap there are many answers, and some tracers follow tensors without values.
        return False


def _as_parts(x: Parts) -> list[Tensor]:
    return [x] if isinstance(x, Tensor) else list(x)


def _check_parts(features: list[Tensor], masks: list[Tensor], in_channels: int) -> None:
    if len(features) != len(masks):
        raise ValueError(f"{len(features)} parts of features come with {len(masks)} masks")
    for f in features:
        if f.dim() not in (3, 4) or f.dim() != features[0].dim():
            found = f"features have shape {tuple(f.shape)}"
            raise ValueError(f"{found}; all should be (N, C, H, W), or (C, H, W)")
    channels = sum(f.shape[-3] for f in features)
    if channels != in_channels:
        raise ValueError(f"features have {channels} channels, the layer takes {in_channels}")
    for f, m in zip(features, masks, strict=True):
        *lead, height, width = f.shape
        # A 1 may stand for batch or channels.
        if tuple(m.shape) not in product(*((size, 1) for size in lead), [height], [width]):
            allowed = [(*lead[:-1], c, height, width) for c in (1, lead[-1])]
            raise ValueError(
                f"mask has shape {tuple(m.shape)}, features have {tuple(f.shape)}; "
                f"the mask should be {allowed[0]} or {allowed[1]}"
            )
