"""The comparison of simulators measures what is there and says what is not."""

from __future__ import annotations

import pyrtl
import pytest

from dynamap_rtl.hardware import Grid, HardwareError, Leaf
from dynamap_rtl.hardware.simulator import SIMULATORS, compare_simulators
from dynamap_rtl.hardware.simulator import compare as comparison


def shift(columns: int) -> Grid:
    def logic(i):
        r = pyrtl.Register(70, "r")
        r.next <<= i["a"]
        return {"b": r}

    cell = Leaf("hold", inputs={"a": 70}, outputs={"b": 70}, logic=logic)
    return Grid(f"shift_{columns}", cell, rows=1, columns=columns, east={"a": "b"})


def test_every_simulator_without_verilog():
    rates = compare_simulators([shift(2)], seconds=0.02, patience=60)
    assert [rate.simulator for rate in rates] == list(SIMULATORS)
    for rate in rates:
        assert rate.top == "shift_2"
        if rate.simulator in {"Icarus", "Verilator"}:
            assert rate.cycles_per_second is None
            assert rate.reason
        else:
            assert rate.build_seconds > 0
            assert rate.cycles_per_second > 0


def test_what_takes_too_long_is_ended_and_not_tried_larger(monkeypatch):
    def endless(*_):
        while True:
            pass

    monkeypatch.setattr(comparison, "SIMULATORS", {"endless": endless, "dynamap": SIMULATORS["dynamap"]})
    rates = compare_simulators([shift(2), shift(3)], simulators=["endless"], seconds=0.01, patience=0.5)
    assert [rate.reason for rate in rates] == ["not done after 0.5 s", "out of patience with something smaller"]


def test_a_simulator_that_is_not_there():
    with pytest.raises(HardwareError, match="there is no simulator 'Icurus'; there are"):
        compare_simulators([shift(2)], simulators=["Icurus"])
