"""Progress on standard error."""

from __future__ import annotations

import io
import sys

import pytest

from dynamap_opt.cli.output import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def breaks_off():
    with Progress("counting") as progress:
        progress._last -= 1  # as if a second had gone by
        progress(1, 3)
        raise ValueError("wrong")


def test_a_line_of_progress_is_gone_before_what_went_wrong_is_said(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(Progress, "_PATIENCE_S", -1.0)
    with pytest.raises(ValueError, match="wrong"):
        breaks_off()
    assert "counting: 1 of 3" in screen.getvalue()
    assert screen.getvalue().endswith("\r\x1b[K")
