"""What a report says, held against the plan and against enumeration, without a browser."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from itertools import combinations, pairwise

import numpy as np
import pytest

import dynamap_opt
from dynamap_opt.api import load_model
from dynamap_opt.explanation import mapper_of
from dynamap_opt.exploration import Exploration
from dynamap_opt.front import explore_front, front_of
from dynamap_opt.lowering import lower
from dynamap_opt.plan import PlanError
from dynamap_opt.reporting.difference import check_comparable, layer_differences
from dynamap_opt.reporting.facts import layer_rows, proof_rows, shape_facts
from dynamap_opt.reporting.graph import draw, edges_and_nodes
from dynamap_opt.reporting.picture import network_svg
from dynamap_opt.selection import BatchedSelection

MOST_BYTES = 8_000_000


@pytest.fixture(scope="session")
def mapper(plan):
    return mapper_of(plan, load_model(plan.model.source))


@pytest.fixture(scope="session")
def explored(mapper):
    return explore_front(mapper)


def facts_of(html):
    """The script's facts."""
    return json.loads(re.search(r'<script type="application/json" id="facts">(.*?)</script>', html, re.DOTALL)[1])


class Elements(HTMLParser):
    """Names and attributes of all elements."""

    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


# ---- the graph ----


@pytest.mark.parametrize("name", ["googlenet", "squeezenet-1.1", "u-net"])
def test_edges_are_the_tensors_stages_read_and_go_down(name):
    program = lower(load_model(name))
    plan = dynamap_opt.map(name, "ecp5-85k", array=(4, 4), cost="paper")
    nodes, edges = edges_and_nodes(program, plan.layers)
    assert [node.name for node in nodes if node.kind == "stage"] == [row.name for row in plan.layers]
    drawing = draw(nodes, edges)
    for edge, route in zip(drawing.edges, drawing.routes, strict=True):
        heights = [y for _, y in route]
        assert heights == sorted(set(heights))
        assert route[0] == drawing.centres[edge.source]
        assert route[-1] == drawing.centres[edge.target]
    assert len(set(drawing.centres)) == len(nodes)
    # Through concatenations and reshapes, a stage is fed by the stages whose outputs it reads.
    before = {index: {edge.source for edge in edges if edge.target == index} for index in range(len(nodes))}

    def feeding(index):
        return set().union(*({s} if nodes[s].kind != "concat" else feeding(s) for s in before[index]), set())

    writers = {stage.output: index for index, stage in enumerate(program.stages)}
    network = program.network

    def origin(tensor):
        if tensor in writers:
            return {program.stages[writers[tensor]].name}
        layer = network.writers.get(tensor)
        return {tensor} if layer is None else set().union(*(origin(source) for source in layer.inputs))

    for index, stage in enumerate(program.stages):
        assert {nodes[source].name for source in feeding(index)} == set().union(*(origin(t) for t in stage.inputs))


@pytest.mark.parametrize("name", ["inception-v4", "nasnet-a-mobile"])
def test_no_two_nodes_cover_each_other_and_no_two_labels(name):
    plan, program = dynamap_opt.map(name, "zcu104", array=(8, 8), cost="paper"), lower(load_model(name))
    drawing = draw(*edges_and_nodes(program, plan.layers))
    placed = sorted((y, x) for x, y in drawing.centres)
    apart = [right - left for (y, left), (below, right) in pairwise(placed) if y == below]
    assert len(apart) > 50
    assert min(apart) > 0.999
    svg = network_svg(drawing, layer_rows(plan, program.stages))
    labels = re.search(r'<g class="layouts".*?</g>', svg)[0]
    found = [(int(x), int(y), len(t)) for x, y, t in re.findall(r'x="(\d+)" y="(\d+)">([^<]*)<', labels)]
    assert len(found) == len(drawing.edges)
    for one, other in combinations(found, 2):
        (x, y, letters), (right, below, _) = sorted((one, other))
        assert abs(y - below) >= 10 or x + 5.5 * letters <= right


def test_an_edge_carries_the_layout_its_reader_reads(plan, mapper):
    nodes, edges = edges_and_nodes(mapper.program, plan.layers)
    for index, row in enumerate(plan.layers):
        layouts = {edge.layout for edge in edges if edge.target == index}
        assert row.input_layout in layouts
    assert {edge.layout for edge in edges if nodes[edge.source].kind == "input"} == {plan.layers[0].input_layout}


# ---- layers ----


def test_layers_follow_one_another_and_make_up_the_latency(plan, mapper):
    rows = layer_rows(plan, mapper.program.stages)
    assert rows[0]["start"] == 0
    assert rows[-1]["end"] == plan.latency_cycles
    assert all(one["end"] == two["start"] for one, two in pairwise(rows))
    assert sum(row["share"] for row in rows) == pytest.approx(1, abs=1e-4)


def test_no_layer_is_above_its_roof(plan, mapper):
    port, elements = mapper.overlay.dram_bytes_per_cycle, plan.array[0] * plan.array[1]
    checked = 0
    for row in layer_rows(plan, mapper.program.stages):
        if "rate" in row:
            checked += 1
            assert row["rate"] <= port * row["intensity"] * 1.0001, row["name"]
            assert row["rate"] <= elements or row["family"] == "Winograd"
    assert checked > 20


# ---- shapes ----


def test_bounds_are_bounds_and_the_front_is_that_of_enumeration(mapper, explored, plan):
    shapes = mapper.shapes()
    exact = BatchedSelection(mapper.tables).evaluate(shapes.p1, shapes.p2)
    assert (explored.latency_cycles <= exact).all()
    assert (explored.latency_cycles[explored.exact] == exact[explored.exact]).all()
    assert not explored.exact.all()
    assert front_of(explored) == Exploration(shapes, exact, int(exact.argmin())).pareto()
    assert (explored.best_shape, explored.latency_cycles[explored.best]) == (plan.array, plan.latency_cycles)


def test_a_front_that_bounds_leave_open_is_not_given(explored):
    loosened = explored.latency_cycles.copy()
    loosened[np.flatnonzero(~explored.exact)[-1]] = 1
    found = Exploration(explored.shapes, loosened, explored.best, exact=explored.exact)
    assert front_of(found) is None


def test_the_published_costs_are_exact_everywhere(board):
    plan = dynamap_opt.map("squeezenet-1.1", board, cost="paper")
    found = explore_front(mapper_of(plan, load_model("squeezenet-1.1")))
    assert found.exact_everywhere
    assert front_of(found) == [(*row.array, row.latency_cycles) for row in plan.pareto]


def test_the_page_carries_every_shape_and_says_which_are_exact(report, explored, plan):
    shapes = facts_of(report.html)["shapes"]
    assert len(shapes["p1"]) == plan.shapes_explored
    assert shapes["exact"] == np.flatnonzero(explored.exact).tolist()
    assert shapes["front"] == [list(row) for row in front_of(explored)]
    assert f"{len(shapes['exact']):,} of {plan.shapes_explored:,} latencies are exact" in report.html


# ---- the proof ----


def test_the_proof_names_method_bound_certificate_and_how_to_check_it(report, plan):
    said = dict(proof_rows(plan))
    assert said["status"] == "proved optimal"
    assert said["lower bound"] == f"{plan.lower_bound_cycles:,} cycles (no gap)"
    assert plan.proof.method in said["method"]
    assert f"{len(plan.proof.reductions):,} steps" in said["certificate"]
    for text in (*said.values(), "dynamap verify squeezenet-1.1.json --explore"):
        assert text in report.html


# ---- two plans ----


def test_the_layers_that_differ_are_named_and_no_others(report, plan, other_plan):
    rows = layer_differences(plan, other_plan)
    expected = [
        after.name
        for before, after in zip(other_plan.layers, plan.layers, strict=True)
        if (before.algorithm, before.dataflow, before.output_layout, before.cycles)
        != (after.algorithm, after.dataflow, after.output_layout, after.cycles)
    ]
    assert [row["name"] for row in rows] == expected
    assert sum(row["change"] for row in rows) == plan.latency_cycles - other_plan.latency_cycles
    marked = [
        attrs["data-n"] for tag, attrs in Elements(report.html).found if "changed" in attrs.get("class", "").split()
    ]
    assert marked == [str(row["n"] - 1) for row in rows if row["choice"]]
    assert 0 < len(marked) < len(rows)


def test_a_plan_does_not_differ_from_itself(plan):
    assert layer_differences(plan, plan) == []
    assert "No layer differs" in dynamap_opt.report(plan, against=plan, explore=False).html


def test_plans_of_different_networks_are_not_compared(plan):
    other = dynamap_opt.map("vgg-16", "ecp5-85k", array=(8, 8), cost="paper")
    with pytest.raises(PlanError, match=r"'squeezenet-1\.1' and 'vgg-16'; compare plans made from the same model"):
        check_comparable(plan, other)


# ---- the file ----


def test_the_file_loads_nothing(report):
    for tag, attrs in Elements(report.html).found:
        assert tag not in {"iframe", "object", "embed", "img", "base"}
        assert tag != "script" or "src" not in attrs
        for name in ("href", "src", "xlink:href", "action"):
            assert attrs.get(name, "#").startswith(("#", "data:,")), (tag, attrs)
    assert "@import" not in report.html
    assert not re.search(r"url\((?!#)", report.html[: report.html.index('<script type="module">')])


def test_ids_are_unique(report):
    ids = [attrs["id"] for _, attrs in Elements(report.html).found if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_nasnet_with_all_arrays_of_a_large_board_stays_below_eight_megabytes():
    plan = dynamap_opt.map("nasnet-a-mobile", "alveo-u200", array=(98, 59))
    html = dynamap_opt.report(plan, explore=False).html
    mapper = mapper_of(plan, load_model("nasnet-a-mobile"))
    shapes = mapper.shapes()
    cycles = np.random.default_rng(0).integers(10**7, 10**8, len(shapes))
    facts = shape_facts(plan, Exploration(shapes, cycles, 0, exact=np.ones(len(shapes), dtype=bool)))
    assert len(shapes) > 33_000
    assert len(html.encode()) + len(json.dumps(facts)) < MOST_BYTES
