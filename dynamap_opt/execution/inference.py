"""Whole inferences on the RTL as a driver would run them.

Memory is filled once; then inputs go in, programs run, outputs come out. Nothing here knows the reference: what is
returned is what the simulated overlay wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dynamap_models.ir import Reshape
from dynamap_models.quantised import from_map, to_map
from dynamap_opt.compilation import CompiledNetwork
from dynamap_opt.errors import DynamapError
from dynamap_rtl.simulation import OverlaySimulation, SimulatorName

from .layer_run import cycle_limit, elements

if TYPE_CHECKING:
    from dynamap_models.quantised import QuantisedNetwork

__all__ = ["OverlayInference"]


class OverlayInference:
    """A compiled network on a simulated overlay of its own.

    Args:
        compiled: the network, all of whose layers the overlay runs.
        quantised: the same network: how its inputs and outputs are stored.
        simulator: ``dynamap``, or ``verilator`` for the exported Verilog.

    Attributes:
        cycles: of the last inference, all programs together; 0 before the first.

    Raises:
        DynamapError: when the host has to compute a layer.
        CompilationError: when a program is not one for the overlay.
    """

    def __init__(
        self, compiled: CompiledNetwork, quantised: QuantisedNetwork, *, simulator: SimulatorName = "dynamap"
    ) -> None:
        skipped = [layer.name for layer in compiled.layers if layer.target is None]
        if skipped:
            raise DynamapError(
                f"the overlay has no unit for {', '.join(map(repr, skipped))} of {compiled.model!r}, so that it cannot "
                "run this network alone; cut the network there, or simulate it layer by layer"
            )
        compiled.check()
        self.cycles = 0
        self._compiled, self._quantised = compiled, quantised
        self._simulation = OverlaySimulation(compiled.circuit, memory_bytes=compiled.memory_bytes, simulator=simulator)
        behind = self._simulation.memory[compiled.tensor_bytes :]
        behind[: len(compiled.image)] = np.frombuffer(compiled.image, np.uint8)

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.int64]]:
        """One inference.

        Args:
            inputs: a map (height, width, channels) for every input; integers are taken as stored, floats are quantised.

        Returns:
            The integers of every output of the network, (height, width, channels).

        Raises:
            HardwareError: when a program does not finish.
        """
        compiled, quantised, memory = self._compiled, self._quantised, self._simulation.memory
        for name in compiled.inputs:
            given = np.asarray(inputs[name])
            stored = given if given.dtype.kind in "iu" else quantised.tensors[name].quantise(given)
            bytes_ = (stored.astype(np.int64) & 255).astype(np.uint8)
            elements(memory, compiled.tensors[name])[:] = compiled.stored(name, bytes_)
        self.cycles = sum(
            self._simulation.run(layer.program_address, limit=cycle_limit(layer.predicted_cycles))
            for layer in compiled.layers
        )
        return {name: self._tensor(name) for name in quantised.network.outputs}

    def _tensor(self, name: str) -> NDArray[np.int64]:
        network = self._quantised.network
        source = name
        while source not in self._compiled.tensors:  # a view of another tensor
            layer = network.writers[source]
            assert isinstance(layer.operation, Reshape)
            source = layer.inputs[0]
        place = self._compiled.tensors[source]
        found = elements(self._simulation.memory, place)
        values = (found.view(np.int8) if place.signed else found).astype(np.int64)
        return to_map(network.tensors[name], from_map(network.tensors[source], values))
