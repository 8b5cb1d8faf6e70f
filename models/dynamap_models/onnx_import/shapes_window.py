"""Shape functions of operators that slide windows, and of matrix products."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from .constants import Shape
from .values import Site
from .windows import resolve_transposed_window, resolve_window

__all__ = ["WINDOW"]


def spatial(site: Site) -> tuple[Shape, Shape]:
    """Batch and channels of the first input, and its spatial extents."""
    shape = site.shape(0)
    if len(shape) < 3:
        raise site.fail(f"needs an input (batch, channels, height, width), not one of shape {shape}")
    return shape[:2], shape[2:]


def _check_weight(site: Site, in_channels: int, axes: int) -> Shape:
    weight = site.shape(1)
    if len(weight) != axes + 2:
        raise site.fail(
            f"has a weight of shape {weight}, but its input has {axes} spatial axes, so it needs {axes + 2}"
        )
    groups = site.node.integer("group", 1)
    if groups < 1:
        raise site.fail(f"has group {groups}; it must be positive")
    if in_channels % groups:
        raise site.fail(f"splits {in_channels} input channels into {groups} groups, which does not come out even")
    return weight


def _check_bias(site: Site, channels: int) -> None:
    bias = site.optional(2)
    if bias is not None and bias.shape != (channels,):
        raise site.fail(f"has a bias of shape {bias.shape}, but {channels} output channels")


def _conv(site: Site) -> Sequence[Shape]:
    (batch, channels), size = spatial(site)
    weight = _check_weight(site, channels, len(size))
    groups = site.node.integer("group", 1)
    if weight[1] * groups != channels:
        raise site.fail(
            f"has {channels} input channels, but its weight {weight} with {groups} groups expects {weight[1] * groups}"
        )
    if weight[0] % groups:
        raise site.fail(f"splits {weight[0]} output channels into {groups} groups, which does not come out even")
    _check_bias(site, weight[0])
    return [(batch, weight[0], *resolve_window(site, size, weight[2:]).output)]


def _conv_transpose(site: Site) -> Sequence[Shape]:
    (batch, channels), size = spatial(site)
    weight = _check_weight(site, channels, len(size))
    if weight[0] != channels:
        raise site.fail(f"has {channels} input channels, but its weight {weight} expects {weight[0]}")
    out_channels = weight[1] * site.node.integer("group", 1)
    _check_bias(site, out_channels)
    return [(batch, out_channels, *resolve_transposed_window(site, size, weight[2:]).output)]


def _pool(site: Site) -> Sequence[Shape]:
    kept, size = spatial(site)
    window = resolve_window(site, size)
    if any(pad >= extent for pad, extent in zip((*window.begins, *window.ends), window.kernel * 2, strict=True)):
        raise site.fail(f"pads by {(*window.begins, *window.ends)} a kernel of {window.kernel}; pads must be smaller")
    # Where strides exceed the kernel, SAME would crop: TensorFlow, where it is from, crops behind only, ONNX Runtime's
    # pools on both sides.
    spans = zip(size, window.output, window.strides, window.kernel, window.dilations, strict=True)
    if site.node.string("auto_pad", "NOTSET").startswith("SAME") and any(
        n - ((out - 1) * step + (extent - 1) * dilation + 1) > 1 for n, out, step, extent, dilation in spans
    ):
        raise site.fail("leaves out elements by auto_pad SAME, which implementations read differently; state its pads")
    shape = (*kept, *window.output)
    return [shape, shape] if site.node.op_type == "MaxPool" else [shape]


def _global_pool(site: Site) -> Sequence[Shape]:
    kept, size = spatial(site)
    return [(*kept, *(1 for _ in size))]


def _gemm(site: Site) -> Sequence[Shape]:
    a, b = site.shape(0), site.shape(1)
    if len(a) != 2 or len(b) != 2:
        raise site.fail(f"multiplies shapes {a} and {b}; both must be matrices")
    rows, inner = a[::-1] if site.node.flag("transA", default=False) else a
    inner_b, columns = b[::-1] if site.node.flag("transB", default=False) else b
    if inner != inner_b:
        raise site.fail(f"has {inner} input features, but its weight of shape {b} expects {inner_b}")
    bias = site.optional(2)
    if bias is not None:
        aligned = (1,) * (2 - len(bias.shape)) + bias.shape
        if len(aligned) != 2 or aligned[0] not in (1, rows) or aligned[1] not in (1, columns):
            raise site.fail(f"has a bias of shape {bias.shape}, but {columns} output features")
    return [(rows, columns)]


def _matmul(site: Site) -> Sequence[Shape]:
    a, b = site.shape(0), site.shape(1)
    if not a or not b:
        raise site.fail("multiplies a scalar; use Mul")
    rows, columns = a[:-1][-1:], b[-1:] if len(b) > 1 else ()
    inner_b = b[-2] if len(b) > 1 else b[0]
    if a[-1] != inner_b:
        raise site.fail(f"has {a[-1]} input features, but its weight of shape {b} expects {inner_b}")
    batch_a, batch_b = a[:-2], b[:-2]
    rank = max(len(batch_a), len(batch_b))
    batch: list[int] = []
    for x, y in zip((1,) * (rank - len(batch_a)) + batch_a, (1,) * (rank - len(batch_b)) + batch_b, strict=True):
        if x != y and 1 not in (x, y):
            raise site.fail(f"multiplies shapes {a} and {b}, whose leading axes do not broadcast")
        batch.append(y if x == 1 else x)
    return [(*batch, *rows, *columns)]


def _depth_to_space(site: Site) -> Sequence[Shape]:
    (batch, channels), size = spatial(site)
    block = site.node.integer("blocksize")
    if len(size) != 2 or block < 1 or channels % (block * block):
        raise site.fail(f"cannot move {channels} channels of {site.shape(0)} into blocks of {block}x{block}")
    return [(batch, channels // (block * block), size[0] * block, size[1] * block)]


def _space_to_depth(site: Site) -> Sequence[Shape]:
    (batch, channels), size = spatial(site)
    block = site.node.integer("blocksize")
    if len(size) != 2 or block < 1 or any(extent % block for extent in size):
        raise site.fail(f"cannot cut {site.shape(0)} into blocks of {block}x{block}")
    return [(batch, channels * block * block, size[0] // block, size[1] // block)]


def _upsampled(site: Site, scales: Sequence[float]) -> Sequence[Shape]:
    shape = site.shape(0)
    if len(scales) != len(shape):
        raise site.fail(f"has {len(scales)} scales for a tensor with {len(shape)} axes")
    if not all(math.isfinite(scale) and 0 < scale < 2**40 for scale in scales):
        raise site.fail(f"has scales {tuple(scales)}; all must be positive")
    return [tuple(math.floor(extent * scale) for extent, scale in zip(shape, scales, strict=True))]


def _upsample(site: Site) -> Sequence[Shape]:
    listed = site.node.reals("scales")
    if listed is None and site.optional(1) is None:
        raise site.fail("lacks its scales, which it must have")
    return _upsampled(site, listed if listed is not None else site.reals(1, "scales"))


def _resize(site: Site) -> Sequence[Shape]:
    shape = site.shape(0)
    if site.node.opset < 11:
        return _upsampled(site, site.reals(1, "scales"))
    axes = site.axes(site.node.integers("axes") or range(len(shape)), len(shape))
    scales_given, sizes_given = site.optional(2), site.optional(3)
    if sizes_given is not None and sizes_given.shape != (0,):
        sizes = site.integers(3, "sizes")
        if len(sizes) != len(axes):
            raise site.fail(f"has {len(sizes)} sizes for {len(axes)} axes")
        policy = site.node.string("keep_aspect_ratio_policy", "stretch")
        result = list(shape)
        if policy != "stretch":
            choose = min if policy == "not_larger" else max
            scale = choose((size / shape[axis] for axis, size in zip(axes, sizes, strict=True)), default=1.0)
            sizes = tuple(math.floor(scale * shape[axis] + 0.5) for axis in axes)
        for axis, size in zip(axes, sizes, strict=True):
            result[axis] = size
        return [tuple(result)]
    if scales_given is None or scales_given.shape == (0,):
        raise site.fail("lacks both scales and sizes, one of which it must have")
    scales = [1.0] * len(shape)
    listed = site.reals(2, "scales")
    if len(listed) != len(axes):
        raise site.fail(f"has {len(listed)} scales for {len(axes)} axes")
    for axis, value in zip(axes, listed, strict=True):
        scales[axis] = value
    return _upsampled(site, scales)


WINDOW: Mapping[str, Callable[[Site], Sequence[Shape]]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "LpPool": _pool,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "GlobalLpPool": _global_pool,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Upsample": _upsample,
    "Resize": _resize,
}
