"""Fixtures for tests of how simulators are compiled."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Simulators are compiled as users get them, into a cache of this run's own."""
    folder = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("DYNAMAP_CACHE", str(folder))
    monkeypatch.delenv("CFLAGS", raising=False)
    return folder / "simulators"
