"""Verdicts on made-up numbers: at the tolerance, at the bound, and every reason computed from what was found."""

from __future__ import annotations

import msgspec
import pytest

from dynamap_opt.board import load_board
from dynamap_opt.comparison import StrategyResult
from dynamap_opt.reproduction.bounds import ComputeBound, ComputeBounds
from dynamap_opt.reproduction.published import parse_published
from dynamap_opt.reproduction.results import ArrayResult, Check, NetworkResult, TimeResult, VariantResult
from dynamap_opt.reproduction.verdicts import TOLERANCE, Findings, judge, within

BOARD = load_board("alveo-u200")  # 286 MHz, 76.8 GB/s, 6239 DSPs
HEAD = """
[[figure]]
id = "theirs"
design = "D"
network = "googlenet"
board = "alveo-u200"
latency_ms = 2.0
precision = "INT8"
trust = "remembered"
source = "S"

[[figure]]
id = "before"
design = "B"
network = "googlenet"
board = "ku115"
latency_ms = 4.1
precision = "INT16"
trust = "published"
source = "S"

[[claim]]
id = "it"
text = "T"
trust = "published"
"""


def claim(**fields):
    shown = {key: f'"{value}"' if isinstance(value, str) else value for key, value in fields.items()}
    return parse_published(HEAD + "\n".join(f"{key} = {value}" for key, value in shown.items()))


def strategy(name, cycles, best, array=(10, 10)):
    return StrategyResult(name, array, cycles, cycles / BOARD.clock_hz, cycles / best - 1, 0.1)


def network(cycles, losses=(1.5,), *, method="series-parallel", array=(10, 10)):
    fixed = [strategy(f"fixed {k}", round(cycles * loss), cycles) for k, loss in enumerate(losses)]
    return NetworkResult(
        network="googlenet",
        preset="paper",
        macs=1,
        strategies=(
            strategy("joint optimum", cycles, cycles, array),
            strategy("two-step search", cycles, cycles),
            *fixed,
        ),
        layers=(),
        off_array_cycles=0,
        method=method,
        variables=7,
        edges=8,
        host_operators=(),
        checks=(),
    )


def on_array(cycles, *, compute, load, array=(4, 5), **more):
    fields = {"overlaps": False, "faster_shapes": None, "small_array": None, "small_cycles": None}
    return ArrayResult(
        network="googlenet",
        preset="paper",
        array=array,
        latency_cycles=cycles,
        load_cycles=load,
        compute_cycles=compute,
        store_cycles=0,
        **(fields | more),
    )


def verdicts(published, **found):
    return judge(published, Findings(board=BOARD, asked=("googlenet",), **found))


# ---- numbers ----


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (100.0, "matches within 0.0 %"),
        (100 * (1 + TOLERANCE), "matches within 5.0 %"),
        (100 * (1 - TOLERANCE), "matches within 5.0 %"),
        (100 * (1 + TOLERANCE) + 0.01, "does not match"),
        (100 * (1 - TOLERANCE) - 0.01, "does not match"),
    ],
)
def test_a_number_matches_up_to_the_tolerance(found, outcome):
    assert within(found, 100.0) == outcome


# ---- claims ----


def test_one_strategy_that_reaches_the_optimum_refutes_that_none_does():
    published = claim(kind="strategies")
    (slower,) = verdicts(published, networks=(network(1000, (1.001, 1.5)),))
    assert (slower.outcome, slower.ours) == ("matches", "slower by 0.1 % (fixed 0) to 50.0 % (fixed 1)")
    (equal,) = verdicts(published, networks=(network(1000, (1.0, 1.5)),))
    assert (equal.outcome, equal.why) == ("does not match", "fixed 0 reach the optimum")
    assert not equal.matches


def test_a_reduction_is_no_proof_where_a_check_of_the_plan_fails():
    failed = Check(name="the plan holds with its proof", holds=False, detail="a layer costs more")
    doubtful = msgspec.structs.replace(network(1000), checks=(failed,))
    (found,) = verdicts(claim(kind="series-parallel"), networks=(doubtful,))
    assert found.outcome == "does not match"
    assert "not every check of the plan holds" in found.why


@pytest.mark.parametrize(("method", "outcome"), [("series-parallel", "matches"), ("ilp", "does not match")])
def test_series_parallel_is_what_the_proof_says(method, outcome):
    (found,) = verdicts(claim(kind="series-parallel"), networks=(network(1000, method=method),))
    assert found.outcome == outcome
    assert "7 variables, 8 edges" in found.ours


@pytest.mark.parametrize(("value", "outcome"), [(2.05, "matches within 0.0 %"), (2.2, "does not match")])
def test_a_speed_up_is_compared_for_them_and_for_us(value, outcome):
    published = claim(kind="speed-up", network="googlenet", value=value, of="theirs", over="before")
    theirs, ours = verdicts(published, networks=(network(286_000),))  # 1 ms
    assert (theirs.outcome, theirs.ours) == (outcome, "2.05x")
    assert theirs.why == "4.1 ms over 2 ms (remembered, not checked against the text)"
    assert (ours.outcome, ours.ours, ours.preset) == ("does not match", "4.10x", "paper")
    assert "4.1 ms" in ours.why
    assert "1.000 ms on alveo-u200" in ours.why


def test_the_same_array_matches():
    published = claim(kind="array", network="googlenet", array=[4, 5])
    (found,) = verdicts(published, networks=(network(1000, array=(4, 5)),))
    assert found.outcome == "matches"


def test_another_array_is_priced_and_ranked():
    published = claim(kind="array", network="googlenet", array=[4, 5])
    other = on_array(1100, compute=900, load=200, faster_shapes=12, small_array=(2, 10), small_cycles=1000)
    (found,) = verdicts(published, networks=(network(1000, array=(5, 4)),), arrays=(other,))
    assert found.outcome == "does not match"  # rows and columns are not the same thing
    assert "10.0 % more; 12 shapes are faster; with at most its 20 elements 2x10 takes 9.1 % less" in found.why
    turned = on_array(1020, compute=900, load=120, array=(5, 4))
    (found,) = verdicts(published, networks=(network(1000, array=(6, 4)),), arrays=(other, turned))
    assert found.why.endswith("with rows and columns exchanged 0.004 ms, 2.0 % more")
    best = on_array(1100, compute=900, load=200, faster_shapes=12, small_array=(4, 5), small_cycles=1100)
    (found,) = verdicts(published, networks=(network(1000, array=(5, 5)),), arrays=(best,))
    assert found.why.endswith("with at most its 20 elements it is the best")


def test_an_array_that_cannot_be_built_is_said_to_be_unpriced():
    published = claim(kind="array", network="googlenet", array=[4, 5])
    (found,) = verdicts(published, networks=(network(1000),))
    assert (found.outcome, found.why) == ("does not match", "4x5 was not priced")


def bound(*ideal, array=(4, 5)):
    sets = tuple(
        ComputeBound(algorithms=f"set {k}", products=cycles * 20, ideal_cycles=cycles, array_cycles=cycles)
        for k, cycles in enumerate(ideal)
    )
    return ComputeBounds(
        network="googlenet",
        array=array,
        macs=ideal[0] * 20,
        line_share=0.42,
        strided_share=0.11,
        convolutions=9,
        kn2row_wins=0,
        bounds=sets,
    )


def test_a_latency_below_the_least_bound_is_not_possible_and_on_it_possible():
    # 2 ms are 572,000 cycles.
    published = claim(kind="latency", network="googlenet", value=2.0, array=[4, 5])
    (on,) = verdicts(published, bounds=(bound(800_000, 572_000),))
    assert (on.outcome, on.matches) == ("possible", True)
    (below,) = verdicts(published, bounds=(bound(800_800, 572_001),))
    assert (below.outcome, below.matches) == ("not possible", False)
    assert "below every bound" in below.why
    assert "2.80, 2.00 ms as algorithms are added" in below.why
    assert "it takes 1.40 direct products an element and cycle" in below.why
    assert "42.0 % of them are in 1xn and nx1 kernels, 11.0 % strided" in below.why
    assert verdicts(published, bounds=(bound(800_000, 500_000, array=(5, 4)),)) == ()


def test_a_latency_is_taken_apart_and_the_bandwidth_that_would_explain_it_computed():
    published = claim(kind="latency", network="googlenet", value=2.0, array=[4, 5])
    # 1 ms: half products, half transfers. 1.5 ms of transfers would be a third of the bandwidth.
    (found,) = verdicts(published, arrays=(on_array(286_000, compute=143_000, load=143_000),))
    assert (found.outcome, found.ours) == ("does not match", "1.000 ms on 4x5")
    assert found.why == "products 0.500 ms, transfers 0.500 ms; 25.6 GB/s instead of our 76.8 would give 2 ms"
    (close,) = verdicts(published, arrays=(on_array(572_000, compute=500_000, load=72_000),))
    assert close.outcome == "matches within 0.0 %"
    assert "GB/s" not in close.why
    (never,) = verdicts(published, arrays=(on_array(900_000, compute=600_000, load=300_000),))
    assert "GB/s" not in never.why  # products alone take longer


def test_what_goes_beyond_is_held_against_a_latency_as_well():
    published = claim(kind="latency", network="googlenet", value=2.0, array=[4, 5])
    close, far = (
        VariantResult(
            network="googlenet",
            preset="paper",
            variant="two products a DSP",
            array=(8, 5),
            latency_cycles=1,
            latency_s=seconds,
        )
        for seconds in (2.1e-3, 1.5e-3)
    )
    found = verdicts(published, variants=(close, far))
    assert [one.outcome for one in found] == ["matches within 5.0 %", "does not match"]
    assert [one.why for one in found] == ["two products a DSP, 5.0 % more", "two products a DSP, 25.0 % less"]
    assert found[0].ours == "2.100 ms on 8x5"


def test_parts_that_overlap_explain_no_bandwidth():
    published = claim(kind="latency", network="googlenet", value=2.0, array=[4, 5])
    (found,) = verdicts(published, arrays=(on_array(286_000, compute=143_000, load=143_000, overlaps=True),))
    assert found.why.endswith("(they overlap)")


@pytest.mark.parametrize(("seconds", "outcome"), [(1.99, "matches"), (2.0, "does not match")])
def test_optimisation_below_the_time_claimed(seconds, outcome):
    time = TimeResult(
        network="googlenet",
        preset="overlay",
        shapes=9,
        variables=5,
        edges=4,
        explorations=3,
        search_s=7.0,
        solves=9,
        solve_s=seconds,
    )
    (found,) = verdicts(claim(kind="optimisation-time", value=2.0), times=(time,))
    assert found.outcome == outcome
    assert "the search of all shapes takes longer than 2 s" in found.why


def test_claims_of_networks_that_were_not_asked_for_get_no_verdict():
    published = claim(kind="speed-up", network="googlenet", value=2.0, of="theirs", over="before")
    assert judge(published, Findings(board=BOARD, asked=("inception-v4",))) == ()
