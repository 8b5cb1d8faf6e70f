"""Progress on standard error."""

from __future__ import annotations

import io
import sys
import time

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


def test_work_that_finishes_nothing_for_long_says_that_it_goes_on(monkeypatch, capsys):
    monkeypatch.setattr(Progress, "_PATIENCE_S", 0.01)
    with Progress("counting"):
        time.sleep(0.2)
    assert capsys.readouterr().err == "counting: at work\n"


def test_work_that_is_done_soon_says_nothing(capsys):
    with Progress("counting") as progress:
        progress(3, 3)
    assert capsys.readouterr().err == ""
