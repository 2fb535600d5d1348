"""The partial convolution (eq. 1 and 2) and its plain twin."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["PartialConv2d", "PartwiseConv2d", "PlainConv2d"]

Parts = Tensor | Sequence[Tensor]


class PartialConv2d(nn.Conv2d):
    """2-D convolution over the known pixels of each window, a drop-in for `torch.nn.Conv2d`.

    With weights W, bias b, features X and mask M of one window (eq. 1 and 2)::

        x' = W^T (X * M) * sum(1) / sum(M) + b    if sum(M) > 0, else 0
        m' = 1                                    if sum(M) > 0, else 0

    sum(1) is the number of entries of the window, kernel area times input channels; sum(M)
    counts those that are known, over all channels.  Zero padding counts as hole, so windows that
    hang over the border are rescaled as well.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, bias
        As for `torch.nn.Conv2d`; `padding` is a number or a pair.

    Examples
    --------
    >>> layer = PartialConv2d(3, 8, kernel_size=3, padding=1)
    >>> features, mask = layer(torch.rand(1, 3, 5, 5), torch.zeros(1, 1, 5, 5))
    >>> features.abs().max().item(), mask.max().item()
    (0.0, 0.0)
    """

    def __init__(
        self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, bias=True
    ):
        if isinstance(padding, str):
            raise ValueError(f"padding is {padding!r}; a number or a pair of numbers is needed")
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, bias=bias
        )

    def forward(self, x: Parts, mask: Parts) -> tuple[Tensor, Tensor]:
        """Convolve the known pixels and shrink the hole.

        Parameters
        ----------
        x : Tensor of shape (N, C, H, W), or a sequence of such
            Features.  A sequence stands for its concatenation along the channels (a skip
            connection), each part with a mask of its own.
        mask : Tensor of shape (N, 1, H, W) or (N, C, H, W), or a sequence of such
            1 where known, 0 in the hole; one for each part of `x`.  The values are trusted.

        Returns
        -------
        y : Tensor of shape (N, out_channels, H', W')
            0 wherever the window holds no known entry.
        new_mask : Tensor of shape (N, 1, H', W')
            Carries no gradient.

        Raises
        ------
        ValueError
            If the shapes of features and masks do not belong together.
        """
        features, masks = _as_parts(x), _as_parts(mask)
        _check_parts(features, masks, self.in_channels)
        known = [f * m.to(f.dtype) for f, m in zip(features, masks, strict=True)]
        return self.convolve(known, masks)

    def convolve(self, known: Sequence[Tensor], masks: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """As `forward`, for features that are 0 in their holes already; nothing is checked.

        A network that empties the hole once where features are made need not do it again at each
        of the layers that read them.
        """
        ratio, new_mask = self._rescaling([f.shape[1] for f in known], masks)
        # In place: the gradient of the convolution needs its input and weight, not its result.
        y = _convolve(self, known, bias=None)
        return self._shifted(y.mul_(ratio.to(y.dtype)), new_mask)

    def _shifted(self, y: Tensor, new_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Add the bias, in place, where the new mask says known."""
        new_mask = new_mask.to(y.dtype)
        if self.bias is not None:
            y = y.addcmul_(self.bias.to(y.dtype).view(1, -1, 1, 1), new_mask)
        return y, new_mask

    @torch.no_grad()
    def _rescaling(self, channels: list[int], masks: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return sum(1)/sum(M), 0 where sum(M) is 0, and the new mask; both (N, 1, H', W').

        A one-channel mask stands for all `channels` of its part: weighed, never expanded.
        """
        if all(all_known(m) for m in masks):
            # One channel says it all.
            channels, masks = [1], [masks[0][:, :1]]
        groups = masks[0] if len(masks) == 1 else torch.cat(list(masks), dim=1)
        weights = [
            c / m.shape[1] for c, m in zip(channels, masks, strict=True) for _ in range(m.shape[1])
        ]
        # Counts reach kernel area x channels, beyond the integers that half precision holds.
        groups = groups.to(torch.promote_types(groups.dtype, torch.float32))
        kernel = groups.new_tensor(weights).view(1, -1, 1, 1).expand(1, -1, *self.kernel_size)
        with torch.autocast(groups.device.type, enabled=False):
            known = F.conv2d(groups, kernel, None, self.stride, self.padding, self.dilation)
        # Sums of ones are whole numbers; 0.5 also forgives the rounding of a fast convolution.
        new_mask = (known > 0.5).to(known.dtype)
        window = sum(channels) * self.kernel_size[0] * self.kernel_size[1]
        return window / known.clamp_(min=1) * new_mask, new_mask

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

    This is not eq. 1, which divides by one sum over all channels.  There, in the last layer of a
    U-Net, the decoder's channels are many and all known, so a window that lacks most of its pixels
    of the image is hardly rescaled, and the image's part fades towards the edge of a hole.  Called
    with one part the two are the same.  Parameters and shapes as `PartialConv2d`.
    """

    def convolve(self, known: Sequence[Tensor], masks: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """As `PartialConv2d.convolve`, part by part."""
        y = new_mask = None
        for part, mask, weight in zip(known, masks, _split(self.weight, known), strict=True):
            ratio, found = self._rescaling([part.shape[1]], [mask])
            term = F.conv2d(part, weight, None, self.stride, self.padding, self.dilation)
            term = term.mul_(ratio.to(term.dtype))
            y = term if y is None else y.add_(term)
            new_mask = found if new_mask is None else torch.maximum(new_mask, found)
        return self._shifted(y, new_mask)


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
    geometry = (layer.stride, layer.padding, layer.dilation)
    weights = _split(layer.weight, parts)
    y = F.conv2d(parts[0], weights[0], bias, *geometry)
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        y = y.add_(F.conv2d(part, weight, None, *geometry))
    return y


def _split(weight: Tensor, parts: Sequence[Tensor]) -> Sequence[Tensor]:
    """The share of the weights that belongs to each part."""
    return weight.split([part.shape[1] for part in parts], dim=1)


def all_known(mask: Tensor) -> bool:
    """Whether a mask is seen to be all ones, so that work on it can be left out.

    The look costs nothing on the CPU.  A GPU would have to be waited for, and compiled code does
    the work within other loops: there the answer is always False.
    """
    if mask.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    return bool((mask != 0).all())


def _as_parts(x: Parts) -> list[Tensor]:
    return [x] if isinstance(x, Tensor) else list(x)


def _check_parts(features: list[Tensor], masks: list[Tensor], in_channels: int) -> None:
    if len(features) != len(masks):
        raise ValueError(f"{len(features)} parts of features come with {len(masks)} masks")
    channels = sum(f.shape[1] for f in features)
    if channels != in_channels:
        raise ValueError(f"features have {channels} channels, the layer takes {in_channels}")
    for f, m in zip(features, masks, strict=True):
        allowed = [(f.shape[0], c, *f.shape[2:]) for c in (1, f.shape[1])]
        if tuple(m.shape) not in allowed:
            raise ValueError(
                f"mask has shape {tuple(m.shape)}, features have {tuple(f.shape)}; "
                f"the mask should be {allowed[0]} or {allowed[1]}"
            )
