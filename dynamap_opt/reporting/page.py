"""The page: plain HTML that reads without its script, with everything it needs inside."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from importlib.resources import files
from typing import Any

from dynamap_opt.errors import DynamapError

from .style import FAMILIES, Family

__all__ = ["Section", "chart", "chart_library", "definitions", "html_page", "network_section", "table"]

# The page may run its own script and nothing else; it may fetch nothing, from nowhere.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)
_NOTICE = (
    "Charts by Vega, Vega-Lite and Vega-Embed, copyright University of Washington Interactive Data Lab, BSD-3-Clause, "
    "which include parts of D3, copyright Mike Bostock, ISC; both licences allow this use and come without warranty."
)


@dataclass(frozen=True)
class Section:
    """A part of the page: the anchor, the heading, and the HTML below it."""

    key: str
    title: str
    body: str


@lru_cache(maxsize=1)
def chart_library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, from the vl-convert package.

    Raises:
        DynamapError: when it is not installed.
    """
    try:
        import vl_convert  # noqa: PLC0415 - an extra, and only the report needs it
    except ImportError:
        raise DynamapError(
            "the report needs vl-convert-python for its charts; install it with 'pip install dynamap-opt[report]'"
        ) from None
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def html_page(
    title: str, head: Sequence[tuple[str, str, str]], sections: Sequence[Section], facts: Mapping[str, Any], footer: str
) -> str:
    """The whole file.

    Args:
        title: first heading.
        head: (what, figure, detail) of the most important facts.
        sections: in order.
        facts: for the script, JSON-ready.
        footer: HTML of the last lines.
    """
    own = files(__package__)
    style, script = (own.joinpath(name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    families = "".join(
        f".{family.key} .band, .{family.key} .bar, svg.far .{family.key} .card {{ fill: {family.colour}; }}\n"
        f".node.{family.key} .letter {{ fill: {family.ink}; }}\n"
        for family in FAMILIES
    )
    data = json.dumps(facts, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    cards = "".join(
        f"<div><dt>{escape(what)}</dt><dd>{escape(figure)}<small>{escape(detail)}</small></dd></div>"
        for what, figure, detail in head
    )
    links = "".join(f'<li><a href="#{s.key}">{escape(s.title)}</a></li>' for s in sections)
    parts = "\n".join(
        f'<section id="{s.key}" aria-labelledby="{s.key}-title">\n'
        f'<h2 id="{s.key}-title">{escape(s.title)}</h2>\n{s.body}\n</section>'
        for s in sections
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<style>
{style}{families}</style>
</head>
<body>
<a class="skip" href="#layers">Skip to the table of layers</a>
<header>
<h1>{escape(title)}</h1>
<dl class="head">{cards}</dl>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<noscript><p>Without scripts the graph and the tables are still here, the charts are not.</p></noscript>
</header>
<main>
{parts}
</main>
<footer>
<p>{footer}</p>
<p>{_NOTICE}</p>
</footer>
<div id="card" role="tooltip" hidden></div>
<script type="application/json" id="facts">{data}</script>
<script type="module">{chart_library()}</script>
<script type="module">{script}</script>
</body>
</html>
"""


def chart(name: str, title: str, *, wide: bool = False, scroll: bool = False) -> str:
    """The place of a chart; the script draws it when it comes near the window.

    Args:
        name: its key among the page's charts.
        title: read aloud.
        wide: wider than the page perhaps, in a box that scrolls sideways.
        scroll: higher than the window perhaps, in a box that scrolls.
    """
    place = f'<div class="chart" data-chart="{name}" role="figure" aria-label="{escape(title)}"></div>'
    if wide or scroll:
        kind = "scroll" if wide else "scroll tall"
        return f'<div class="{kind}" tabindex="0" role="region" aria-label="{escape(title)}">{place}</div>'
    return place


def definitions(rows: Iterable[tuple[str, str]]) -> str:
    """Facts as a list of terms."""
    return '<dl class="facts">' + "".join(f"<dt>{escape(w)}</dt><dd>{escape(v)}</dd>" for w, v in rows) + "</dl>"


def table(caption: str, columns: Sequence[tuple[str, bool]], rows: Iterable[Sequence[str | tuple[str, int]]]) -> str:
    """A table in a box that scrolls by itself.

    Args:
        caption: what it shows.
        columns: (heading, whether it holds numbers).
        rows: cells; the first heads its row, and as (text, node) leads to a node of the graph.
    """
    head = "".join(
        f'<th scope="col"{" class=number" if number else ""}>{escape(heading)}</th>' for heading, number in columns
    )
    body = []
    for row in rows:
        cells = []
        for index, (cell, (_, number)) in enumerate(zip(row, columns, strict=True)):
            if isinstance(cell, tuple):
                text, node = cell
                content = f'<a href="#network" data-node="{node}">{escape(text)}</a>'
            else:
                content = escape(cell)
            kind = " class=number" if number else ""
            cells.append(f'<th scope="row"{kind}>{content}</th>' if index == 0 else f"<td{kind}>{content}</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f'<div class="scroll tall" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>\n<tbody>"
        + "\n".join(body)
        + "</tbody></table></div>"
    )


def network_section(
    svg: str, families: Sequence[Family], layouts: Sequence[str], names: Iterable[str], *, differs: bool
) -> str:
    """The graph with its legend and tools."""
    legend = [
        '<li><svg width="20" height="20" aria-hidden="true">'
        f'<rect width="20" height="20" rx="4" fill="{family.colour}"/>'
        f'<text x="10" y="15" text-anchor="middle" font-size="13" font-weight="700" fill="{family.ink}">{family.letter}'
        f"</text></svg>{escape(family.label)}</li>"
        for family in families
    ]
    dashes = {"nhwc": "", "toeplitz": "7 4", "tiles": "2 4"}
    legend += [
        f'<li><svg width="34" height="12" aria-hidden="true"><path d="M0 6H34" stroke="currentColor" stroke-width="2" '
        f'stroke-dasharray="{dashes.get(kind, "")}"/></svg>stored as {escape(kind)}</li>'
        for kind in layouts
    ]
    legend.append(
        '<li><svg width="34" height="12" aria-hidden="true">'
        '<rect y="4" width="24" height="4" fill="currentColor"/></svg>share of the latency</li>'
    )
    if differs:
        legend.append(
            '<li><svg width="24" height="16" aria-hidden="true">'
            '<rect x="1" y="1" width="22" height="14" rx="3" fill="none" '
            'stroke="#d55e00" stroke-width="2.5" stroke-dasharray="5 3"/></svg>chosen otherwise in the other plan</li>'
        )
    options = "".join(f'<option value="{escape(name)}">' for name in names)
    return f"""<p>Point at a layer, tap it or move to it with the arrow keys to see its shape, cycles and
alternatives. Drag to move; click the graph, then use the wheel to zoom, or hold Ctrl; the keys + − and 0 zoom and show
the whole.</p>
<ul class="legend">{"".join(legend)}</ul>
<div class="tools"><button id="zoom-in" type="button" aria-label="zoom in">+</button><button id="zoom-out" type="button"
aria-label="zoom out">−</button><button id="zoom-fit" type="button">whole</button><button id="zoom-start"
type="button">start</button>
<label>find <input id="find" list="names" autocomplete="off" placeholder="name of a layer"></label><datalist
id="names">{options}</datalist></div>
<div id="view">{svg}<canvas id="minimap" aria-hidden="true"></canvas><div id="hint">Click the graph first, or hold
Ctrl, to zoom with the wheel</div></div>"""
