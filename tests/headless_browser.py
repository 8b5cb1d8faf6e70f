"""A real Chromium without a window, for tests that look at pages.

The first of these that there is: the program that DYNAMAP_CHROMIUM names, a Chromium or Chrome on the path, the one
that ``make test`` installs beside the Python packages (``requirements/browser``).
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

OWN = Path(sys.prefix) / "browser"
NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str | None:
    """The program, or None."""
    named = os.environ.get("DYNAMAP_CHROMIUM")
    if named:
        return named
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    return found or (str(OWN / "chromium") if (OWN / "chromium").exists() else None)


@contextmanager
def launched(folder: Path) -> Iterator[Any]:
    """A running browser, as Playwright has them; ``folder`` takes its configuration of fonts."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - takes a while

    program = chromium()
    environment: dict[str, str | float | bool] = {**os.environ}
    if program == str(OWN / "chromium"):  # brings libraries and a font for machines without
        fonts = folder / "fonts.conf"
        fonts.write_text(
            '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
            f"<dir>{OWN / 'fonts'}</dir><dir>/usr/share/fonts</dir><cachedir>{folder / 'fonts'}</cachedir>"
            "</fontconfig>",
            encoding="utf-8",
        )
        libraries = os.pathsep.join(filter(None, (str(OWN / "lib"), os.environ.get("LD_LIBRARY_PATH"))))
        environment |= {"FONTCONFIG_FILE": str(fonts), "LD_LIBRARY_PATH": libraries}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu", "--no-zygote"], env=environment
        )
        try:
            yield browser
        finally:
            browser.close()
