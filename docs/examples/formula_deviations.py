"""How far the formulas by which the cost preset ``overlay`` chooses are from the cycles of the circuit.

Every distinct convolution of five networks, depthwise ones by themselves, on arrays with a memory port each, under all
its algorithms and dataflows: the total of ``layer_timing`` against ``program.cycles``, which equals the circuit cycle
for cycle. Where a layer takes very many cycles, it is left out: counting them takes long.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from layer_cycles import algorithms, formula, program

from dynamap_models.zoo import build_model
from dynamap_opt.lowering import lower
from dynamap_rtl import Dataflow, Overlay
from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.geometry import ConvShape
from dynamap_rtl.program.cycles import program_cycles

NETWORKS = ("googlenet", "squeezenet-1.1", "inception-v4", "resnet-18", "mobilenet-v1")
# Array; bytes a cycle, latency.
OVERLAYS = (((48, 128), (256, 57)), ((64, 97), (64, 30)), ((16, 16), (16, 20)), ((16, 16), (32, 57)))
MOST = 45_000  # cycles of a layer, by the formulas


def convolutions() -> list[ConvShape]:
    """Each once."""
    found = {stage.conv: None for name in NETWORKS for stage in lower(build_model(name)).stages if stage.conv}
    return list(found)


def circuits() -> Iterator[CircuitParameters]:
    """Arrays and ports."""
    for array, (port, latency) in OVERLAYS:
        overlay = Overlay(
            dram_bytes_per_cycle=port, dram_latency_cycles=latency, on_chip_bits=40_000_000, winograd=(2, 4)
        )
        yield overlay.circuit(*array, channel_words=1024)


def main() -> None:
    """Print the table."""
    deviations: dict[tuple[str, Dataflow], list[float]] = defaultdict(list)
    for circuit in circuits():
        for conv in convolutions():
            for algorithm in algorithms(conv):
                for dataflow in Dataflow:
                    predicted = formula(conv, algorithm, dataflow, circuit)
                    if not predicted.valid[0] or predicted.total[0] > MOST:  # not valid: does not fit the buffers
                        continue
                    measured = program_cycles(program(conv, algorithm, dataflow, circuit).instructions, circuit)
                    kind = algorithm + ", depthwise" * (conv.groups > 1)
                    deviations[kind, dataflow].append(int(predicted.total[0]) / measured.total - 1)
    print(f"{'algorithm':22}{'dataflow':10}{'layers':>8}{'within 1 %':>13}{'within 2 %':>13}{'farthest':>11}")
    for (algorithm, dataflow), values in deviations.items():
        print(f"{algorithm:22}{dataflow:10}{_row(values)}")
    print(f"{'all':32}{_row([value for values in deviations.values() for value in values])}")


def _row(values: list[float]) -> str:
    far = np.abs(values)
    shares = "".join(f"{100 * np.mean(far <= limit):>11.1f} %" for limit in (0.01, 0.02))
    return f"{len(values):>8}{shares}{100 * max(values, key=abs):>+9.1f} %"


if __name__ == "__main__":
    main()
