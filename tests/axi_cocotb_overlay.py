"""The overlay between a memory and a processor of cocotbext-axi; run by ``test_axi_bus.py`` inside the simulator."""

from __future__ import annotations

import random

import cocotb
import numpy as np
import onnxruntime as ort
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotb.utils import get_sim_time
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam, AxiRamRead, AxiReadBus, AxiResp
from onnx import TensorProto, helper, numpy_helper

from axi_bench import OVERLAY
from axi_cocotb_bus import BASE, MEMORY, PERIOD, Watch, hold_back, start_clock
from dynamap_rtl import Dataflow
from dynamap_rtl.axi.registers import REGISTERS, Access, constants, register
from dynamap_rtl.isa import FETCH_AHEAD_BYTES
from dynamap_rtl.program.assembler import assemble, disassemble
from dynamap_rtl.program.convolution import Convolution, convolution_program
from dynamap_rtl.program.cycles import program_cycles
from dynamap_rtl.program.layer import Scaling, TensorPlace
from dynamap_rtl.program.sample import Sample, sample_convolution
from dynamap_rtl.program.vector import MaxPooling, vector_program
from dynamap_rtl.units.fixed_point import fixed_point, float32_scale
from dynamap_rtl.units.vector_path import Windows


class System:
    """The overlay, a memory on both of its buses, and a processor."""

    def __init__(self, dut, *, base: int = 0) -> None:
        self.dut, self.base = dut, base
        self.memory = bytearray(MEMORY)
        reset = {"reset": dut.overlay_aresetn, "reset_active_level": False}
        program = AxiReadBus.from_prefix(dut, "overlay_m_axi_program")
        self.program = AxiRamRead(program, dut.aclk, mem=self.memory, **reset)
        self.data = AxiRam(AxiBus.from_prefix(dut, "overlay_m_axi_data"), dut.aclk, mem=self.memory, **reset)
        self.host = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "overlay_s_axi"), dut.aclk, **reset)
        self.watches: list[Watch] = []
        self.counted: list[int] = []  # cycles of every run, by the signals of the overlay

    async def begin(self) -> None:
        start_clock(self.dut)
        self.dut.overlay_aresetn.value = 0
        await ClockCycles(self.dut.aclk, 3)
        self.dut.overlay_aresetn.value = 1
        await ClockCycles(self.dut.aclk, 2)
        for bus, channels in (("program", ["ar"]), ("data", ["ar", "aw", "w"])):
            reset = self.dut.overlay_aresetn
            self.watches.append(Watch(self.dut, f"overlay_m_axi_{bus}", channels, reset=reset))
        cocotb.start_soon(self._count())

    async def _count(self) -> None:
        core = self.dut.overlay.core
        while True:
            await RisingEdge(core.control_start)
            start = get_sim_time("ns")
            await RisingEdge(core.overlay_finished)
            self.counted.append(round((get_sim_time("ns") - start) / PERIOD) + 1)

    async def get(self, name: str) -> dict[str, int]:
        entry = register(name)
        answer = await self.host.read(entry.offset, 4)
        assert answer.resp == AxiResp.OKAY
        return entry.unpack(int.from_bytes(answer.data, "little"))

    async def put(self, name: str, **fields: int) -> None:
        await self.put_bytes(name, 0, register(name).pack(**fields).to_bytes(4, "little"))

    async def put_bytes(self, name: str, first: int, data: bytes) -> None:
        answer = await self.host.write(register(name).offset + first, data)
        assert answer.resp == AxiResp.OKAY

    @property
    def seen(self) -> list[list[tuple[int, ...]]]:
        """The transfers of every channel."""
        return [seen for watch in self.watches for seen in watch.seen.values()]

    def load(self, image: np.ndarray) -> None:
        start = self.base % MEMORY
        self.memory[start : start + len(image)] = image.tobytes()

    async def start(self, program_address: int) -> None:
        await self.put("PROGRAM_ADDRESS", value=program_address)
        await self.put("BASE_LOW", value=self.base >> 12 & 0xFFFFF)
        await self.put("BASE_HIGH", value=self.base >> 32)
        await self.put("INTERRUPT", enable=1)
        await self.put("CONTROL", start=1)

    async def run(self, program_address: int) -> int:
        """Run, and give the cycle counter."""
        await self.start(program_address)
        assert not int(self.dut.overlay_interrupt.value)
        await with_timeout(RisingEdge(self.dut.overlay_interrupt), 200, "us")
        status = await self.get("STATUS")
        assert (status["busy"], status["done"]) == (0, 1)
        await self.put("STATUS", done=1)
        assert not int(self.dut.overlay_interrupt.value)
        low, high = await self.get("CYCLES_LOW"), await self.get("CYCLES_HIGH")
        return high["value"] << 32 | low["value"]

    async def run_sample(self, sample: Sample) -> int:
        self.load(sample.memory)
        return await self.run(sample.program_address)

    def result(self, place: TensorPlace) -> np.ndarray:
        start = self.base % MEMORY + place.address
        data = np.frombuffer(bytes(self.memory[start : start + place.pixels * place.channels]), np.uint8)
        return data.reshape(place.height, place.width, place.channels)


def convolved(sample: Sample) -> np.ndarray:
    """The layer in numpy: exact sums, one rounding to the nearest, halves to even."""
    layer, side = sample.layer, sample.layer.source.height
    source = (
        sample.memory[: side * side * layer.source.channels].reshape(side, side, -1).astype(np.int8).astype(np.int64)
    )
    padded = np.pad(source, ((1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
    sums = np.einsum("yxcij,ocij->yxo", windows, layer.weights) + layer.scaling.bias
    scaled = np.rint(sums * layer.scaling.multiplier / 2.0**layer.scaling.shift)
    return np.clip(scaled, layer.scaling.low, layer.scaling.high).astype(np.int64) & 255


class LeNet:
    """The first two layers of LeNet-5 on bytes, a 5x5 convolution with ReLU and a pooling, with random weights.

    Scales are powers of two, so that what ONNX Runtime rounds in float32 is exact.
    """

    X_ZERO, W_ZERO, Y_ZERO = 7, 131, 3
    X_SCALE, W_SCALE, Y_SCALE = 2.0**-7, 2.0**-6, 2.0**-4
    SOURCE = TensorPlace(address=0, height=28, width=28, channels=1, pixel_pitch=1, zero_point=X_ZERO, signed=False)
    MIDDLE = TensorPlace(
        address=0x1000, height=28, width=28, channels=6, pixel_pitch=6, zero_point=Y_ZERO, signed=False
    )
    TARGET = TensorPlace(
        address=0x2F01, height=14, width=14, channels=6, pixel_pitch=6, zero_point=Y_ZERO, signed=False
    )

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.image = rng.integers(0, 256, (1, 1, 28, 28), np.uint8)
        self.weights = rng.integers(0, 256, (6, 1, 5, 5), np.uint8)
        self.bias = rng.integers(-3000, 3000, 6, np.int32)

    def expected(self) -> list[np.ndarray]:
        """Both results as ONNX Runtime has them, (height, width, channels)."""
        scales = {"xs": self.X_SCALE, "ws": self.W_SCALE, "ys": self.Y_SCALE}
        zeros = {"xz": self.X_ZERO, "wz": self.W_ZERO, "yz": self.Y_ZERO}
        constants = {
            **{name: np.array(value, np.float32) for name, value in scales.items()},
            **{name: np.array(value, np.uint8) for name, value in zeros.items()},
            "w": self.weights,
            "b": self.bias,
        }
        nodes = [
            helper.make_node(
                "QLinearConv", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], ["c"], pads=[2, 2, 2, 2]
            ),
            helper.make_node("Clip", ["c", "yz"], ["y"]),  # ReLU: the zero point is the least there is
            helper.make_node("MaxPool", ["y"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        ]
        values = [helper.make_tensor_value_info(name, TensorProto.UINT8, None) for name in ("x", "y", "p")]
        stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
        graph = helper.make_graph(nodes, "lenet", values[:1], values[1:], stored)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(model.SerializeToString(), options)
        return [np.moveaxis(value[0], 0, -1) for value in session.run(["y", "p"], {"x": self.image})]

    def programs(self) -> tuple[np.ndarray, list[int]]:
        """What is in memory, and where the program of either layer begins."""
        factor = fixed_point(float(float32_scale(self.X_SCALE, self.W_SCALE, self.Y_SCALE)))
        layer = Convolution(
            source=self.SOURCE,
            target=self.MIDDLE,
            weights=self.weights.astype(np.int64),
            weight_zero=self.W_ZERO,
            scaling=Scaling(
                bias=self.bias.astype(np.int64),
                multiplier=np.full(6, factor.multiplier),
                shift=np.full(6, factor.shift),
                low=self.Y_ZERO,
                high=255,
            ),
            pads=(2, 2),
        )
        pooling = MaxPooling(source=self.MIDDLE, target=self.TARGET, windows=Windows(kernel=(2, 2), strides=(2, 2)))
        circuit = OVERLAY.circuit
        programs = [
            convolution_program(layer, circuit, Dataflow.WS, constants_address=0x4000),
            vector_program(pooling, circuit, constants_address=0x8000),
        ]
        image, starts = bytearray(MEMORY // 2), []
        image[: self.image.size] = self.image.tobytes()
        end = 0xA000
        for program in programs:
            place = program.constants_address
            image[place : place + len(program.constants)] = program.constants
            code = assemble(program.instructions)
            image[end : end + len(code)] = code
            starts.append(end)
            end += len(code)
        assert end + FETCH_AHEAD_BYTES <= len(image)
        return np.frombuffer(bytes(image), np.uint8), starts


@cocotb.test()
async def the_registers_say_what_the_overlay_is(dut) -> None:
    system = System(dut)
    await system.begin()
    for name, word in constants(OVERLAY.circuit, address_width=OVERLAY.address_width).items():
        assert await system.get(name) == register(name).unpack(word)
    assert set((await system.get("STATUS")).values()) == {0}


@cocotb.test()
async def registers_take_single_bytes_however_slow_the_processor_is(dut) -> None:
    system, dice = System(dut), random.Random(8)
    await system.begin()
    hold_back(system.host, 80, share=0.6)
    writable = [entry for entry in REGISTERS if all(field.access is Access.WRITE for field in entry.fields)]
    assert len(writable) == 4
    held = {entry.name: bytearray(4) for entry in writable}
    for _ in range(60):
        entry, first = dice.choice(writable), dice.randrange(4)
        data = dice.randbytes(dice.randint(1, 4 - first))
        await system.put_bytes(entry.name, first, data)
        held[entry.name][first : first + len(data)] = data
        assert await system.get(entry.name) == entry.unpack(int.from_bytes(held[entry.name], "little"))


@cocotb.test()
async def a_layer_runs_and_its_cycles_are_counted(dut) -> None:
    system = System(dut)
    await system.begin()
    sample = sample_convolution(OVERLAY.circuit, seed=1)
    cycles = await system.run_sample(sample)
    np.testing.assert_array_equal(system.result(sample.layer.target), convolved(sample))
    assert [cycles] == system.counted
    assert await system.get("STATUS") == dict.fromkeys(await system.get("STATUS"), 0)
    code = sample.memory[sample.program_address :].tobytes()
    ideal = program_cycles(list(disassemble(code)), OVERLAY.circuit).total
    # cocotbext-axi's memory answers sooner than the latency that the overlay hides.
    assert 0.9 * ideal < cycles <= ideal


@cocotb.test()
async def two_layers_of_lenet_are_right_on_a_slow_memory_above_4_gib(dut) -> None:
    system, layers = System(dut, base=BASE), LeNet(seed=2)
    await system.begin()
    hold_back(system.program, 50)
    hold_back(system.data, 60)
    hold_back(system.host, 70)
    image, programs = layers.programs()
    system.load(image)
    before = bytearray(system.memory)
    for place, program, expected in zip((layers.MIDDLE, layers.TARGET), programs, layers.expected(), strict=True):
        assert await system.run(program) == system.counted[-1]
        np.testing.assert_array_equal(system.result(place), expected)
        assert len(np.unique(expected)) > 50
        start = BASE % MEMORY + place.address
        before[start : start + expected.size] = expected.tobytes()
    assert system.memory == before
    for watch in system.watches:
        for channel in {"ar", "aw"} & set(watch.seen):
            assert watch.seen[channel]
            assert all(BASE <= address < BASE + len(image) for address, _ in watch.seen[channel])


@cocotb.test()
async def a_slow_memory_changes_the_cycles_only(dut) -> None:
    system = System(dut)
    await system.begin()
    sample = sample_convolution(OVERLAY.circuit, seed=3)
    first = await system.run_sample(sample)
    hold_back(system.program, 50)
    hold_back(system.data, 60)
    cycles = await system.run_sample(sample)
    np.testing.assert_array_equal(system.result(sample.layer.target), convolved(sample))
    assert cycles == system.counted[-1]
    assert cycles > first


@cocotb.test()
async def an_error_is_told_and_stays_until_it_is_cleared(dut) -> None:
    system = System(dut)
    await system.begin()
    sample = sample_convolution(OVERLAY.circuit, seed=5)
    reader, writer = system.data.read_if, system.data.write_if

    async def refused(address: int, *_: object) -> None:
        raise OSError(f"there is nothing at {address}")

    for side, method, flag in ((reader, "_read", "read_error"), (writer, "_write", "write_error")):
        kept = getattr(side, method)
        setattr(side, method, refused)
        await system.run_sample(sample)
        setattr(side, method, kept)
        status = await system.get("STATUS")
        assert {name for name, value in status.items() if value} == {flag}
        await system.run_sample(sample)
        assert (await system.get("STATUS"))[flag] == 1
        await system.put("STATUS", **{flag: 1})
        assert set((await system.get("STATUS")).values()) == {0}
        np.testing.assert_array_equal(system.result(sample.layer.target), convolved(sample))


@cocotb.test()
async def a_reset_between_programs_is_no_loss(dut) -> None:
    system = System(dut)
    await system.begin()
    sample = sample_convolution(OVERLAY.circuit, seed=6)
    for _ in range(2):
        await system.run_sample(sample)
        dut.overlay_aresetn.value = 0
        await ClockCycles(dut.aclk, 5)
        dut.overlay_aresetn.value = 1
        await ClockCycles(dut.aclk, 2)
        assert await system.get("PROGRAM_ADDRESS") == {"value": 0}
    np.testing.assert_array_equal(system.result(sample.layer.target), convolved(sample))


@cocotb.test()
async def the_last_of_all_a_reset_in_a_program_silences_the_overlay(dut) -> None:
    system = System(dut)
    await system.begin()
    sample = sample_convolution(OVERLAY.circuit, seed=7)
    system.load(sample.memory)
    await system.start(sample.program_address)
    await ClockCycles(dut.aclk, 300)
    assert (await system.get("STATUS"))["busy"]
    dut.overlay_aresetn.value = 0
    await ClockCycles(dut.aclk, 5)
    dut.overlay_aresetn.value = 1
    await ClockCycles(dut.aclk, 2)
    for seen in system.seen:
        seen.clear()
    status = await system.get("STATUS")
    assert (status["busy"], status["stopped"]) == (1, 1)
    await system.put("CONTROL", start=1)
    for _ in range(500):
        await RisingEdge(dut.aclk)
        for channel in ("program_ar", "data_ar", "data_aw", "data_w"):
            assert not int(getattr(dut, f"overlay_m_axi_{channel}valid").value)
    assert not any(system.seen)
