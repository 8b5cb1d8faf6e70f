"""What a load does: windows of a tensor in memory, taken into an operand buffer.

A load is data; ``units/loader.py`` is the circuit that runs it, :mod:`dynamap_rtl.load_timing` its time. Its elements
are numbered k = 0, 1, ... within each window: taps in raster order, the channels of a tap together.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

from .pipeline import run_queue
from .timing import ceil_div

__all__ = ["ORDER_BITS", "Load", "LoadError", "LoadTarget", "LoaderParameters", "loader_fields"]

#: Orders are compared modulo two to so many.
ORDER_BITS = 8


class LoadError(ValueError):
    """A load that the loader cannot run, or a loader that cannot be; the message names the rule and the fix."""


class LoadTarget(IntEnum):
    """Where the elements of a window go.

    Along: window w is lane w mod P, its element k at depth ``depth`` + ⌊w / P⌋ ``depth_step`` + k.
    Across: element k is lane k mod P, of window w at depth ``depth`` + ⌊k / P⌋ ``depth_step`` + w.
    Stream: out of the loader's stream, a vector of up to N channels a pixel; the channel chunks of a window one after
    another, its pixels in raster order within each.
    """

    ALONG = 0
    ACROSS = 1
    STREAM = 2


@dataclass(frozen=True, kw_only=True)
class LoaderParameters:
    """Sizes of a loader.

    Attributes:
        lanes: P of the operand buffer.
        transfer: N, elements written a cycle, at most P.
        port_bytes: W, bytes of a beat.
        depth_width: bits of a depth of the operand buffer.
        latency: cycles from a request to its first beat that the loader hides; a memory with this latency or less never
            makes it wait.
        element_width: bits of the elements written, signed; 9 for an 8-bit value minus a zero point.
        element_bytes: the most bytes an element takes in memory, 1 to 3.
        address_width: bits of a byte address.
        count_width: bits of the sizes of a load: taps, windows, elements and bytes of a run.
        position_width: bits, signed, of a position in the image; counts elements where a burst spans pixels.
        stream: whether there is a stream output.

    Raises:
        LoadError: when a size cannot be.
    """

    lanes: int
    transfer: int
    port_bytes: int
    depth_width: int
    latency: int
    element_width: int = 9
    element_bytes: int = 1
    address_width: int = 40
    count_width: int = 16
    position_width: int = 20
    stream: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1 and field.name != "stream":
                raise LoadError(f"a loader's {field.name} must be at least 1, not {getattr(self, field.name)}")
        if self.transfer > self.lanes:
            raise LoadError(f"a transfer of {self.transfer} elements is wider than {self.lanes} lanes; choose fewer")
        if not self.element_bytes <= min(3, self.port_bytes):
            raise LoadError(
                f"elements of {self.element_bytes} bytes: choose 1 to 3, at most the {self.port_bytes} of a beat"
            )
        if self.element_width < 9:
            raise LoadError(f"an element of {self.element_width} bits cannot hold a byte minus a zero point; choose 9")
        if self.position_width <= self.count_width:
            raise LoadError("a position must have more bits than a count: a window may lie beside the image")

    @property
    def lane_width(self) -> int:
        """Bits of a lane and of a phase."""
        return max(1, (self.lanes - 1).bit_length())

    @property
    def shift_latency(self) -> int:
        """Registers in the shifter that brings a piece to the front of its beat: one every three stages."""
        return ceil_div((self.port_bytes - 1).bit_length(), 3)

    @property
    def run_queue(self) -> int:
        """Runs asked for and not yet being written."""
        return run_queue(self.latency)

    @property
    def set_up(self) -> int:
        """Cycles from a load's start to its first write, with the memory's latency."""
        return 7 + self.latency + self.shift_latency


def loader_fields(parameters: LoaderParameters) -> dict[str, int]:
    """The fields of a load as the circuit takes them, and their bits."""
    address, count = parameters.address_width, parameters.count_width
    position, lane = parameters.position_width, parameters.lane_width
    return {
        "line_address": address,  # of the first tap of the window in column 0 of the first window's row
        "address": address,  # of the first tap of the first window
        "tap_x_pitch": address,
        "tap_y_pitch": address,
        "column_pitch": address,  # from a window to its right neighbour
        "row_pitch": address,  # from a row of windows to the next
        "line_x": position,
        "x": position,
        "tap_x_step": position,
        "column_step": position,
        "width": position,
        "y": position,
        "tap_y_step": position,
        "row_step": position,
        "height": position,
        "taps_x": count,
        "taps_y": count,
        "chunks": count,
        "columns": count,
        "columns_left": count,  # of the first row, the first window included
        "windows": count,
        "span": count,  # elements of a run, padding included
        "span_bytes": count,
        "last_span": count,  # likewise, in the last channel chunk
        "last_span_bytes": count,
        "tail": count,
        "whole": 1,  # a run lies in the image or beside it, never partly
        "element_bytes": 2,
        "zero_point": 8,
        "signed": 1,
        "target": 2,
        "depth": parameters.depth_width,
        "depth_phase": lane,
        "depth_step": parameters.depth_width,
        "depth_step_phase": lane,
        "order": ORDER_BITS,  # of two loads that want the port, the one whose order comes first goes first
    }


@dataclass(frozen=True, kw_only=True)
class Load:
    """Windows of a tensor (height, width, channels) of bytes, and where they go.

    Attributes:
        address: byte address of pixel (0, 0), its first channel taken.
        row_pitch: bytes from a row of the image to the next.
        pixel_pitch: bytes from a pixel to the next; more than the channels for a slice of a concatenation.
        height: rows of the image.
        width: its columns.
        channels: taken of a pixel; elements, not bytes.
        taps_y: rows of a window.
        taps_x: its columns.
        dilation_y: rows of the image between two rows of a window.
        dilation_x: likewise, columns.
        step_y: rows of the image between two rows of windows.
        step_x: likewise, columns.
        origin_y: row of the first tap of window (0, 0); negative with padding.
        origin_x: likewise, column.
        columns: windows in a row of windows.
        first_row: row of the first window taken.
        first_column: its column.
        windows: windows taken, in raster order.
        tail: zeros behind each window, as if it had so many elements more; not into a stream.
        element_bytes: 1, or 2 or 3 for little-endian signed elements. Those lie in beats of ⌊W / bytes⌋ elements; what
            is left of a beat is not used. They have no zero point.
        zero_point: subtracted from every element; padding is written as 0.
        signed: whether the bytes are signed.
        target: where the elements go.
        depth: of element 0 of the first window; the upper half of a double buffer is in its top bit.
        depth_step: see :class:`LoadTarget`.
        order: modulo 256; of two loads that want the port, the one whose order comes first goes first.
    """

    address: int
    row_pitch: int
    pixel_pitch: int
    height: int
    width: int
    channels: int
    taps_y: int = 1
    taps_x: int = 1
    dilation_y: int = 1
    dilation_x: int = 1
    step_y: int = 1
    step_x: int = 1
    origin_y: int = 0
    origin_x: int = 0
    columns: int
    first_row: int = 0
    first_column: int = 0
    windows: int
    tail: int = 0
    element_bytes: int = 1
    zero_point: int = 0
    signed: bool = False
    target: LoadTarget = LoadTarget.ALONG
    depth: int = 0
    depth_step: int = 0
    order: int = 0

    @property
    def contiguous(self) -> bool:
        """Whether the taps of a window's row are one run."""
        return (
            self.taps_x > 1
            and self.dilation_x == 1
            and self.element_bytes == 1
            and self.pixel_pitch == self.channels
            and self.target is not LoadTarget.STREAM
        )

    def chunks(self, parameters: LoaderParameters) -> tuple[int, ...]:
        """Channels of each channel chunk; only a stream has more than one."""
        if self.target is not LoadTarget.STREAM:
            return (self.channels,)
        full, rest = divmod(self.channels, parameters.transfer)
        return (parameters.transfer,) * full + ((rest,) if rest else ())

    def fields(self, parameters: LoaderParameters) -> dict[str, int]:
        """The load as the circuit takes it; every value fits the bits of :func:`loader_fields`.

        Raises:
            LoadError: when the load is none or does not fit the loader.
        """
        self._check(parameters)
        contiguous = self.contiguous
        unit = self.channels if contiguous else 1  # positions count elements or pixels
        chunks = self.chunks(parameters)
        row = self.origin_y + self.first_row * self.step_y
        column = self.origin_x + self.first_column * self.step_x
        line = self.address + row * self.row_pitch
        span, last = chunks[0], chunks[-1]
        if contiguous:
            span = last = span * self.taps_x
        values = {
            "line_address": line + self.origin_x * self.pixel_pitch,
            "address": line + column * self.pixel_pitch,
            "tap_x_pitch": self.dilation_x * self.pixel_pitch,
            "tap_y_pitch": self.dilation_y * self.row_pitch,
            "column_pitch": self.step_x * self.pixel_pitch,
            "row_pitch": self.step_y * self.row_pitch,
            "line_x": self.origin_x * unit,
            "x": column * unit,
            "tap_x_step": self.dilation_x,
            "column_step": self.step_x * unit,
            "width": self.width * unit,
            "y": row,
            "tap_y_step": self.dilation_y,
            "row_step": self.step_y,
            "height": self.height,
            "taps_x": 1 if contiguous else self.taps_x,
            "taps_y": self.taps_y,
            "chunks": len(chunks),
            "columns": self.columns,
            "columns_left": self.columns - self.first_column,
            "windows": self.windows,
            "span": span,
            "span_bytes": self._bytes(span, parameters),
            "last_span": last,
            "last_span_bytes": self._bytes(last, parameters),
            "tail": self.tail,
            "whole": int(not contiguous),
            "element_bytes": self.element_bytes,
            "zero_point": self.zero_point % 256,
            "signed": int(self.signed),
            "target": int(self.target),
            "depth": self.depth,
            "depth_phase": self.depth % parameters.lanes,
            "depth_step": self.depth_step,
            "depth_step_phase": self.depth_step % parameters.lanes,
            "order": self.order % (1 << ORDER_BITS),
        }
        bits = loader_fields(parameters)
        for name, value in values.items():
            half = 1 << (bits[name] - 1)
            if bits[name] == parameters.position_width and name not in _ADDRESSES:
                fits = -half <= value < half
            else:  # addresses are modulo their width: a window may begin before the tensor
                fits = name in _ADDRESSES or 0 <= value < 2 * half
            if not fits:
                raise LoadError(
                    f"{name} of a load is {value}, which does not fit its {bits[name]} bits; split the load"
                )
        return {name: value % (1 << bits[name]) for name, value in values.items()}

    def _bytes(self, elements: int, parameters: LoaderParameters) -> int:
        """Bytes of a burst of so many elements."""
        full, rest = divmod(elements, parameters.port_bytes // self.element_bytes)
        return full * parameters.port_bytes + rest * self.element_bytes

    def _check(self, parameters: LoaderParameters) -> None:
        positive = "height width channels taps_y taps_x dilation_y dilation_x step_y step_x columns windows"
        for name in positive.split():
            if getattr(self, name) < 1:
                raise LoadError(f"{name} of a load must be at least 1, not {getattr(self, name)}")
        if not 0 <= self.first_column < self.columns or self.first_row < 0:
            raise LoadError(
                f"the first window ({self.first_row}, {self.first_column}) of a load is not among its {self.columns} "
                "columns of windows"
            )
        if not 1 <= self.element_bytes <= parameters.element_bytes:
            raise LoadError(
                f"a load of {self.element_bytes}-byte elements needs a loader with element_bytes at least that, not "
                f"{parameters.element_bytes}"
            )
        if not (-128 <= self.zero_point < 128 if self.signed else 0 <= self.zero_point < 256):
            raise LoadError(f"zero_point {self.zero_point} of a load is not a value of its elements' type")
        if self.element_bytes > 1 and self.zero_point:
            raise LoadError("elements of several bytes have no zero point; set it to 0")
        if self.tail < 0 or (self.tail and self.target is LoadTarget.STREAM):
            raise LoadError(f"tail of a load must be 0 into a stream and not negative, not {self.tail}")
        if self.target is LoadTarget.STREAM and not parameters.stream:
            raise LoadError("a load into the stream needs a loader with stream=True")
        if self.target is LoadTarget.STREAM and parameters.transfer > parameters.port_bytes // self.element_bytes:
            raise LoadError(
                f"a stream's vector of {parameters.transfer} elements must come from one beat; choose transfer at most "
                f"{parameters.port_bytes // self.element_bytes}"
            )
        if min(self.address, self.row_pitch, self.pixel_pitch, self.depth, self.depth_step) < 0:
            raise LoadError("address, pitches and depths of a load must not be negative")
        end = self.address + (self.height - 1) * self.row_pitch + (self.width - 1) * self.pixel_pitch
        end += self._bytes(self.channels, parameters)
        if end > 1 << parameters.address_width:
            raise LoadError(f"the tensor of a load ends at byte {end}, beyond {parameters.address_width}-bit addresses")
        size = self.taps_y * self.taps_x * self.channels + self.tail
        if self.target is LoadTarget.ALONG:
            deepest = self.depth + (self.windows - 1) // parameters.lanes * self.depth_step + size - 1
        else:
            deepest = self.depth + (size - 1) // parameters.lanes * self.depth_step + self.windows - 1
        if self.target is not LoadTarget.STREAM and deepest >= 1 << parameters.depth_width:
            raise LoadError(
                f"a load reaches depth {deepest} of a buffer {1 << parameters.depth_width} deep; split the load"
            )
        # The walk passes these positions; they need not lie in the image.
        rows = (self.first_row * self.columns + self.first_column + self.windows - 1) // self.columns
        unit = self.channels if self.contiguous else 1
        furthest = max(
            self.origin_y + rows * self.step_y + self.taps_y * self.dilation_y,
            (self.origin_x + self.columns * self.step_x + self.taps_x * self.dilation_x) * unit,
        )
        if furthest >= 1 << (parameters.position_width - 1):
            raise LoadError(
                f"a load reaches position {furthest}, which does not fit {parameters.position_width} signed bits; "
                "split the load"
            )


_ADDRESSES = {"line_address", "address", "tap_x_pitch", "tap_y_pitch", "column_pitch", "row_pitch"}
