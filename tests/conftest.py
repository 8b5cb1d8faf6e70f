"""What holds for all tests: files beside them that are none, how signals stand, and which share a worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest

collect_ignore_glob = ["axi_cocotb_*.py"]  # run inside a simulator


def pytest_configure() -> None:
    """What a test starts hears interrupts, even where the tests run in the background of a shell.

    Simulators are compiled without what takes longest, for they are many and run briefly; tests of how they are
    compiled take that back.
    """
    os.environ.setdefault("CFLAGS", "-Og")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)  # before xdist, which reads the marks in a hook that is tried first
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, None, None]:
    """Tests that share what a fixture makes once go to one worker, which then makes it once."""
    for item in items:
        if group := _shared(item):
            item.add_marker(pytest.mark.xdist_group(group))
    return (yield)


def _shared(item: pytest.Item) -> str:
    """Where the widest fixture of ours that outlives the test is, with its parameters here; empty without one."""
    if not isinstance(item, pytest.Function):
        return ""
    chosen = item.callspec.params if hasattr(item, "callspec") else {}
    found: dict[str, list[str]] = {}
    for name, definitions in item._fixtureinfo.name2fixturedefs.items():
        for definition in definitions[-1:]:
            if definition.scope in {"module", "package", "session"} and definition.baseid:
                found.setdefault(definition.baseid, []).extend([str(chosen[name])] if name in chosen else [])
    place = min(found, key=len, default="")
    return ":".join([place, *found[place]]) if place else ""
