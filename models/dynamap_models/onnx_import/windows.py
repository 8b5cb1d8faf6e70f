"""Sliding windows of ONNX: kernel, strides, dilations and pads of a node, resolved to numbers on any number of axes."""

from __future__ import annotations

from dataclasses import dataclass

from dynamap_models.errors import ModelError
from dynamap_models.geometry import same_pads, window_output

from .constants import Shape
from .values import Site

__all__ = ["Window", "resolve_transposed_window", "resolve_window"]


@dataclass(frozen=True)
class Window:
    """A window over the spatial axes, one entry per axis.

    Attributes:
        kernel: extents.
        strides: steps.
        dilations: distance of neighbouring elements.
        begins: pads before the first element, as the file means them (``auto_pad`` resolved).
        ends: pads behind the last element.
        ceil_extra: how far a last window of a ceiling mode reaches beyond ``ends``.
        output: output extents.
    """

    kernel: Shape
    strides: Shape
    dilations: Shape
    begins: Shape
    ends: Shape
    ceil_extra: Shape
    output: Shape

    @property
    def is_dilated(self) -> bool:
        """Whether any axis is dilated."""
        return any(step != 1 for step in self.dilations)


def _lists(site: Site, axes: int, kernel: Shape | None) -> tuple[Shape, Shape, Shape, Shape, Shape]:
    """Kernel, strides, dilations, begins and ends as the attributes give them."""
    node = site.node
    stated = node.integers("kernel_shape")
    if kernel is None:
        if stated is None:
            raise site.fail("lacks the attribute 'kernel_shape', which it must have")
        kernel = stated
    elif stated is not None and stated != kernel:
        raise site.fail(f"states kernel_shape {stated}, but its weight has kernel {kernel}")
    ones = (1,) * axes
    strides = node.integers("strides") or ones
    dilations = node.integers("dilations") or ones
    pads = node.integers("pads") or (0,) * (2 * axes)
    for name, listed, length in (
        ("kernel_shape", kernel, axes),
        ("strides", strides, axes),
        ("dilations", dilations, axes),
        ("pads", pads, 2 * axes),
    ):
        if len(listed) != length:
            raise site.fail(f"has {len(listed)} {name} {listed}, but its input needs {length}")
    if min((*kernel, *strides, *dilations), default=1) < 1:
        raise site.fail(f"has kernel {kernel}, strides {strides} and dilations {dilations}; all must be positive")
    if min(pads, default=0) < 0:
        raise site.fail(f"has the negative pads {pads}; use a Slice node to crop")
    return kernel, strides, dilations, pads[:axes], pads[axes:]


def _auto_pad(site: Site) -> str:
    mode = site.node.string("auto_pad", "NOTSET")
    if mode not in {"NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"}:
        raise site.fail(f"has auto_pad {mode!r}; it must be NOTSET, VALID, SAME_UPPER or SAME_LOWER")
    return mode


def resolve_window(site: Site, size: Shape, kernel: Shape | None = None) -> Window:
    """The window a convolution or pooling node slides over an input of spatial extents ``size``.

    ``kernel`` is that of the weight, where there is one; pooling states its own.

    Raises:
        ModelError: for missing, ill-sized or impossible attributes, or a window that does not fit.
    """
    kernel, strides, dilations, begins, ends = _lists(site, len(size), kernel)
    mode = _auto_pad(site)
    ceil = site.node.flag("ceil_mode", default=False)
    extents = zip(size, kernel, strides, dilations, strict=True)
    if mode.startswith("SAME"):
        upper = mode == "SAME_UPPER"
        pairs = [same_pads(n, k, stride=s, dilation=d, upper=upper) for n, k, s, d in extents]
        begins, ends = tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)
    elif mode == "VALID":
        begins = ends = (0,) * len(size)
    output: list[int] = []
    extra: list[int] = []
    for n, k, s, d, begin, end in zip(size, kernel, strides, dilations, begins, ends, strict=True):
        try:
            out = window_output(n, k, stride=s, pads=(begin, end), dilation=d, ceil=ceil)
        except ModelError as error:
            raise site.fail(f"does not fit its input: {error}") from None
        output.append(out)
        extra.append(max(0, (out - 1) * s + d * (k - 1) + 1 - (n + begin + end)))
    return Window(
        kernel=kernel,
        strides=strides,
        dilations=dilations,
        begins=begins,
        ends=ends,
        ceil_extra=tuple(extra),
        output=tuple(output),
    )


def resolve_transposed_window(site: Site, size: Shape, kernel: Shape) -> Window:
    """The window of a ``ConvTranspose`` node; ``ends`` have the output padding taken off, and may so be negative.

    Raises:
        ModelError: for ill-sized or impossible attributes.
    """
    axes = len(size)
    kernel, strides, dilations, begins, ends = _lists(site, axes, kernel)
    mode = _auto_pad(site)
    extra = site.node.integers("output_padding") or (0,) * axes
    wanted = site.node.integers("output_shape")
    if len(extra) != axes or min(extra, default=0) < 0:
        raise site.fail(f"has output_padding {extra}, but needs {axes} numbers that are not negative")
    full = tuple((n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(size, strides, dilations, kernel, strict=True))
    if wanted is not None:
        # Some exporters list batch and channels as well.
        wanted = wanted[-axes:]
        if len(wanted) != axes:
            raise site.fail(f"has output_shape {wanted}, but its input needs {axes} extents")
    elif mode.startswith("SAME"):
        wanted = tuple(n * s for n, s in zip(size, strides, strict=True))
    if wanted is not None:
        totals = tuple(max(0, f + e - w) for f, e, w in zip(full, extra, wanted, strict=True))
        smaller, larger = tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
        begins, ends = (smaller, larger) if mode == "SAME_UPPER" else (larger, smaller)
    elif mode == "VALID":
        begins = ends = (0,) * axes
    ends = tuple(end - e for end, e in zip(ends, extra, strict=True))
    output = tuple(f - begin - end for f, begin, end in zip(full, begins, ends, strict=True))
    if wanted is not None and output != wanted:
        # ONNX and ONNX Runtime disagree on what lies beyond the last window.
        raise site.fail(f"asks for the output {wanted}, but its windows cover {full}; state output_padding instead")
    if min(output, default=1) < 1:
        raise site.fail(f"crops its output to {output}; pads are too large")
    return Window(
        kernel=kernel,
        strides=strides,
        dilations=dilations,
        begins=begins,
        ends=ends,
        ceil_extra=(0,) * axes,
        output=output,
    )
