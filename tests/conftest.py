"""Files beside the tests that pytest must not import."""

from __future__ import annotations

collect_ignore = ["axi_cocotb.py"]  # runs inside a simulator
