"""What im2col and kn2row share: on the overlay both are programs of ``dynamap_rtl.program.convolution``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dynamap_opt.program import ConvShape
from dynamap_rtl import Dataflow, Overlay
from dynamap_rtl.layer_timing import LayerCycles, convolution_cycles, convolution_floor
from dynamap_rtl.sizes import IntArray, Sizes

__all__ = ["DirectConvolution"]


@dataclass(frozen=True)
class DirectConvolution:
    """Operands are the map's own bytes, gathered by the loader for all kernel elements at once or one by one."""

    activation_bytes: int = 1
    weight_bytes: int = 1
    _element_by_element: ClassVar[bool]

    def cycles(
        self, conv: ConvShape, dataflow: Dataflow, sizes: Sizes, overlay: Overlay, *, contiguous: bool, bound: bool
    ) -> LayerCycles:
        """As ``program.convolution`` runs it."""
        return convolution_cycles(
            conv,
            sizes,
            dataflow,
            kn2row=self._element_by_element,
            contiguous=contiguous,
            divides=bool(overlay.winograd),
            bound=bound,
        )

    def floor(
        self, conv: ConvShape, dataflow: Dataflow, sizes: Sizes, overlay: Overlay, *, contiguous: bool
    ) -> IntArray:
        """As ``convolution_floor``."""
        return convolution_floor(
            conv,
            sizes,
            dataflow,
            kn2row=self._element_by_element,
            contiguous=contiguous,
            divides=bool(overlay.winograd),
        )
