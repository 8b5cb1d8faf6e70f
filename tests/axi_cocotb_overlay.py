"""The overlay between a memory and a processor of cocotbext-axi; run by ``test_axi_bus.py`` inside the simulator."""

from __future__ import annotations

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam, AxiRamRead, AxiReadBus, AxiResp

from axi_bench import OVERLAY
from axi_cocotb_bus import BASE, MEMORY, hold_back, start_clock, watch
from dynamap_rtl.axi.registers import constants, register
from dynamap_rtl.program.sample import Sample, sample_convolution
from dynamap_rtl.simulation import OverlaySimulation


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
        self.seen: dict[str, list[tuple[int, ...]]] = {"program_ar": [], "data_ar": [], "data_aw": []}
        self.counted: list[int] = []  # cycles of every run, by the signals of the overlay

    async def begin(self) -> None:
        start_clock(self.dut)
        self.dut.overlay_aresetn.value = 0
        await ClockCycles(self.dut.aclk, 3)
        self.dut.overlay_aresetn.value = 1
        await ClockCycles(self.dut.aclk, 2)
        for channel, seen in self.seen.items():
            bus, letters, reset = f"overlay_m_axi_{channel[:-3]}", channel[-2:], self.dut.overlay_aresetn
            cocotb.start_soon(watch(self.dut, bus, letters, ["addr", "len"], seen, reset=reset))
        cocotb.start_soon(self._count())

    async def _count(self) -> None:
        core, edge = self.dut.overlay.core, RisingEdge(self.dut.aclk)
        while True:
            await edge
            if int(core.control_start.value):
                cycles = 1
                while True:
                    await edge
                    cycles += 1
                    if int(core.overlay_finished.value):
                        break
                self.counted.append(cycles)

    async def get(self, name: str) -> dict[str, int]:
        entry = register(name)
        answer = await self.host.read(entry.offset, 4)
        assert answer.resp == AxiResp.OKAY
        return entry.unpack(int.from_bytes(answer.data, "little"))

    async def put(self, name: str, **fields: int) -> None:
        entry = register(name)
        await self.host.write(entry.offset, entry.pack(**fields).to_bytes(4, "little"))

    def load(self, sample: Sample) -> None:
        start = self.base % MEMORY
        self.memory[start : start + len(sample.memory)] = sample.memory.tobytes()

    async def start(self, sample: Sample) -> None:
        self.load(sample)
        await self.put("PROGRAM_ADDRESS", value=sample.program_address)
        await self.put("BASE_LOW", value=self.base >> 12 & 0xFFFFF)
        await self.put("BASE_HIGH", value=self.base >> 32)
        await self.put("INTERRUPT", enable=1)
        await self.put("CONTROL", start=1)

    async def run(self, sample: Sample) -> int:
        """Run, and give the cycle counter."""
        await self.start(sample)
        assert not int(self.dut.overlay_interrupt.value)
        await with_timeout(RisingEdge(self.dut.overlay_interrupt), 100, "us")
        status = await self.get("STATUS")
        assert (status["busy"], status["done"]) == (0, 1)
        await self.put("STATUS", done=1)
        assert not int(self.dut.overlay_interrupt.value)
        low, high = await self.get("CYCLES_LOW"), await self.get("CYCLES_HIGH")
        return high["value"] << 32 | low["value"]

    def result(self, sample: Sample) -> np.ndarray:
        place, start = sample.layer.target, self.base % MEMORY + sample.layer.target.address
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


def ideal_cycles(sample: Sample) -> int:
    """On memory that answers after ``dram_latency_cycles``."""
    simulation = OverlaySimulation(OVERLAY.circuit, memory_bytes=len(sample.memory))
    simulation.memory[:] = sample.memory
    return simulation.run(sample.program_address)


@cocotb.test()
async def the_registers_say_what_the_overlay_is(dut) -> None:
    system = System(dut)
    await system.begin()
    for name, word in constants(OVERLAY.circuit, address_width=OVERLAY.address_width).items():
        assert await system.get(name) == register(name).unpack(word)
    assert set((await system.get("STATUS")).values()) == {0}


@cocotb.test()
async def a_layer_runs_and_its_cycles_are_counted(dut) -> None:
    system = System(dut)
    await system.begin()
    sample = sample_convolution(OVERLAY.circuit, seed=1)
    cycles = await system.run(sample)
    np.testing.assert_array_equal(system.result(sample), convolved(sample))
    assert [cycles] == system.counted
    assert await system.get("STATUS") == dict.fromkeys(await system.get("STATUS"), 0)
    # cocotbext-axi's memory answers sooner than the latency that the overlay hides.
    assert ideal_cycles(sample) * 0.8 < cycles < ideal_cycles(sample) * 1.2


@cocotb.test()
async def a_slow_memory_above_4_gib_changes_the_cycles_only(dut) -> None:
    system = System(dut, base=BASE)
    await system.begin()
    quick = sample_convolution(OVERLAY.circuit, seed=2)
    first = await system.run(quick)
    hold_back(system.program, 50)
    hold_back(system.data, 60)
    for seed in (3, 4):
        sample = sample_convolution(OVERLAY.circuit, seed=seed)
        cycles = await system.run(sample)
        np.testing.assert_array_equal(system.result(sample), convolved(sample))
        assert cycles == system.counted[-1]
        assert cycles > first
    size = len(quick.memory)
    for seen in system.seen.values():
        assert seen
        for address, length in seen:
            assert BASE <= address < BASE + size
            assert length < 256


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
        await system.run(sample)
        setattr(side, method, kept)
        status = await system.get("STATUS")
        assert {name for name, value in status.items() if value} == {flag}
        await system.run(sample)
        assert (await system.get("STATUS"))[flag] == 1
        await system.put("STATUS", **{flag: 1})
        assert set((await system.get("STATUS")).values()) == {0}
        np.testing.assert_array_equal(system.result(sample), convolved(sample))


@cocotb.test()
async def a_reset_between_programs_is_no_loss(dut) -> None:
    system = System(dut)
    await system.begin()
    sample = sample_convolution(OVERLAY.circuit, seed=6)
    for _ in range(2):
        await system.run(sample)
        dut.overlay_aresetn.value = 0
        await ClockCycles(dut.aclk, 5)
        dut.overlay_aresetn.value = 1
        await ClockCycles(dut.aclk, 2)
        assert await system.get("PROGRAM_ADDRESS") == {"value": 0}
    np.testing.assert_array_equal(system.result(sample), convolved(sample))


@cocotb.test()
async def the_last_of_all_a_reset_in_a_program_silences_the_overlay(dut) -> None:
    system = System(dut)
    await system.begin()
    sample = sample_convolution(OVERLAY.circuit, seed=7)
    await system.start(sample)
    await ClockCycles(dut.aclk, 300)
    assert (await system.get("STATUS"))["busy"]
    dut.overlay_aresetn.value = 0
    await ClockCycles(dut.aclk, 5)
    dut.overlay_aresetn.value = 1
    await ClockCycles(dut.aclk, 2)
    for seen in system.seen.values():
        seen.clear()
    status = await system.get("STATUS")
    assert (status["busy"], status["stopped"]) == (1, 1)
    await system.put("CONTROL", start=1)
    for _ in range(500):
        await RisingEdge(dut.aclk)
        for channel in ("program_ar", "data_ar", "data_aw", "data_w"):
            assert not int(getattr(dut, f"overlay_m_axi_{channel}valid").value)
    assert not any(system.seen.values())
