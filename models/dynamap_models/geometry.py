"""Window arithmetic shared by the importer, the builder and everybody who walks a convolution."""

from __future__ import annotations

from .errors import ModelError

__all__ = ["same_pads", "window_output"]


def window_output(
    size: int, kernel: int, *, stride: int = 1, pads: tuple[int, int] = (0, 0), dilation: int = 1, ceil: bool = False
) -> int:
    """Output extent of a sliding window along one axis (ONNX operators ``Conv`` and ``MaxPool``).

    With ``ceil``, a last window that would start in the trailing padding is dropped, as ONNX Runtime and PyTorch do.

    Raises:
        ModelError: when no window fits.

    >>> window_output(224, 7, stride=2, pads=(3, 3))
    112
    >>> window_output(112, 3, stride=2, ceil=True)
    56
    """
    extent = dilation * (kernel - 1) + 1
    room = size + pads[0] + pads[1] - extent
    if room < 0:
        raise ModelError(
            f"a window of extent {extent} does not fit into {size} elements with pads {pads}; "
            "the kernel, its dilation or the pads are wrong"
        )
    steps = -(-room // stride) if ceil else room // stride
    if ceil and steps * stride >= size + pads[0]:
        steps -= 1
    return steps + 1


def same_pads(size: int, kernel: int, *, stride: int = 1, dilation: int = 1, upper: bool = True) -> tuple[int, int]:
    """Pads of ``auto_pad`` SAME_UPPER (or SAME_LOWER) along one axis: output extent is ceil(size / stride).

    >>> same_pads(224, 3, stride=2)
    (0, 1)
    """
    out = -(-size // stride)
    total = max(0, (out - 1) * stride + dilation * (kernel - 1) + 1 - size)
    small, large = total // 2, total - total // 2
    return (small, large) if upper else (large, small)
