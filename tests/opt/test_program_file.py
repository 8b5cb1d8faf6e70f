"""Compiled networks as files: written whole, read back equal, refused when damaged; and as text."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest

from dynamap_opt.compilation import CompilationError, CompiledLayer, CompiledNetwork, listing, load_compiled
from dynamap_opt.compilation.program_file import save_compiled
from dynamap_rtl.circuit_parameters import CircuitParameters
from dynamap_rtl.isa import FETCH_AHEAD_BYTES, INSTRUCTION_BYTES
from dynamap_rtl.program.sample import sample_convolution

CIRCUIT = CircuitParameters(rows=4, columns=4)


@pytest.fixture(scope="module")
def compiled() -> CompiledNetwork:
    """One layer, as ``sample_convolution`` makes it."""
    sample = sample_convolution(CIRCUIT)
    constants = 1 << 13
    layer = CompiledLayer(
        name="conv",
        operation="conv 3x3",
        algorithm="im2col",
        dataflow="WS",
        inputs=("x",),
        output="y",
        target=sample.layer.target,
        predicted_cycles=500,
        constants_address=constants,
        constants_bytes=sample.program_address - constants,
        program_address=sample.program_address,
        program_bytes=len(sample.memory) - FETCH_AHEAD_BYTES - sample.program_address,
    )
    return CompiledNetwork(
        model="sample",
        fingerprint="0" * 64,
        circuit=CIRCUIT,
        tensors={"x": sample.layer.source, "y": sample.layer.target},
        inputs=("x",),
        expanded={},
        layers=(layer, CompiledLayer(name="softmax", operation="softmax", algorithm="host", inputs=("y",), output="z")),
        tensor_bytes=constants,
        image=sample.memory[constants:-FETCH_AHEAD_BYTES].tobytes(),
    )


@pytest.fixture
def path(compiled, tmp_path):
    place = tmp_path / "net.dynamap"
    save_compiled(compiled, place)
    return place


def message(path) -> str:
    with pytest.raises(CompilationError) as caught:
        load_compiled(path)
    return str(caught.value)


def test_a_file_is_read_back_equal(compiled, path):
    assert load_compiled(path) == compiled


def test_every_damaged_byte_is_noticed(path):
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in [*range(90), *rng.integers(0, len(whole), 60), len(whole) - 1]:
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        assert message(path).startswith(f"{str(path)!r} is "), position
    path.write_bytes(whole[:-1])
    assert message(path) == f"{str(path)!r} is damaged: its checksum does not hold; compile the network again"
    path.write_bytes(b"")
    assert "is not a compiled network" in message(path)
    assert "there is no file" in message(path.parent)


def rewritten(path, change) -> None:
    """The file with something else in it and a checksum that holds."""
    head, _, body = path.read_bytes().partition(b"\n")
    body = change(body)
    path.write_bytes(head.split()[0] + b" " + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)


def test_a_program_that_is_none_is_refused_though_its_checksum_holds(compiled, path):
    first = compiled.layers[0].program_address - compiled.tensor_bytes

    def change(body: bytes) -> bytes:
        text, _, image = body.partition(b"\n")
        damaged = bytearray(image)
        damaged[first + INSTRUCTION_BYTES + 75] ^= 0xFF  # a depth of the second instruction
        return text + b"\n" + bytes(damaged)

    rewritten(path, change)
    assert message(path).startswith("the program of layer 'conv' is not one for this overlay: instruction 1 (load_")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"tensor_bytes":8192', b'"tensor_bytes":81'),
        (b'"program_bytes":', b'"program_bytes":9'),
        (b'"inputs":["x"],"output":"y"', b'"inputs":["q"],"output":"y"'),
        (b'"rows":4', b'"rows":0'),
        (b'"model"', b'"modell"'),
    ],
)
def test_places_and_parameters_must_make_sense(path, old, new):
    rewritten(path, lambda body: body.replace(old, new, 1))
    text = message(path)
    assert "names places outside its memory" in text or "is not a compiled network of this version" in text


def test_a_listing_has_a_line_for_every_instruction(compiled):
    lines = list(listing(compiled))
    instructions = list(compiled.instructions(compiled.layers[0]))
    numbered = [line for line in lines if line[:5].strip().isdigit()]
    assert [int(line[:5]) for line in numbered] == list(range(len(instructions) + 1))
    for line, instruction in zip(numbered, instructions, strict=False):
        assert line.split()[1] == instruction.unit.name
        assert ("[" in line) == bool(instruction.wait or instruction.signal or instruction.release)
    assert numbered[-1].split()[1] == "END"
    assert "conv: conv 3x3, im2col WS" in lines
    assert "; reads      x 6x6x4 int8 at 0x00000000" in lines
    assert lines[-1] == "; not run by the overlay"
    alone = list(listing(compiled, compiled.layers[1:]))
    assert "softmax: softmax, host" in alone
    assert not any(line.startswith("conv:") for line in alone)


def test_programs_are_checked_against_the_overlay_they_are_for(compiled):
    other = dataclasses.replace(compiled, circuit=dataclasses.replace(CIRCUIT, left_depth=32, top_depth=32))
    with pytest.raises(CompilationError, match="the program of layer 'conv' is not one for this overlay"):
        other.check()
    other.check([other.layers[1]])
