"""Whole networks compiled and run on the RTL: every tensor is ONNX Runtime's, and no byte beside it changes."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest

from dynamap_models.quantisation import random_inputs
from dynamap_opt.algorithms import ALGORITHMS
from dynamap_opt.compilation import CompilationError, compile_network, load_compiled, save_compiled
from dynamap_opt.execution.simulate import simulate_network
from dynamap_opt.execution.sources import prepare
from dynamap_opt.plan import PlanError
from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.program.check import check_program
from onnxruntime_files import FORMATS, quantised_file, small_network
from small_networks import BOARD, forced, plan_for, quantised

WAYS = [("im2col", "NS"), ("im2col", "WS"), ("im2col", "IS"), ("kn2row", "NS"), ("kn2row", "WS"), ("kn2row", "IS")]
WAYS += [("winograd-f2-2d", "NS"), ("winograd-f4-2d", "WS"), ("winograd-f2-1d", "IS"), ("winograd-f4-1d", "NS")]


#: An overlay that runs every algorithm, so that one circuit is built for all of them.
ALL_ROUND = CircuitParameters(rows=4, columns=4, winograd=(2, 4), sum_width=48, channel_words=64)


def run(plan, found, *, circuit=None, **options):
    compiled = compile_network(plan, found, circuit=circuit)
    return simulate_network(compiled, found, random_inputs(found.network, 1, 9)[0], **options)


def assert_equal(result, found):
    assert [(layer.name, layer.different, layer.stray_bytes, layer.problem) for layer in result.layers] == [
        (layer.name, 0, 0, "") for layer in result.layers
    ]
    assert result.values_match
    assert result.exact
    written = {layer.name for layer in result.layers} | set(result.skipped)
    for layer in found.network.layers:
        views = type(layer.operation).__name__ in {"Concat", "Reshape"}
        assert views or layer.name in written, layer.name


@pytest.mark.parametrize(
    ("network", "array"),
    [("every_operation", (8, 8)), ("shared_buffers", (4, 4))],
    ids=str,
)
def test_layers_one_after_another_in_one_memory(network, array):
    found = quantised(network)
    plan = plan_for(found, array)
    result = run(plan, found, chain=True)
    assert_equal(result, found)
    assert result.chained
    # To the cycle, whatever the program before has left the array in.
    assert [layer.model_cycles for layer in result.layers] == [layer.measured_cycles for layer in result.layers]
    # "first" is a slice of "nested", which b cannot leave; of the two c in "second" one is where c itself lies.
    copies = [layer.name for layer in result.layers if layer.algorithm == "copy"]
    assert copies == ([] if network == "every_operation" else ["second[b]", "second[c]"])
    predicted = {row.name: row.cycles for row in plan.layers}
    assert all(layer.predicted_cycles == predicted.get(layer.name, 0) for layer in result.layers)


def test_what_a_chain_reads_is_what_it_wrote():
    """A wrong output is noticed, and handed on: the reference's tensors are not read."""
    found = quantised("shared_buffers")
    compiled = compile_network(plan_for(found), found)
    first = compiled.layers[0]
    assert first.name == "a"
    image = bytearray(compiled.image)
    start = first.constants_address - compiled.tensor_bytes
    image[start : start + first.constants_bytes] = bytes(first.constants_bytes)
    wrong = dataclasses.replace(compiled, image=bytes(image))
    inputs = random_inputs(found.network, 1, 9)[0]
    apart = {layer.name: layer.different for layer in simulate_network(wrong, found, inputs).layers}
    chain = {layer.name: layer.different for layer in simulate_network(wrong, found, inputs, chain=True).layers}
    assert apart["a"] > 0
    assert not any(count for name, count in apart.items() if name != "a")
    assert chain["from_slice"] > 0


@pytest.mark.parametrize("way", WAYS, ids="-".join)
def test_every_operation_by_every_algorithm(way):
    found = quantised("every_operation")
    plan = forced(plan_for(found), found.network, *way)
    result = run(plan, found, circuit=ALL_ROUND)
    assert_equal(result, found)
    assert result.skipped == ("sigmoid", "gated")
    assert ALGORITHMS[way[0]].name in {layer.algorithm for layer in result.layers}
    # The cycle model of programs knows every one of these, to the cycle.
    assert [layer.model_cycles for layer in result.layers] == [layer.measured_cycles for layer in result.layers]


def test_scales_of_any_kind_differ_by_one_at_most():
    found = quantised("every_operation", power_of_two=False)
    assert not found.exact
    result = run(plan_for(found), found, circuit=ALL_ROUND)
    assert result.values_match
    assert max(layer.greatest_difference for layer in result.layers) <= 1
    total = sum(layer.elements for layer in result.layers)
    assert sum(layer.different for layer in result.layers) < total / 500
    assert not any(layer.stray_bytes for layer in result.layers)


@pytest.mark.parametrize(("layout", "maps", "weights", "per_channel", "symmetric"), FORMATS)
def test_files_that_onnxruntime_quantises_differ_by_one_at_most(
    tmp_path, layout, maps, weights, per_channel, symmetric
):
    quantised_file(small_network(), tmp_path, layout, maps, weights, per_channel, symmetric)
    prepared = prepare(tmp_path / "quantised.onnx", BOARD, array=(4, 4), allow_host=True)
    found = prepared.quantised
    result = run(prepared.plan, found, circuit=ALL_ROUND)
    assert not result.exact
    assert result.values_match
    assert {"conv1", "classes"} <= {layer.name.split("/")[0].removesuffix("_quant") for layer in result.layers}
    assert max(layer.greatest_difference for layer in result.layers) <= 1
    assert sum(layer.different for layer in result.layers) < sum(layer.elements for layer in result.layers) / 50
    assert not any(layer.stray_bytes or layer.problem for layer in result.layers)


def test_the_same_bytes_every_time(tmp_path):
    found = quantised("every_operation")
    first, second = (compile_network(plan_for(found), found) for _ in range(2))
    assert first == second
    for name, compiled in (("a", first), ("b", second)):
        save_compiled(compiled, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert load_compiled(tmp_path / "a") == first


def test_addresses_do_not_meet_and_programs_are_programs():
    found = quantised("every_operation")
    compiled = compile_network(plan_for(found), found)
    assert compiled.tensor_bytes < sum(tensor.size for tensor in found.network.tensors.values())
    pieces = sorted(
        piece
        for layer in compiled.layers
        if layer.program_bytes
        for piece in ((layer.constants_address, layer.constants_bytes), (layer.program_address, layer.program_bytes))
    )
    end = compiled.tensor_bytes
    for address, size in pieces:
        assert address >= end
        end = address + size
    assert end == compiled.tensor_bytes + len(compiled.image)
    for layer in compiled.layers:
        if layer.program_bytes:
            check_program(list(compiled.instructions(layer)), compiled.circuit, memory_bytes=compiled.memory_bytes)


# ---- what does not fit ----

TIGHT = CircuitParameters(rows=4, columns=4, left_depth=16, top_depth=16, accumulator_depth=8, result_depth=16)


def refusal(plan, found, **options) -> str:
    with pytest.raises((CompilationError, PlanError)) as caught:
        compile_network(plan, found, **options)
    return str(caught.value)


def test_buffers_that_are_too_small_are_named():
    found = quantised("every_operation")
    plan = forced(plan_for(found), found.network, "winograd-f4-2d", "NS")
    message = refusal(plan, found, circuit=dataclasses.replace(TIGHT, winograd=(4,), sum_width=48))
    assert message.startswith("layer 'three' (winograd-f4-2d under NS) has no program for the 4x4 overlay: ")
    assert "deepen left_depth, top_depth, accumulator_depth or result_depth" in message


def test_a_channel_memory_that_is_too_small_is_named():
    found = quantised("every_operation")
    plan = forced(plan_for(found), found.network, "im2col", "NS")
    message = refusal(plan, found, circuit=CircuitParameters(rows=4, columns=4, channel_words=2))
    assert message.startswith("layer ")
    assert "channel entries do not fit a channel memory of 2 words" in message


def test_tensors_beyond_the_memory_are_named(monkeypatch):
    found = quantised("every_operation")
    plan = plan_for(found)
    monkeypatch.setattr("dynamap_opt.compilation.compiler._MEMORY_LIMIT", 1000)
    message = refusal(plan, found)
    assert "bytes, the overlay addresses 1000; the largest is " in message
    assert message.endswith("so use a smaller input")


def test_weights_beyond_the_memory_are_named(monkeypatch):
    found = quantised("every_operation")
    plan = forced(plan_for(found), found.network, "im2col", "NS")
    size = compile_network(plan, found).tensor_bytes
    monkeypatch.setattr("dynamap_opt.compilation.compiler._MEMORY_LIMIT", size + 3000)
    message = refusal(plan, found)
    assert message.startswith("with the weights of layer ")
    assert "split the network, or map it with --algorithms im2col" in message


def test_weights_with_a_zero_point_are_no_winograd(tmp_path):
    (layout, *options) = FORMATS[-1].values
    quantised_file(small_network(), tmp_path, layout, *options)
    path = tmp_path / "quantised.onnx"
    prepared = prepare(path, BOARD, array=(4, 4), algorithms=["winograd", "im2col"], allow_host=True)
    message = refusal(prepared.plan, prepared.quantised)
    assert "Winograd wants weights without a zero point" in message
    assert message.endswith("take im2col or kn2row")


def test_a_plan_without_a_layer_or_with_another_way_is_refused():
    found = quantised("every_operation")
    plan = plan_for(found)
    less = msgspec.structs.replace(plan, layers=tuple(row for row in plan.layers if row.name != "three"))
    assert "does not say how layer 'three' is computed on the array" in refusal(less, found)
    odd = tuple(msgspec.structs.replace(row, algorithm="fft") if row.name == "three" else row for row in plan.layers)
    assert "computes layer 'three' by 'fft'" in refusal(msgspec.structs.replace(plan, layers=odd), found)


def test_an_input_stored_as_windows_is_read_as_such():
    found = quantised("every_operation")
    plan = plan_for(found)
    rows = tuple(
        msgspec.structs.replace(row, input_layout="toeplitz-3x3s2", algorithm="im2col") if row.name == "stem" else row
        for row in plan.layers
    )
    windows = msgspec.structs.replace(plan, layers=rows)
    compiled = compile_network(windows, found, circuit=ALL_ROUND)
    assert (compiled.tensors["image"].height, compiled.tensors["image"].channels) == (5, 27)
    assert_equal(run(windows, found, circuit=ALL_ROUND, chain=True), found)
    np.testing.assert_array_equal(compiled.stored("stem", np.ones((1, 1, 1), np.uint8)), np.ones((1, 1, 1)))
