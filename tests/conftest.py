"""Files beside the tests that pytest must not import."""

from __future__ import annotations

collect_ignore_glob = ["axi_cocotb_*.py"]  # run inside a simulator
