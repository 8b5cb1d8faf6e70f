"""The whole overlay: sequencer, operands, matrix engine, finisher, storer, on three memory ports.

    program port -> sequencer -> instructions to every unit
    read port -> read router -> left operand, top operand, channel memory
    left, top -> matrix engine -> accumulators -> finisher -> result buffer -> storer -> write port

Every port is a burst port: requests of an address and a number of bytes, then beats; valid/ready each. The overlay
makes ``start`` with ``program_address`` run a program and raises ``finished`` when it is done.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyrtl

from .circuit_parameters import CircuitParameters
from .hardware import Design, Leaf, Port, delayed
from .isa import ADDRESS_BITS, BYTE_ADDRESS_BITS, FIELDS, HEADER, INSTRUCTION_BYTES, STORE
from .pipeline import OUTSTANDING_MARGIN
from .store_pattern import StorerParameters, storer_fields
from .units.array import ArrayParameters
from .units.channel_memory import ChannelMemoryParameters, channel_memory
from .units.finisher import FinisherParameters, finisher
from .units.gemm import GemmParameters, matrix_engine
from .units.operand_unit import OperandParameters, operand_unit
from .units.pe import ElementParameters
from .units.read_router import read_router
from .units.sequencer import FETCH_BYTES, SequencerParameters, sequencer
from .units.storer import storer
from .units.turn_buffer import BufferKind, TurnBufferParameters, turn_buffer
from .units.winograd_input import WinogradInput
from .units.winograd_output import WinogradOutput

__all__ = [
    "channel_parameters",
    "finisher_parameters",
    "gemm_parameters",
    "left_parameters",
    "overlay_circuit",
    "result_parameters",
    "storer_parameters",
    "top_parameters",
]


def gemm_parameters(circuit: CircuitParameters) -> GemmParameters:
    """Of the matrix engine."""
    width = circuit.operand_width
    return GemmParameters(
        array=ArrayParameters(
            rows=circuit.rows,
            columns=circuit.columns,
            element=ElementParameters(left_width=width, top_width=width, sum_width=circuit.sum_width),
        ),
        left_depth=circuit.left_depth,
        top_depth=circuit.top_depth,
        accumulator_depth=circuit.accumulator_depth,
        read_latency=circuit.read_latency,
    )


def left_parameters(circuit: CircuitParameters) -> OperandParameters:
    """Of the left operand."""
    return _operand(circuit, circuit.rows, circuit.left_depth, circuit.left_transfer)


def top_parameters(circuit: CircuitParameters) -> OperandParameters:
    """Of the top operand."""
    return _operand(circuit, circuit.columns, circuit.top_depth, circuit.top_transfer)


def result_parameters(circuit: CircuitParameters) -> TurnBufferParameters:
    """Of the result buffer."""
    return TurnBufferParameters(
        lanes=circuit.columns,
        width=8,
        depth=circuit.result_depth,
        transfer=circuit.result_transfer,
        kind=BufferKind.RESULT,
    )


def storer_parameters(circuit: CircuitParameters) -> StorerParameters:
    """Of the storer."""
    results = result_parameters(circuit)
    return StorerParameters(
        lanes=results.lanes,
        transfer=results.transfer,
        port_bytes=circuit.dram_bytes_per_cycle,
        depth_width=results.depth_width,
        latency=circuit.dram_latency_cycles,
        address_width=BYTE_ADDRESS_BITS,
    )


def channel_parameters(circuit: CircuitParameters) -> ChannelMemoryParameters:
    """Of the channel memory: as many single entries as fit the lanes of one, within what an instruction loads."""
    singles = 1 << (circuit.channel_words * circuit.columns - 1).bit_length()
    return ChannelMemoryParameters(
        lanes=circuit.columns,
        words=circuit.channel_words,
        singles=min(singles, 1 << 13),
        port_bytes=circuit.dram_bytes_per_cycle,
        address_width=BYTE_ADDRESS_BITS,
    )


def finisher_parameters(circuit: CircuitParameters) -> FinisherParameters:
    """Of the finishing unit."""
    winograd = (
        WinogradOutput(lanes=circuit.columns, tiles=circuit.winograd, in_width=circuit.sum_width)
        if circuit.winograd
        else None
    )
    return FinisherParameters(
        accumulators=gemm_parameters(circuit).accumulators,
        results=result_parameters(circuit),
        word_width=channel_parameters(circuit).word_width,
        winograd=winograd,
    )


def _operand(circuit: CircuitParameters, lanes: int, depth: int, transfer: int) -> OperandParameters:
    return OperandParameters(
        lanes=lanes,
        width=circuit.operand_width,
        depth=depth,
        transfer=transfer,
        port_bytes=circuit.dram_bytes_per_cycle,
        latency=circuit.dram_latency_cycles,
        address_width=BYTE_ADDRESS_BITS,
        read_latency=circuit.read_latency,
        winograd=WinogradInput(lanes=transfer, tiles=circuit.winograd) if circuit.winograd else None,
    )


def overlay_circuit(circuit: CircuitParameters) -> Design:
    """The circuit.

    Ports: ``start``, ``program_address``, ``finished``; of the program port (16 bytes a beat)
    ``program_request_valid`` and so on; of the read port ``read_...``, of the write port ``write_...``
    (``dram_bytes_per_cycle`` a beat), see ``memory_model``.
    """
    beat = Port(8, circuit.dram_bytes_per_cycle)
    request = {"request_valid": 1, "request_address": BYTE_ADDRESS_BITS, "request_bytes": 16}
    design = Design(
        f"overlay_{circuit.name}",
        inputs={
            "start": 1,
            "program_address": BYTE_ADDRESS_BITS,
            "program_request_ready": 1,
            "program_data_valid": 1,
            "program_data": Port(8, FETCH_BYTES),
            "read_request_ready": 1,
            "read_data_valid": 1,
            "read_data": beat,
            "write_request_ready": 1,
            "write_ready": 1,
            "write_written": 1,
        },
        outputs={
            "finished": 1,
            **{f"program_{name}": width for name, width in request.items()},
            "program_data_ready": 1,
            **{f"read_{name}": width for name, width in request.items()},
            "read_data_ready": 1,
            **{f"write_{name}": width for name, width in request.items()},
            "write_valid": 1,
            "write_data": beat,
        },
    )
    control = design.add(
        "sequencer",
        sequencer(SequencerParameters()),
        start=design["start"],
        program_address=design["program_address"],
        **{name: design[f"program_{name}"] for name in ("request_ready", "data_valid", "data")},
    )
    orders = {}
    for unit, record in FIELDS.items():
        name = unit.name.lower()
        orders[name] = design.add(f"{name}_order", _order(record.width), fields=control[f"{name}_fields"])

    # Operands and channel parameters share the read port.
    gemm = gemm_parameters(circuit)
    left = design.add("left", operand_unit(left_parameters(circuit)))
    top = design.add("top", operand_unit(top_parameters(circuit)))
    channels = design.add("channels", channel_memory(channel_parameters(circuit)))
    readers = {"load_left": left, "load_top": top, "load_channels": channels}
    outstanding = 1 << (circuit.dram_latency_cycles + OUTSTANDING_MARGIN).bit_length()
    router = design.add(
        "router",
        read_router(
            ordered=2,
            port_bytes=circuit.dram_bytes_per_cycle,
            address_width=BYTE_ADDRESS_BITS,
            outstanding=outstanding,
        ),
        request_ready=design["read_request_ready"],
        data_valid=design["read_data_valid"],
    )
    for index, (name, reader) in enumerate(readers.items()):
        reader.connect(
            load_valid=control[f"{name}_start"],
            fields=orders[name]["own"],
            request_ready=router[f"request_ready_{index}"],
            data_valid=router[f"data_valid_{index}"],
            data=design["read_data"],
        )
        asking = (*request, "data_ready", *(("request_order", "request_pending") if reader is not channels else ()))
        router.connect(**{f"{port}_{index}": reader[port] for port in asking})
        control.connect(**{f"{name}_ready": reader["load_ready"], f"{name}_done": reader["done"]})

    engine = design.add(
        "engine",
        matrix_engine(gemm),
        command=orders["compute"]["own"],
        command_valid=control["compute_start"],
        left_data=left["operand"],
        top_data=top["operand"],
    )
    for side, operand in (("left", left), ("top", top)):
        operand.connect(
            read=engine[f"{side}_read"], read_depth=engine[f"{side}_depth"], read_phase=engine[f"{side}_phase"]
        )
    retired = design.add("retired", _after(circuit.columns + 1), event=engine["retired"])
    control.connect(
        compute_ready=engine["command_ready"], compute_done=retired["later"], compute_released=engine["released"]
    )

    finish = design.add(
        "finisher",
        finisher(finisher_parameters(circuit)),
        finish_valid=control["finish_start"],
        fields=orders["finish"]["own"],
        row=engine["row"],
        entries=channels["entries"],
    )
    engine.connect(**{name: finish[name] for name in ("read", "read_address", "read_half")})
    channels.connect(word=finish["word"], single=finish["single"])
    results = result_parameters(circuit)
    memory = design.add(
        "results",
        turn_buffer(results),
        **{name: finish[name] for name in ("write", "lane", "depth", "phase", "along", "count", "data")},
    )
    settled = design.add("settled", _after(max(1, results.write_to_read)), event=finish["done"])
    control.connect(finish_ready=finish["finish_ready"], finish_done=settled["later"])

    store = storer_parameters(circuit)
    storing_fields = design.add("store_fields", _store_fields(store), fields=orders["store"]["own"])
    storing = design.add(
        "storer",
        storer(store),
        store_valid=control["store_start"],
        request_ready=design["write_request_ready"],
        write_ready=design["write_ready"],
        written=design["write_written"],
        valid=memory["valid"],
        read_data=memory["read_data"],
        **{name: storing_fields[name] for name in storer_fields(store)},
    )
    memory.connect(
        read=storing["read"],
        read_lane=storing["read_lane"],
        read_depth=storing["read_depth"],
        read_phase=storing["read_phase"],
    )
    control.connect(store_ready=storing["store_ready"], store_done=storing["done"])
    return design.finish(
        finished=control["finished"],
        **{f"program_{name}": control[name] for name in (*request, "data_ready")},
        **{f"read_{name}": router[name] for name in (*request, "data_ready")},
        **{f"write_{name}": storing[name] for name in request},
        write_valid=storing["write_valid"],
        write_data=storing["write_data"],
    )


def _order(width: int) -> Leaf:
    """A unit's own fields out of an instruction's."""
    return Leaf(
        f"order_{width}",
        inputs={"fields": 8 * INSTRUCTION_BYTES - HEADER.width},
        outputs={"own": width},
        logic=lambda inputs: {"own": inputs["fields"][:width]},
    )


def _after(cycles: int) -> Leaf:
    """An event some cycles later."""
    return Leaf(
        f"after_{cycles}",
        inputs={"event": 1},
        outputs={"later": 1},
        logic=lambda inputs: {"later": delayed(inputs["event"], cycles, "later")},
    )


def _store_fields(parameters: StorerParameters) -> Leaf:
    """A store instruction's fields, cut to what the storer has."""
    own = storer_fields(parameters)

    def logic(inputs: Mapping[str, pyrtl.WireVector]) -> Mapping[str, pyrtl.WireVector]:
        fields = STORE.slices(inputs["fields"])
        return {name: fields[name][:width] for name, width in own.items()}

    sizes = f"{parameters.lanes}_{parameters.depth_width}_{ADDRESS_BITS}"
    return Leaf(f"store_fields_{sizes}", inputs={"fields": STORE.width}, outputs=own, logic=logic)
