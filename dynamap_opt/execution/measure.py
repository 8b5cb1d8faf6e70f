"""A network under many plans on the RTL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dynamap_models.ir import Network
from dynamap_opt.api import ModelLike
from dynamap_opt.compilation import compile_network
from dynamap_opt.plan import Plan

from .simulate import simulate_network
from .sources import network_inputs, networks_of
from .tasks import ExecutorLike

__all__ = ["measurement"]


def measurement(
    source: ModelLike,
    *,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    jobs: int = 1,
    executor: ExecutorLike = None,
    seed: int = 0,
) -> tuple[Network, Callable[[Plan], tuple[int, bool]]]:
    """The network for which plans are to be made, and what measures them.

    Args:
        source: zoo name, network or ONNX file; quantised, calibrated with random maps, where it is float.
        input_shapes: of inputs that a file leaves open.
        jobs: processes.
        executor: instead of processes.
        seed: of the random maps.

    Returns:
        What measures gives the cycles of all layers together, and whether every tensor is as ``simulate`` accepts it.
    """
    _, quantised = networks_of(source, input_shapes, seed)
    inputs = network_inputs(quantised, seed=seed)

    def measure(plan: Plan) -> tuple[int, bool]:
        found = simulate_network(compile_network(plan, quantised), quantised, inputs, jobs=jobs, executor=executor)
        return found.total_measured_cycles, all(layer.values_match for layer in found.layers)

    return quantised.network, measure
