"""SCALE-Sim's cycle count over a real network, against totals published for it."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from dynamap_models import import_onnx
from dynamap_models.ir import Conv
from dynamap_opt.algorithms import ALGORITHMS
from dynamap_opt.lowering import lower
from dynamap_rtl import Dataflow, TimingConvention, array_cycles

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light/light_inception_v1.onnx"
# The SCALE-Sim convention looks at none of these.


@pytest.fixture(scope="module")
def cycles():
    """Per convolution, the cycles of each dataflow on 32 x 32, SCALE-Sim's way."""
    network = import_onnx(LIGHT)
    program = lower(network, allow_host=True)
    convolutions = {layer.name for layer in network.layers if isinstance(layer.operation, Conv)}
    im2col = ALGORITHMS["im2col"]
    return {
        stage.name: {
            dataflow: array_cycles(dataflow, im2col.gemms(stage.conv), 32, 32, convention=TimingConvention.SCALE_SIM)
            for dataflow in Dataflow
        }
        for stage in program.stages
        if stage.name in convolutions
    }


# SCALE-Sim 3.0.0's totals over the 57 convolutions, without the fully connected head, in millions; the integers are
# ours, and agree with them to every digit given.
@pytest.mark.parametrize(
    ("dataflow", "exact", "published"),
    [
        (Dataflow.NS, 1_741_967, "1.742"),
        (Dataflow.WS, 1_980_311, "1.980"),
        (Dataflow.IS, 2_659_017, "2.659"),
    ],
)
def test_googlenet_on_32x32_takes_scale_sims_cycles(cycles, dataflow, exact, published):
    total = sum(layer[dataflow] for layer in cycles.values())
    assert total == exact
    assert f"{total / 1e6:.3f}" == published


def test_googlenet_with_the_best_dataflow_of_each_layer_takes_scale_sims_cycles(cycles):
    total = sum(min(layer.values()) for layer in cycles.values())
    assert len(cycles) == 57
    assert total == 1_651_861
    assert f"{total / 1e6:.3f}" == "1.652"


def test_the_ideal_of_googlenet_on_32x32_is_its_multiplications_over_the_elements():
    network = import_onnx(LIGHT)
    macs = sum(network.layer_macs(layer) for layer in network.convolutions())
    assert f"{macs / 32 / 32 / 1e6:.3f}" == "1.397"
