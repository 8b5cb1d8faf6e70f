"""A reproduction is what its parts' public calls say, goes on where it stopped, and mixes nothing up."""

from __future__ import annotations

import msgspec
import pytest

from dynamap_models.zoo import NetworkBuilder
from dynamap_opt.api import compare, load_model
from dynamap_opt.api import map as map_onto
from dynamap_opt.board import Board, load_board
from dynamap_opt.errors import DynamapError
from dynamap_opt.reproduction import Claim, Published, Reproduction, parse_published, reproduce
from dynamap_opt.reproduction.parts import VARIANTS
from dynamap_opt.reproduction.tables import figures_csv, layers_csv
from dynamap_opt.study import survey

TINY = Board(**(load_board("ecp5-85k").as_dict() | {"name": "tiny", "array_dsp": 16}))
ZOO = "squeezenet-1.1"
FIGURES = parse_published("""
[[figure]]
id = "whole"
design = "A design"
network = "squeezenet-1.1"
board = "ecp5-85k"
latency_ms = 50.0
precision = "INT8"
clock_mhz = 100
dsp = 50
trust = "published"
source = "its paper"

[[figure]]
id = "bare"
design = "Another"
network = "squeezenet-1.1"
board = "ecp5-85k"
images_per_second = 25.0
precision = "INT8"
trust = "remembered"
source = "its page"
""")
CLAIMS = Published(
    (),
    (
        Claim(id="array", kind="array", network="small", array=(4, 4), text="four by four", trust="remembered"),
        Claim(id="strategies", kind="strategies", text="one strategy is not enough", trust="published"),
    ),
)


def small():
    """Six layers, among them one that is strided, one that is long and one read by two."""
    net = NetworkBuilder("small")
    stem = net.conv("stem", net.input("image", 3, 12, 12), 8, 3, stride=2, pads=1)
    left = net.conv("left", stem, 8, 3, pads=1)
    right = net.conv("right", stem, 8, (1, 7), pads=(0, 3))
    mixed = net.conv("mixed", net.concat("joined", [left, right]), 12, 5, pads=2)
    return net.build(net.fully_connected("logits", net.global_pool("pool", mixed), 10))


SMALL = small()


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def whole(work) -> Reproduction:
    return reproduce([SMALL], TINY, published=CLAIMS, work=work)


def test_strategies_are_those_of_compare(whole):
    assert {one.preset for one in whole.networks} == {"overlay", "paper"}
    for one in whole.networks:
        direct = compare(SMALL, TINY, cost=one.preset)
        assert [(s.strategy, s.array, s.latency_cycles) for s in one.strategies] == [
            (s.strategy, s.array, s.latency_cycles) for s in direct
        ]


def test_layers_are_those_of_the_plan(whole):
    for one in whole.networks:
        plan = map_onto(SMALL, TINY, cost=one.preset)
        on_array = [row for row in plan.layers if row.dataflow]
        assert [(x.name, x.algorithm, x.dataflow, x.cycles) for x in one.layers] == [
            (row.name, row.algorithm, row.dataflow, row.cycles) for row in on_array
        ]
        assert sum(x.cycles for x in one.layers) + one.off_array_cycles == plan.latency_cycles
        for layer in one.layers:
            assert 0 < layer.utilization <= layer.array_utilization <= 1
            assert (layer.without_kn2row_cycles is not None) == (layer.algorithm == "kn2row")
            assert (layer.without_kn2row_cycles or plan.latency_cycles) >= plan.latency_cycles


def test_everything_that_must_hold_does(whole):
    assert whole.holds
    assert len(whole.checks) == 2 * 4 + 2
    assert {owner for owner, _ in whole.checks} == {
        "small under overlay",
        "small under paper",
        "small with tensors on chip",
    }


def test_the_array_that_was_claimed_is_priced_among_all_shapes(whole):
    paper = next(one for one in whole.arrays if one.preset == "paper")
    shapes = [(a, b) for a in range(1, 17) for b in range(1, 17) if a * b <= 16]
    cycles = {shape: map_onto(SMALL, TINY, array=shape, cost="paper").latency_cycles for shape in shapes}
    assert paper.latency_cycles == cycles[4, 4] == paper.load_cycles + paper.compute_cycles + paper.store_cycles
    assert paper.faster_shapes == sum(found < cycles[4, 4] for found in cycles.values())
    assert paper.small_cycles == min(cycles.values())


@pytest.fixture(scope="module")
def figures() -> Reproduction:
    return reproduce([ZOO], TINY, published=FIGURES, parts=["published"], presets=["paper"])


def test_figures_stand_beside_ours_on_the_same_device(figures):
    board = load_board("ecp5-85k")
    first, second = figures.beside
    (row,) = survey([ZOO], [board], cost="paper")
    assert first.ours_s == second.ours_s == {"paper": row.latency_s}
    assert first.published_s == 0.05
    assert first.macs_per_dsp_cycle == pytest.approx(load_model(ZOO).macs / (0.05 * 100e6 * 50))
    assert first.scaled_s == pytest.approx(0.05 * 100e6 * 50 / (board.clock_hz * board.array_dsp))
    assert second.published_s == 1 / 25
    assert (second.dsp, second.dsp_of_device, second.scaled_s) == (board.dsp, True, None)


def test_figures_of_networks_that_were_not_asked_for_stay_out():
    found = reproduce([SMALL], TINY, published=FIGURES, parts=["published"], presets=["paper"])
    assert (found.parts, found.beside) == (0, ())


def test_every_variant_is_the_optimum_of_its_own_choices(whole):
    assert len(whole.variants) == sum(len(variants) for variants in VARIANTS.values())
    for one in whole.variants:
        algorithms, products = VARIANTS[one.preset][one.variant]
        plan = map_onto(SMALL, TINY, cost=one.preset, algorithms=algorithms, macs_per_dsp=products)
        assert (plan.array, plan.latency_cycles) == (one.array, one.latency_cycles)


def test_verdicts_are_on_the_claims_that_were_given(whole):
    assert {verdict.claim for verdict in whole.verdicts} == {"array", "strategies"}
    assert whole.claims == CLAIMS.claims


def test_parts_that_are_kept_are_not_computed_again(whole, work):
    said = []
    again = reproduce([SMALL], TINY, published=CLAIMS, work=work, progress=lambda *what: said.append(what))
    assert said == []
    assert again == msgspec.structs.replace(whole, reused=whole.parts)


def test_an_interrupted_run_goes_on_with_what_is_left(whole, tmp_path):
    def stop(done, *_):
        if done == 3:
            raise KeyboardInterrupt

    parts = ("strategies", "bounds", "beyond")
    with pytest.raises(KeyboardInterrupt):
        reproduce([SMALL], TINY, published=CLAIMS, work=tmp_path, parts=parts, presets=["paper"], progress=stop)
    said = []
    rest = reproduce(
        [SMALL],
        TINY,
        published=CLAIMS,
        work=tmp_path,
        parts=parts,
        presets=["paper"],
        progress=lambda done, *_: said.append(done),
    )
    assert rest.reused == 3
    assert said == list(range(4, rest.parts + 1))
    assert rest.bounds == whole.bounds
    assert rest.residency == whole.residency


def test_another_board_or_network_takes_nothing_over(work):
    parts = {"parts": ["bounds"], "published": CLAIMS, "work": work}
    wider = Board(**(TINY.as_dict() | {"array_dsp": 20}))
    assert reproduce([SMALL], TINY, **parts).reused == 1
    assert reproduce([SMALL], wider, **parts).reused == 0
    assert reproduce([SMALL], wider, **parts).reused == 1


def test_damaged_results_are_computed_again(whole, tmp_path):
    parts = {"parts": ["bounds"], "published": CLAIMS, "work": tmp_path}
    reproduce([SMALL], TINY, **parts)
    (path,) = tmp_path.glob("*/bounds-*.json")
    path.write_text("{}")
    again = reproduce([SMALL], TINY, **parts)
    assert (again.reused, again.bounds) == (0, whole.bounds)


def test_tables_for_spreadsheets_have_a_row_a_layer_and_a_figure(whole, figures):
    head, *rows = layers_csv(whole, "small").splitlines()
    assert head.startswith("preset,array,name,operation")
    assert len(rows) == sum(len(one.layers) for one in whole.networks)
    head, *rows = figures_csv(figures).splitlines()
    assert "published_s,paper_s" in head
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"presets": ["papers"]}, "unknown preset 'papers'; give names among overlay, paper"),
        ({"presets": []}, "no preset is left; name at least one of overlay, paper"),
        ({"parts": ["layers"]}, "unknown part 'layers'; give names among strategies, bounds,"),
        ({"networks": []}, "no network is left to reproduce anything for; name at least one"),
        ({"networks": [SMALL, SMALL]}, "network 'small' is named twice; name each once"),
    ],
)
def test_what_cannot_be_asked_is_named(options, message):
    with pytest.raises(DynamapError, match=message):
        reproduce(**({"networks": [SMALL], "board": TINY} | options))
