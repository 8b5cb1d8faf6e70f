"""A network under many plans on the RTL."""

from __future__ import annotations

from collections.abc import Callable

from dynamap_models.ir import Network
from dynamap_models.quantisation import quantise, random_inputs
from dynamap_opt.compilation import compile_network
from dynamap_opt.plan import Plan

from .simulate import simulate_network
from .sources import CALIBRATION_MAPS, network_inputs
from .tasks import ExecutorLike

__all__ = ["measurement"]


def measurement(
    network: Network, *, jobs: int = 1, executor: ExecutorLike = None, seed: int = 0
) -> tuple[Network, Callable[[Plan], tuple[int, bool]]]:
    """The network as it is quantised, for which plans are to be made, and what measures them.

    Args:
        network: float.
        jobs: processes.
        executor: instead of processes.
        seed: of the random maps.

    Returns:
        What measures gives the cycles of all layers together, and whether every element of every tensor is right.
    """
    quantised = quantise(network, random_inputs(network, CALIBRATION_MAPS, seed))
    inputs = network_inputs(quantised, seed=seed)

    def measure(plan: Plan) -> tuple[int, bool]:
        found = simulate_network(compile_network(plan, quantised), quantised, inputs, jobs=jobs, executor=executor)
        return found.total_measured_cycles, all(layer.values_match for layer in found.layers)

    return quantised.network, measure
