"""One AXI4 master for a burst port of the overlay: its sizes, and the bursts a request becomes."""

from __future__ import annotations

from dataclasses import dataclass

from dynamap_rtl.hardware import HardwareError

__all__ = [
    "MOST_BEATS",
    "PAGE_BYTES",
    "REQUEST_BYTES_BITS",
    "WIDEST_BUS_BYTES",
    "AxiPort",
    "axi_bursts_of",
    "bus_bytes",
]

#: An AXI4 burst must not cross a multiple of this address.
PAGE_BYTES = 4096
#: Beats of the longest INCR burst of AXI4.
MOST_BEATS = 256
#: Bytes of the widest data bus of AXI4.
WIDEST_BUS_BYTES = 128
#: Bytes of the narrowest: what Vivado's interconnect takes.
_NARROWEST_BUS_BYTES = 4
#: Bits of a request's number of bytes.
REQUEST_BYTES_BITS = 16


def bus_bytes(port_bytes: int) -> int:
    """D: bytes of the AXI data bus for a burst port of W bytes: the least power of two from W and 4 up.

    Raises:
        HardwareError: when W is not from 1 to 128.

    >>> [bus_bytes(width) for width in (1, 4, 6, 16, 21, 128)]
    [4, 4, 8, 16, 32, 128]
    """
    if not 1 <= port_bytes <= WIDEST_BUS_BYTES:
        raise HardwareError(
            f"a burst port of {port_bytes} bytes fits no AXI4 data bus, which has 1 to {WIDEST_BUS_BYTES} bytes; "
            f"choose a port of at most {WIDEST_BUS_BYTES}"
        )
    return max(_NARROWEST_BUS_BYTES, 1 << (port_bytes - 1).bit_length())


@dataclass(frozen=True, kw_only=True)
class AxiPort:
    """Sizes of an AXI4 master.

    Attributes:
        port_bytes: W, bytes of a beat of the burst port, 1 to 128. The AXI data bus has D = ``data_bytes`` of them, the
            least power of two that is not less than W, nor than 4.
        address_width: A, bits of an AXI address, 32 to 64.
        burst_beats: most beats of an AXI burst, a power of two from 2 to 256; 4 KiB if that is less.
        outstanding: requests, and AXI bursts, that may be unanswered; a power of two from 2.

    Raises:
        HardwareError: when there is no such master.
    """

    port_bytes: int
    address_width: int = 64
    burst_beats: int = MOST_BEATS
    outstanding: int = 32

    def __post_init__(self) -> None:
        bus_bytes(self.port_bytes)
        if not 32 <= self.address_width <= 64:
            raise HardwareError(f"an AXI address has 32 to 64 bits, not {self.address_width}")
        for name, most in (("burst_beats", MOST_BEATS), ("outstanding", 1 << 12)):
            value = getattr(self, name)
            if not 2 <= value <= most or value & (value - 1):
                raise HardwareError(f"{name} of an AXI master must be a power of two from 2 to {most}, not {value}")

    @property
    def data_bytes(self) -> int:
        """D: bytes of an AXI beat."""
        return bus_bytes(self.port_bytes)

    @property
    def offset_width(self) -> int:
        """Bits of a byte's place in an AXI beat."""
        return self.data_bytes.bit_length() - 1

    @property
    def chunk_beats(self) -> int:
        """C: a burst ends where an aligned block of so many beats ends, so that none is longer or crosses 4 KiB."""
        return min(self.burst_beats, PAGE_BYTES // self.data_bytes)

    @property
    def chunk_width(self) -> int:
        """Bits of a beat's place in its block."""
        return self.chunk_beats.bit_length() - 1

    @property
    def name(self) -> str:
        """Unique for the parameters."""
        return f"{self.port_bytes}_{self.address_width}_{self.burst_beats}_{self.outstanding}"


def axi_bursts_of(address: int, count: int, port: AxiPort) -> list[tuple[int, int]]:
    """The AXI bursts of a request: (address, beats) of each, in order.

    Addresses are multiples of D: what lies beside the request in its first and last beat is read and dropped, or
    written with its strobes low.

    Args:
        address: of the first byte.
        count: bytes, at least 1.
        port: sizes of the master.

    >>> axi_bursts_of(4090, 20, AxiPort(port_bytes=8))
    [(4088, 1), (4096, 2)]
    >>> axi_bursts_of(12, 1000, AxiPort(port_bytes=2, burst_beats=64))
    [(12, 61), (256, 64), (512, 64), (768, 61)]
    """
    beat, last = address // port.data_bytes, (address + count - 1) // port.data_bytes
    bursts = []
    while beat <= last:
        beats = min(last - beat + 1, port.chunk_beats - beat % port.chunk_beats)
        bursts.append((beat * port.data_bytes, beats))
        beat += beats
    return bursts
