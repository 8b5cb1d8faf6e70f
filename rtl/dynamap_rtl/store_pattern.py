"""What a store does and how long it takes: results out of the turn buffer into a tensor in memory.

A store is data; ``units/storer.py`` is the circuit that runs it. One *read* of the buffer a cycle gives up to N
channels of a pixel, W bytes of them make a beat, a pixel is a burst; :func:`store_reads` counts the reads and
:func:`store_cycles` is the time of a store, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from .rotation import phase_width, rotator_latency
from .timing import ceil_div

__all__ = ["Store", "StoreError", "StorerParameters", "store_cycles", "store_reads", "storer_fields"]


class StoreError(ValueError):
    """A store that the storer cannot run, or a storer that cannot be; the message names the rule and the fix."""


@dataclass(frozen=True, kw_only=True)
class StorerParameters:
    """Sizes of a storer.

    Attributes:
        lanes: P of the result buffer.
        transfer: N, elements it reads a cycle; divides ``port_bytes``.
        port_bytes: W, bytes of a beat.
        depth_width: bits of a depth of the result buffer.
        latency: cycles from a burst's last beat to its ``written`` that the storer hides: so many more bursts may be on
            their way.
        address_width: bits of a byte address.
        count_width: bits of the sizes of a store: pixels, columns and channels.

    Raises:
        StoreError: when a size cannot be.
    """

    lanes: int
    transfer: int
    port_bytes: int
    depth_width: int
    latency: int
    address_width: int = 40
    count_width: int = 16

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise StoreError(f"a storer's {field.name} must be at least 1, not {getattr(self, field.name)}")
        if self.transfer > self.lanes:
            raise StoreError(f"a transfer of {self.transfer} elements is wider than {self.lanes} lanes; choose fewer")
        if self.port_bytes % self.transfer:
            raise StoreError(
                f"a beat of {self.port_bytes} bytes is not a whole number of transfers of {self.transfer}; choose a "
                "divisor"
            )

    @property
    def lane_width(self) -> int:
        """Bits of a lane and of a phase."""
        return phase_width(self.lanes)

    @property
    def read_latency(self) -> int:
        """Cycles from a read of the result buffer to its data."""
        return rotator_latency(self.lanes) + 4

    @property
    def beat_queue(self) -> int:
        """Beats read and not yet taken by memory: enough to keep the reads going."""
        return 1 << (self.read_latency + 2).bit_length()

    @property
    def burst_queue(self) -> int:
        """Bursts asked for and not yet in memory, likewise."""
        return 1 << (self.read_latency + self.latency + 2).bit_length()


def storer_fields(parameters: StorerParameters) -> dict[str, int]:
    """The fields of a store as the circuit takes them, and their bits."""
    address, count, lane = parameters.address_width, parameters.count_width, parameters.lane_width
    return {
        "line_address": address,  # of the pixel in column 0 of the first pixel's row
        "address": address,  # of the first pixel
        "pixel_pitch": address,
        "row_pitch": address,
        "columns": count,
        "columns_left": count,  # of the first row, the first pixel included
        "pixels": count,
        "channels": count,
        "depth": parameters.depth_width,
        "depth_phase": lane,
        "depth_step": parameters.depth_width,
        "depth_step_phase": lane,
    }


@dataclass(frozen=True, kw_only=True)
class Store:
    """Pixels of a tensor (height, width, channels) of bytes, and where they come from.

    Pixel p of the store is lane p mod P of the result buffer, its channel c at depth ``depth`` + ⌊p / P⌋
    ``depth_step`` + c.

    Attributes:
        address: byte address of pixel (0, 0), its first channel written.
        row_pitch: bytes from a row to the next.
        pixel_pitch: bytes from a pixel to the next; more than the channels in a concatenation.
        columns: pixels in a row.
        first_row: row of the first pixel.
        first_column: its column.
        pixels: how many, in raster order.
        channels: bytes of each.
        depth: of channel 0 of the first pixel; the upper half of a double buffer is in its top bit.
        depth_step: from P pixels to the next P.
    """

    address: int
    row_pitch: int
    pixel_pitch: int
    columns: int
    first_row: int = 0
    first_column: int = 0
    pixels: int
    channels: int
    depth: int = 0
    depth_step: int = 0

    def fields(self, parameters: StorerParameters) -> dict[str, int]:
        """The store as the circuit takes it; every value fits the bits of :func:`storer_fields`.

        Raises:
            StoreError: when the store is none or does not fit the storer.
        """
        self._check(parameters)
        line = self.address + self.first_row * self.row_pitch
        values = {
            "line_address": line,
            "address": line + self.first_column * self.pixel_pitch,
            "pixel_pitch": self.pixel_pitch,
            "row_pitch": self.row_pitch,
            "columns": self.columns,
            "columns_left": self.columns - self.first_column,
            "pixels": self.pixels,
            "channels": self.channels,
            "depth": self.depth,
            "depth_phase": self.depth % parameters.lanes,
            "depth_step": self.depth_step,
            "depth_step_phase": self.depth_step % parameters.lanes,
        }
        for name, bits in storer_fields(parameters).items():
            if not 0 <= values[name] < 1 << bits:
                raise StoreError(
                    f"{name} of a store is {values[name]}, which does not fit {bits} bits; split the store"
                )
        return values

    def _check(self, parameters: StorerParameters) -> None:
        for name in ("columns", "pixels", "channels"):
            if getattr(self, name) < 1:
                raise StoreError(f"{name} of a store must be at least 1, not {getattr(self, name)}")
        if min(self.address, self.row_pitch, self.pixel_pitch, self.depth, self.depth_step) < 0:
            raise StoreError("address, pitches and depths of a store must not be negative")
        if not 0 <= self.first_column < self.columns or self.first_row < 0:
            raise StoreError(
                f"the first pixel ({self.first_row}, {self.first_column}) of a store is not among its {self.columns} "
                "columns"
            )
        row, column = divmod(self.first_row * self.columns + self.first_column + self.pixels - 1, self.columns)
        widest = self.columns - 1 if row > self.first_row else column
        end = self.address + row * self.row_pitch + widest * self.pixel_pitch + self.channels
        if end > 1 << parameters.address_width:
            raise StoreError(f"a store ends at byte {end}, beyond {parameters.address_width}-bit addresses")
        deepest = self.depth + (self.pixels - 1) // parameters.lanes * self.depth_step + self.channels - 1
        if deepest >= 1 << parameters.depth_width:
            raise StoreError(
                f"a store reads depth {deepest} of a buffer {1 << parameters.depth_width} deep; split the store"
            )


def store_reads(store: Store, parameters: StorerParameters) -> int:
    """Reads of a store."""
    return store.pixels * ceil_div(store.channels, parameters.transfer)


def store_cycles(store: Store, parameters: StorerParameters) -> int:
    """Cycles from the one in which an idle storer takes a store to the one of its ``done``, the first not counted.

    Holds for a memory port that takes a request and a beat a cycle and confirms a burst ``latency`` cycles after its
    last beat; each cycle less of that is one less here. Stores follow one another read by read, one cycle between.
    """
    return store_reads(store, parameters) + parameters.read_latency + 1 + parameters.latency
