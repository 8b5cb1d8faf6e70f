"""Take the pictures of docs/report.md from a report, or measure how smoothly one moves.

    dynamap report plan.json -o report.html
    python docs/report_page.py report.html              writes docs/images/report-*.png
    python docs/report_page.py report.html --frames     prints the time between frames while it is zoomed and moved

Both use the headless Chromium of the tests (tests/headless_browser.py says which).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from headless_browser import launched  # noqa: E402 - found by the line above

IMAGES = ROOT / "docs" / "images"

# Milliseconds between frames, each after one more step of the wheel or of the pointer.
FRAMES = """async () => {
  const view = document.getElementById("view"), svg = document.getElementById("network");
  const { left, top, width, height } = view.getBoundingClientRect();
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const measured = {};
  const run = async (name, steps, act) => {
    const times = [];
    await frame();
    for (let step = 0, last = performance.now(); step < steps; step++) {
      act(step);
      await frame();
      times.push(performance.now() - last);
      last = performance.now();
    }
    times.sort((a, b) => a - b);
    measured[name] = [times[steps >> 1], times[Math.floor(0.95 * steps)], times[steps - 1]];
  };
  const wheel = (deltaY) => view.dispatchEvent(new WheelEvent("wheel", {
    deltaY, clientX: left + width / 2, clientY: top + height / 2, bubbles: true, cancelable: true }));
  const pointer = (type, y) => svg.dispatchEvent(new PointerEvent(type, {
    pointerId: 1, clientX: left + 9, clientY: y, bubbles: true, buttons: 1 }));
  view.classList.add("engaged");
  await run("zoom out", 80, () => wheel(50));
  await run("zoom in", 80, () => wheel(-50));
  document.getElementById("zoom-start").click();
  pointer("pointerdown", top + 500);
  await run("move", 100, (step) => pointer("pointermove", top + 500 - 5 * step));
  pointer("pointerup", top);
  return measured;
}"""


def pictures(page: Any) -> None:
    """The graph with a layer pointed at, and the map with the Pareto front."""
    for chart in ("latency", "bandwidth", "map", "front"):
        page.locator(f'[data-chart="{chart}"]').scroll_into_view_if_needed()
        page.wait_for_selector(f'[data-chart="{chart}"][data-ready="yes"]')
    page.locator("#exploration .columns").first.screenshot(path=IMAGES / "report-exploration.png")
    page.evaluate(
        "scrollTo({top: document.querySelector('#network-graph .legend').offsetTop - 10, behavior: 'instant'})"
    )
    page.locator("g.node.winograd").first.hover()
    page.screenshot(path=IMAGES / "report-network.png", clip={"x": 0, "y": 0, "width": 1120, "height": 840})


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, metavar="F.html")
    parser.add_argument("--frames", action="store_true", help="measure instead of taking pictures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, launched(Path(folder)) as browser:
        page = browser.new_page(viewport={"width": 1120, "height": 900})
        page.goto(options.report.resolve().as_uri())
        if not options.frames:
            pictures(page)
            return
        page.wait_for_timeout(2000)  # charts near the window are drawn
        for what, times in page.evaluate(FRAMES).items():
            print(f"{what:9} median {times[0]:5.1f} ms, 95 % within {times[1]:5.1f} ms, longest {times[2]:5.1f} ms")


if __name__ == "__main__":
    main()
