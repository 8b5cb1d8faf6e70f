"""Shape functions of operators that move, select, repeat, reduce or invent elements."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from .constants import Shape
from .values import Site

__all__ = ["LAYOUT", "pad_amounts", "reduced_axes", "slice_ranges"]

# More steps than a Range over a shape could ever have; a hostile one would fill memory.
_LONGEST_RANGE = 2**20


def _reshape(site: Site) -> Sequence[Shape]:
    source = site.shape(0)
    wanted = site.optional_integers("shape", 1)
    if wanted is None:
        raise site.fail("lacks its new shape, which it must have")
    keep_zero = site.node.flag("allowzero", default=False)
    result: list[int] = []
    for axis, extent in enumerate(wanted):
        if extent == 0 and not keep_zero:
            if axis >= len(source):
                raise site.fail(f"copies axis {axis} of a tensor with {len(source)} axes")
            result.append(source[axis])
        elif extent < -1:
            raise site.fail(f"asks for the shape {wanted}; an extent must not be below -1")
        else:
            result.append(extent)
    if result.count(-1) > 1:
        raise site.fail(f"asks for the shape {wanted}; at most one extent may be -1")
    if -1 in result:
        known = math.prod(extent for extent in result if extent != -1)
        rest, remainder = divmod(math.prod(source), known) if known else (0, 1)
        if remainder:
            raise site.fail(f"cannot turn {source} into {wanted}: the number of elements does not come out even")
        result[result.index(-1)] = rest
    if math.prod(result) != math.prod(source):
        raise site.fail(
            f"turns {source} into {tuple(result)}, which has another number of elements"
            " (if the file was exported for another batch or size, give it the shape it was exported for)"
        )
    return [tuple(result)]


def _flatten(site: Site) -> Sequence[Shape]:
    shape = site.shape(0)
    axis = site.axis(site.node.integer("axis", 1), len(shape), end=True)
    return [(math.prod(shape[:axis]), math.prod(shape[axis:]))]


def _squeeze(site: Site) -> Sequence[Shape]:
    shape = site.shape(0)
    listed = site.optional_integers("axes", 1)
    axes = site.axes(listed, len(shape)) if listed is not None else tuple(i for i, n in enumerate(shape) if n == 1)
    if any(shape[axis] != 1 for axis in axes):
        raise site.fail(f"removes axes {axes} of shape {shape}, which are not all 1")
    return [tuple(extent for axis, extent in enumerate(shape) if axis not in axes)]


def _unsqueeze(site: Site) -> Sequence[Shape]:
    listed = site.optional_integers("axes", 1)
    if listed is None:
        raise site.fail("lacks its axes, which it must have")
    rank = len(site.shape(0)) + len(listed)
    axes = set(site.axes(listed, rank))
    rest = iter(site.shape(0))
    return [tuple(1 if axis in axes else next(rest) for axis in range(rank))]


def _transpose(site: Site) -> Sequence[Shape]:
    shape = site.shape(0)
    order = site.node.integers("perm")
    if order is None:
        return [shape[::-1]]
    if sorted(order) != list(range(len(shape))):
        raise site.fail(f"permutes axes {order} of a tensor with {len(shape)} axes; each must occur once")
    return [tuple(shape[axis] for axis in order)]


def _concat(site: Site) -> Sequence[Shape]:
    shapes = [value.shape for value in site.present()]
    first = shapes[0]
    default = 1 if site.node.opset < 4 else None
    axis = site.axis(site.node.integer("axis", default), len(first))
    for shape in shapes[1:]:
        if len(shape) != len(first) or any(
            n != m for i, (n, m) in enumerate(zip(shape, first, strict=True)) if i != axis
        ):
            raise site.fail(f"joins shapes {first} and {shape} along axis {axis}; all other extents must be equal")
    return [(*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])]


def _split(site: Site) -> Sequence[Shape]:
    shape = site.shape(0)
    axis = site.axis(site.node.integer("axis", 0), len(shape))
    count = len(site.node.outputs)
    sizes = site.optional_integers("split", 1)
    if sizes is None:
        part = -(-shape[axis] // count)
        sizes = (part,) * (count - 1) + (shape[axis] - part * (count - 1),)
    if len(sizes) != count or sum(sizes) != shape[axis] or min(sizes) < 0:
        raise site.fail(f"splits {shape[axis]} elements of axis {axis} into {count} parts of sizes {sizes}")
    return [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes]


def slice_ranges(site: Site) -> dict[int, range]:
    """For every axis a Slice node cuts, the indices it keeps."""
    shape = site.shape(0)
    starts = site.optional_integers("starts", 1)
    ends = site.optional_integers("ends", 2)
    if starts is None or ends is None:
        raise site.fail("lacks its starts or ends, which it must have")
    listed = site.optional_integers("axes", 3)
    axes = site.axes(listed if listed is not None else range(len(starts)), len(shape))
    steps = site.optional_integers("steps", 4) or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise site.fail(f"has starts {starts}, ends {ends}, axes {axes} and steps {steps}, which do not go together")
    return {
        axis: range(*slice(start, _open_end(end, step, shape[axis]), step).indices(shape[axis]))
        for axis, start, end, step in zip(axes, starts, ends, steps, strict=True)
    }


def _open_end(end: int, step: int, extent: int) -> int | None:
    # Walking backwards to before the first element is an end below -extent in ONNX and None in Python.
    return None if step < 0 and end < -extent else end


def _slice(site: Site) -> Sequence[Shape]:
    shape = list(site.shape(0))
    for axis, kept in slice_ranges(site).items():
        shape[axis] = len(kept)
    return [tuple(shape)]


def _gather(site: Site) -> Sequence[Shape]:
    shape = site.shape(0)
    axis = site.axis(site.node.integer("axis", 0), len(shape))
    return [(*shape[:axis], *site.shape(1), *shape[axis + 1 :])]


def _expand(site: Site) -> Sequence[Shape]:
    shape, wanted = site.shape(0), site.integers(1, "shape")
    rank = max(len(shape), len(wanted))
    a, b = (1,) * (rank - len(shape)) + shape, (1,) * (rank - len(wanted)) + wanted
    if any(n != m and 1 not in (n, m) for n, m in zip(a, b, strict=True)):
        raise site.fail(f"expands {shape} to {wanted}, which do not broadcast")
    return [tuple(m if n == 1 else n for n, m in zip(a, b, strict=True))]


def _tile(site: Site) -> Sequence[Shape]:
    shape, repeats = site.shape(0), site.integers(1, "repeats")
    if len(repeats) != len(shape) or min(repeats, default=0) < 0:
        raise site.fail(f"repeats {shape} by {repeats}; it needs one count per axis, none negative")
    return [tuple(n * count for n, count in zip(shape, repeats, strict=True))]


def pad_amounts(site: Site) -> tuple[Shape, Shape]:
    """Elements a Pad node adds before and behind every axis (negative: removes)."""
    rank = len(site.shape(0))
    name = "paddings" if "paddings" in site.node.attributes else "pads"
    pads = site.optional_integers(name, 1)
    if pads is None:
        raise site.fail("lacks its pads, which it must have")
    given = site.integers(3, "axes") if site.optional(3) is not None else range(rank)
    axes = site.axes(given, rank)
    if len(pads) != 2 * len(axes):
        raise site.fail(f"has {len(pads)} pads for {len(axes)} axes; it needs two per axis")
    begins, ends = [0] * rank, [0] * rank
    for index, axis in enumerate(axes):
        begins[axis], ends[axis] = pads[index], pads[index + len(axes)]
    return tuple(begins), tuple(ends)


def _pad(site: Site) -> Sequence[Shape]:
    begins, ends = pad_amounts(site)
    return [tuple(n + begin + end for n, begin, end in zip(site.shape(0), begins, ends, strict=True))]


def reduced_axes(site: Site) -> tuple[int, ...]:
    """The axes a Reduce node runs over; none for a node that does nothing."""
    rank = len(site.shape(0))
    listed = site.optional_integers("axes", 1)
    if not listed:
        return () if site.node.flag("noop_with_empty_axes", default=False) else tuple(range(rank))
    return site.axes(listed, rank)


def _without(shape: Shape, axes: Sequence[int], *, keep: bool) -> Shape:
    if keep:
        return tuple(1 if axis in axes else extent for axis, extent in enumerate(shape))
    return tuple(extent for axis, extent in enumerate(shape) if axis not in axes)


def _reduce(site: Site) -> Sequence[Shape]:
    return [_without(site.shape(0), reduced_axes(site), keep=site.node.flag("keepdims", default=True))]


def _arg_reduce(site: Site) -> Sequence[Shape]:
    shape = site.shape(0)
    axis = site.axis(site.node.integer("axis", 0), len(shape))
    return [_without(shape, (axis,), keep=site.node.flag("keepdims", default=True))]


def _top_k(site: Site) -> Sequence[Shape]:
    shape = site.shape(0)
    axis = site.axis(site.node.integer("axis", -1), len(shape))
    if "k" in site.node.attributes:
        kept = site.node.integer("k")
    else:
        (kept, *_) = site.integers(1, "k") or (0,)
    if not 0 < kept <= shape[axis]:
        raise site.fail(f"takes the top {kept} of {shape[axis]} elements")
    result = (*shape[:axis], kept, *shape[axis + 1 :])
    return [result, result]


def _shape(site: Site) -> Sequence[Shape]:
    rank = len(site.shape(0))
    start, end = site.node.integer("start", 0), site.node.integer("end", rank)
    return [(len(range(rank)[start:end]),)]


def _constant_of_shape(site: Site) -> Sequence[Shape]:
    return [site.integers(0, "shape")]


def _range(site: Site) -> Sequence[Shape]:
    bounds = [site.reals(index, "bounds") for index in range(3)]
    if any(len(bound) != 1 for bound in bounds) or bounds[2][0] == 0 or not all(math.isfinite(b[0]) for b in bounds):
        raise site.fail("needs a start, a limit and a step other than zero, each one number")
    (start,), (limit,), (step,) = bounds
    steps = (limit - start) / step
    if not steps <= _LONGEST_RANGE:
        raise site.fail(f"has {steps:g} steps, more than {_LONGEST_RANGE}, which is too large to be meant")
    return [(max(0, math.ceil(steps)) if math.isfinite(steps) else 0,)]


def _constant(site: Site) -> Sequence[Shape]:
    # Folding gives every Constant node its value, so a shape is asked for only where that failed.
    raise site.fail("holds a kind of value that is not supported; it must be a dense tensor of numbers")


def _one_hot(site: Site) -> Sequence[Shape]:
    shape = site.shape(0)
    (depth, *_) = site.integers(1, "depth") or (0,)
    axis = site.axis(site.node.integer("axis", -1), len(shape) + 1)
    return [(*shape[:axis], depth, *shape[axis:])]


LAYOUT: Mapping[str, Callable[[Site], Sequence[Shape]]] = {
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Transpose": _transpose,
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    "GatherElements": lambda site: [site.shape(1)],
    "Expand": _expand,
    "Tile": _tile,
    "Pad": _pad,
    **dict.fromkeys(
        (
            "ReduceL1",
            "ReduceL2",
            "ReduceLogSum",
            "ReduceLogSumExp",
            "ReduceMax",
            "ReduceMean",
            "ReduceMin",
            "ReduceProd",
            "ReduceSum",
            "ReduceSumSquare",
        ),
        _reduce,
    ),
    "ArgMax": _arg_reduce,
    "ArgMin": _arg_reduce,
    "TopK": _top_k,
    "Shape": _shape,
    "Size": lambda _: [()],
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Constant": _constant,
    "OneHot": _one_hot,
}
