"""A network whose batch norms keep their statistics, arranged so that it trains fast.

With frozen statistics a batch norm is a fixed scale and shift of each channel, so it can be applied
to the weights of the convolution before it instead of to every picture:

    gain * (conv(x; w) - mean) / sqrt(var + eps) + bias
        = conv(x; w * scale) + (bias - mean * scale),    scale = gain / sqrt(var + eps)

Weights, gain and bias learn as before, because the product is part of the graph. The arranged
network shares its parameters with the one it was made from: training one trains both, and the first
is still what is saved and exported.
"""

import copy
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WINDOW = 3  # side of the largest depthwise kernel that has a fast weight gradient in bf16


def with_norms_in_weights(network: nn.Module, example: Tensor) -> nn.Module:
    """Return the same network with its batch norms applied to weights, sharing its parameters.

    Args:
        network: any, in evaluation mode; batch norms that follow no convolution are left as they
            are, and so are all where what a convolution gives is used in other ways too.
        example: an input, which shows what follows what.
    """
    pairs = _pairs(network, example)
    twin = sharing_copy(network)
    for conv, norm in pairs:
        fused = FrozenNormConv(
            cast(nn.Conv2d, twin.get_submodule(conv)),
            cast(nn.BatchNorm2d, twin.get_submodule(norm)),
        )
        twin.set_submodule(norm, _what_follows(fused.norm))
        twin.set_submodule(conv, fused)
    with torch.no_grad():
        expected, found = network(example), twin(example)
    if agree(expected, found):
        return twin
    return sharing_copy(network)


def agree(expected: Tensor, found: Tensor, tolerance: float = 1e-3) -> bool:
    """Say whether outputs differ by no more than rounding does, relative to the largest."""
    if expected.shape != found.shape:
        return False
    scale = expected.abs().max().clamp(min=1e-12)
    return bool((expected - found).abs().max() <= tolerance * scale)


def sharing_copy(network: nn.Module) -> nn.Module:
    """Return a copy of the modules that has the same parameters and buffers."""
    shared: dict[int, Any] = {id(tensor): tensor for tensor in network.parameters()}
    shared.update({id(tensor): tensor for tensor in network.buffers()})
    return copy.deepcopy(network, shared)


def hold_statistics(network: nn.Module) -> None:
    """Put every layer with running statistics into evaluation mode; they no longer change."""
    for module in network.modules():
        if isinstance(getattr(module, "running_mean", None), Tensor):
            module.eval()


def _pairs(network: nn.Module, example: Tensor) -> list[tuple[str, str]]:
    """Return the names of each convolution and the batch norm that alone is fed by it."""
    made_by: dict[int, str] = {}
    kept: list[Tensor] = []  # so that no address is used twice
    pairs: dict[str, list[str]] = {}

    def note(name: str, module: nn.Module, inputs: Tensor, output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            made_by[id(output)] = name
            kept.append(output)
        elif id(inputs) in made_by:
            pairs.setdefault(made_by[id(inputs)], []).append(name)

    def hook(name: str) -> Any:
        return lambda module, inputs, output: note(name, module, inputs[0], output)

    kinds = (nn.Conv2d, nn.BatchNorm2d)
    handles = [
        module.register_forward_hook(hook(name))
        for name, module in network.named_modules()
        if isinstance(module, kinds)
    ]
    try:
        with torch.no_grad():
            network(example)
    finally:
        for handle in handles:
            handle.remove()
    return [(conv, norms[0]) for conv, norms in pairs.items() if len(norms) == 1]


def _what_follows(norm: nn.BatchNorm2d) -> nn.Module:
    """Return what a batch norm does besides: timm's have an activation in them."""
    parts = [getattr(norm, name, None) for name in ("drop", "act")]
    following = [part for part in parts if part is not None and type(part) is not nn.Identity]
    return nn.Sequential(*following)


class FrozenNormConv(nn.Module):
    """A convolution and the batch norm after it, as one convolution.

    Attributes:
        conv: the convolution.
        norm: the batch norm; what else its class does is left to the caller.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv = conv
        self.norm = norm

    def forward(self, pictures: Tensor) -> Tensor:
        """Return (n, c_out, h, w) in autocast's precision where that is on."""
        weight, bias = self.effective()
        conv = self.conv
        device = pictures.device.type
        if torch.is_autocast_enabled(device):
            precision = torch.get_autocast_dtype(device)
            pictures, weight, bias = (part.to(precision) for part in (pictures, weight, bias))
        padding = conv.padding
        if not isinstance(padding, tuple):
            padding = (0, 0)
        pictures = _padded_before(conv, pictures)
        depthwise = conv.groups == conv.in_channels == conv.out_channels > 1
        inside = all(p < k for p, k in zip(padding, conv.kernel_size, strict=True))
        plain = conv.dilation == (1, 1) and conv.stride[0] == conv.stride[1] and inside
        slow = pictures.dtype == torch.bfloat16 and device == "cpu" and torch.is_grad_enabled()
        if depthwise and plain and slow:
            return cast(
                Tensor, DepthwiseConv.apply(pictures, weight, bias, conv.stride[0], padding)
            )
        return F.conv2d(pictures, weight, bias, conv.stride, padding, conv.dilation, conv.groups)

    def effective(self) -> tuple[Tensor, Tensor]:
        """Return the weight and bias of the one convolution that does the work of both."""
        norm = self.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = torch.rsqrt(norm.running_var + norm.eps)
        if norm.weight is not None:
            scale = scale * norm.weight
        mean = norm.running_mean
        if self.conv.bias is not None:
            mean = mean - self.conv.bias
        bias = -mean * scale
        if norm.bias is not None:
            bias = bias + norm.bias
        return self.conv.weight * scale.view(-1, 1, 1, 1), bias


def _padded_before(conv: nn.Conv2d, pictures: Tensor) -> Tensor:
    """Pad as TensorFlow's "same" does, for timm's convolutions that pad by themselves."""
    if type(conv).__name__ == "Conv2dSame":  # so networks of our own need no timm, slow to import
        from timm.layers.padding import pad_same

        kernel, stride, dilation = map(list, (conv.kernel_size, conv.stride, conv.dilation))
        return cast(Tensor, pad_same(pictures, kernel, stride, dilation))
    if conv.padding == "same":
        sides = [d * (k - 1) for d, k in zip(conv.dilation, conv.kernel_size, strict=True)]
        left, top = sides[1] // 2, sides[0] // 2
        return F.pad(pictures, (left, sides[1] - left, top, sides[0] - top))
    return pictures


class DepthwiseConv(torch.autograd.Function):
    """A depthwise convolution in bf16 on a processor, with a faster way back.

    Of oneDNN's kernels two are missing in bf16, and what stands in for them takes 20 to 100 times
    as long as the others: the gradient of the input where the stride is over 1, and that of the
    weight where the kernel is over 3 x 3. Both are put together from kernels that are there:

    - the gradient of the input is a convolution of stride 1 over the output's gradient with zeros
      between its values, with the kernel turned round (Dumoulin and Visin 2016, section 4);
    - a large kernel's gradient is that of windows of at most 3 x 3 of it, each over the input
      shifted by the window's place.
    """

    @staticmethod
    def forward(
        ctx: Any, pictures: Tensor, weight: Tensor, bias: Tensor, stride: int,
        padding: tuple[int, int],
    ) -> Tensor:  # fmt: skip
        """Return (n, c, h', w')."""
        ctx.save_for_backward(pictures, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(pictures, weight, bias, stride, padding, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        """Return the gradients of pictures, weight and bias."""
        pictures, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        of_input = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_input = _input_gradient(gradient, pictures, weight, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            of_weight = _weight_gradient(gradient, pictures, weight, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3), dtype=torch.float32).to(gradient.dtype)
        return of_input, of_weight, of_bias, None, None


def _input_gradient(
    gradient: Tensor, pictures: Tensor, weight: Tensor, stride: int, padding: tuple[int, int]
) -> Tensor:
    if stride == 1:
        return _backward(gradient, pictures, weight, 1, padding)[0]
    count, channels, height, width = pictures.shape
    kernel = weight.shape[2:]
    spread = gradient.new_zeros(
        (
            count,
            height + 2 * padding[0] - kernel[0] + 1,
            width + 2 * padding[1] - kernel[1] + 1,
            channels,
        )
    ).permute(0, 3, 1, 2)  # channels last
    spread[:, :, ::stride, ::stride] = gradient
    around = (kernel[0] - 1 - padding[0], kernel[1] - 1 - padding[1])
    return F.conv2d(spread, weight.flip(2, 3), None, 1, around, 1, channels)


def _weight_gradient(
    gradient: Tensor, pictures: Tensor, weight: Tensor, stride: int, padding: tuple[int, int]
) -> Tensor:
    kernel = weight.shape[2:]
    if max(kernel) <= WINDOW:
        return _backward(gradient, pictures, weight, stride, padding, of_weight=True)[1]
    padded = F.pad(pictures, (padding[1], padding[1], padding[0], padding[0]))
    result = torch.empty_like(weight)
    across = [(count - 1) * stride for count in gradient.shape[2:]]
    for top in _window_starts(kernel[0]):
        for left in _window_starts(kernel[1]):
            part = weight[:, :, top : top + WINDOW, left : left + WINDOW]
            bottom, right = top + across[0] + part.shape[2], left + across[1] + part.shape[3]
            seen = padded[:, :, top:bottom, left:right]
            seen = seen.contiguous(memory_format=torch.channels_last)
            found = _backward(gradient, seen, part, stride, (0, 0), of_weight=True)[1]
            result[:, :, top : top + WINDOW, left : left + WINDOW] = found
    return result


def _window_starts(side: int) -> list[int]:
    """Return where windows begin that cover a side; the last one ends with it."""
    if side <= WINDOW:
        return [0]
    return [*range(0, side - WINDOW, WINDOW), side - WINDOW]


def _backward(
    gradient: Tensor, pictures: Tensor, weight: Tensor, stride: int, padding: tuple[int, int],
    of_weight: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    wanted = [not of_weight, of_weight, False]
    found = torch.ops.aten.convolution_backward(
        gradient, pictures, weight, None, [stride] * 2, padding, [1, 1], False, [0, 0],
        len(weight), wanted,
    )  # fmt: skip
    return cast(tuple[Tensor, Tensor], found[:2])
