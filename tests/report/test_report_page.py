"""A report in a real browser: what it shows, how it is used, that it is quiet and asks nothing of a network."""

from __future__ import annotations

import re

import pytest

from dynamap_opt.reporting.style import FAMILIES

CHARTS = ("latency", "occupancy", "roofline", "map", "front", "bandwidth", "memory", "changes")


def ready(page, name):
    """Scroll to a chart and wait until it is drawn."""
    page.locator(f'[data-chart="{name}"]').scroll_into_view_if_needed()
    page.wait_for_selector(f'[data-chart="{name}"][data-ready="yes"]')
    return page.locator(f'[data-chart="{name}"]')


def transform(page):
    return page.locator("#scene").evaluate("scene => scene.style.transform")


def scale(page):
    return float(re.search(r"scale\(([\d.]+)\)", transform(page))[1])


def settled(page):
    """Wait until a frame is drawn."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def place_of(plan, name):
    return next(index for index, row in enumerate(plan.layers) if row.name == name)


def test_every_chart_is_drawn_without_a_word_on_the_console(opened):
    page = opened()
    for name in CHARTS:
        chart = ready(page, name)
        assert chart.locator("svg, canvas").count() == 1, name


def test_the_page_forbids_itself_any_request(opened):
    page = opened()
    policy = page.locator('meta[http-equiv="Content-Security-Policy"]').get_attribute("content")
    assert policy.startswith("default-src 'none'")
    assert "connect-src" not in policy


def test_pointing_at_a_layer_shows_its_cycles_and_alternatives(opened, plan):
    page = opened()
    index = place_of(plan, "fire2/expand_3x3")
    row = plan.layers[index]
    page.locator(f"#n{index}").hover()
    card = page.locator("#card")
    assert card.is_visible()
    text = card.inner_text()
    assert "fire2/expand_3x3" in text
    assert f"{row.cycles:,}" in text
    assert "×".join(map(str, row.output_shape)) in text
    assert f"load {row.load_cycles:,}, compute {row.compute_cycles:,}, store {row.store_cycles:,}" in text
    assert f"✓ {row.algorithm}" in text
    assert card.locator("tbody tr").count() > 2
    page.mouse.move(5, 5)
    assert card.is_hidden()


def test_the_wheel_zooms_once_the_graph_is_clicked_and_scrolls_the_page_before(opened):
    page = opened()
    before = scale(page)
    box = page.locator("#view").bounding_box()
    page.mouse.move(box["x"] + 30, box["y"] + 300)
    page.mouse.wheel(0, -300)
    settled(page)
    assert scale(page) == before
    assert "shown" in page.locator("#hint").get_attribute("class")
    page.mouse.down()
    page.mouse.up()
    page.mouse.wheel(0, -300)
    settled(page)
    page.wait_for_function(f"() => !document.getElementById('scene').style.transform.includes('scale({before})')")
    assert scale(page) > before


def test_dragging_moves_the_graph(opened):
    page = opened()
    before = transform(page)
    box = page.locator("#view").bounding_box()
    page.mouse.move(box["x"] + 30, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 130, box["y"] + 150, steps=4)
    page.mouse.up()
    settled(page)
    assert transform(page) != before
    assert scale(page) == float(re.search(r"scale\(([\d.]+)\)", before)[1])


def test_the_keyboard_reaches_every_layer_and_zooms(opened, plan):
    page = opened()
    page.locator("#find").focus()
    page.keyboard.press("Tab")
    focused = "() => document.activeElement.id"
    assert page.evaluate(focused) == "n0"
    assert plan.layers[0].name in page.locator("#card").inner_text()
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == "n1"
    assert plan.layers[1].name in page.locator("#card").inner_text()
    page.keyboard.press("End")
    assert page.evaluate(focused) == f"n{len(plan.layers) - 1}"
    page.keyboard.press("ArrowUp")
    assert page.evaluate(focused) == f"n{len(plan.layers) - 2}"
    before = scale(page)
    page.keyboard.press("+")
    settled(page)
    assert scale(page) == pytest.approx(1.25 * before)
    page.keyboard.press("0")
    settled(page)
    box, whole = page.locator("#view").bounding_box(), page.locator("#scene").bounding_box()
    assert whole["height"] <= box["height"] + 1
    assert whole["width"] <= box["width"] + 1
    page.keyboard.press("Escape")
    assert page.locator("#card").is_hidden()


def test_a_layer_is_found_by_name_and_from_the_table(opened, plan):
    page = opened()
    page.locator("#find").fill("fire9/squee")
    page.keyboard.press("Enter")
    index = place_of(plan, "fire9/squeeze")
    assert page.evaluate("() => document.activeElement.id") == f"n{index}"
    page.locator("#layers a", has_text="fire3/expand_1x1").click()
    assert page.evaluate("() => document.activeElement.id") == f"n{place_of(plan, 'fire3/expand_1x1')}"


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_readable_at_every_width_and_in_the_dark(opened, width, scheme):
    page = opened(viewport={"width": width, "height": 800}, color_scheme=scheme)
    for name in CHARTS:
        ready(page, name)
    assert page.evaluate("() => document.documentElement.scrollWidth") == width
    for selector in ("body", "p", "dt", "th", "td", "nav a", "button", "figcaption, .note", "footer p", "#layers a"):
        assert page.evaluate(CONTRAST, selector) >= 4.5, selector
    smallest = page.evaluate(
        "() => Math.min(...[...document.querySelectorAll('main p, main td, main dd')]"
        ".map(e => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert smallest >= 12
    assert page.evaluate(CUT) == []


# Words of charts that reach beyond their chart, and charts with ink at the right edge of their legend.
CUT = """() => [...document.querySelectorAll("[data-chart]")].flatMap((chart) => {
  const svg = chart.querySelector("svg"), canvas = chart.querySelector("canvas");
  if (svg) {
    const { left, right } = svg.getBoundingClientRect();
    return [...svg.querySelectorAll("text")].filter((text) => {
      const box = text.getBoundingClientRect();
      return box.left < left - 1 || box.right > right + 1;
    }).map((text) => `${chart.dataset.chart}: ${text.textContent}`);
  }
  const edge = canvas.getContext("2d").getImageData(canvas.width - 2, 0, 2, 50).data;
  const colours = new Set(Array.from({ length: edge.length / 4 }, (_, k) => edge.slice(4 * k, 4 * k + 4).join()));
  return colours.size > 1 ? [chart.dataset.chart] : [];
})"""


# WCAG's contrast of a text and what lies behind it, the worst of all matches.
CONTRAST = """(selector) => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = colour.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const [r, g, b, a = 1] = channels(getComputedStyle(e).backgroundColor);
      if (a === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  let worst = 21;
  for (const element of document.querySelectorAll(selector)) {
    const [a, b] = [light(channels(getComputedStyle(element).color).slice(0, 3)), light(behind(element))];
    worst = Math.min(worst, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  }
  return worst;
}"""


def test_a_touch_shows_a_layer(opened, plan):
    page = opened(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    page.locator("#n0").tap()
    card = page.locator("#card")
    assert plan.layers[0].name in card.inner_text()
    box = card.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390


def test_charts_answer_the_pointer(opened):
    page = opened()
    chart = ready(page, "roofline")
    chart.locator("path[aria-roledescription='point']").first.hover()
    page.wait_for_selector("#vg-tooltip-element.visible")
    assert "bound by" in page.locator("#vg-tooltip-element").inner_text()


def test_the_map_says_which_latencies_are_bounds(opened):
    page = opened()
    ready(page, "memory")  # whatever lies below has its place
    chart = ready(page, "map")
    box = chart.locator("canvas").bounding_box()
    said = set()
    for step in range(12):
        page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * (0.25 + step / 20))
        page.wait_for_timeout(30)
        tooltip = page.locator("#vg-tooltip-element.visible")
        if tooltip.count():
            said.add("at least" in tooltip.inner_text())
    assert True in said


def test_every_family_has_a_letter_of_its_own_and_it_is_readable():
    def light(colour):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        r, g, b = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    for key in ("letter", "shape", "colour"):
        assert len({getattr(family, key) for family in FAMILIES}) == len(FAMILIES)
    for family in FAMILIES:
        low, high = sorted([light(family.colour), light(family.ink)])
        assert (high + 0.05) / (low + 0.05) >= 4.5, family.label
