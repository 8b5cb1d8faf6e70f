"""Tensors on chip: exact against enumeration, at the edge of a budget, and what may not stay there."""

from __future__ import annotations

import itertools

import pytest

from dynamap_models.zoo import build_model
from dynamap_models.zoo.builder import NetworkBuilder
from dynamap_opt.board import load_board
from dynamap_opt.errors import DynamapError
from dynamap_opt.mapper import Mapper
from dynamap_opt.mapping import map_network
from dynamap_opt.residency import peak_bytes, residency_problem, solve_residency
from dynamap_rtl import Dataflow
from dynamap_solvers import solve

ARRAY = (5, 4)


def branches():
    """A shared map, a join whose pieces are written apart, and an addition that reads an early map late."""
    net = NetworkBuilder("branches")
    stem = net.conv("stem", net.input("image", 3, 8, 6), 8, 3, pads=1)
    left = net.conv("left", stem, 4, 3, pads=1)
    right = net.conv("right", stem, 4, 1)
    joined = net.conv("mixed", net.concat("joined", [left, right]), 8, 3, pads=1)
    return net.build(net.conv("head", net.add("sum", joined, stem), 4, 3, pads=1))


@pytest.fixture(scope="module")
def mapper():
    return Mapper(branches(), load_board("ecp5-85k"), cost="paper")


# Bytes of the groups that may stay, and the stages (0 stem, 1 left, 2 right, 3 mixed, 4 sum, 5 head) they live through.
BYTES = {"stem": 384, "joined": 384, "mixed": 384, "sum": 384}
LIFE = {"stem": range(5), "joined": range(1, 4), "mixed": range(3, 5), "sum": range(4, 6)}


def enumerated(mapper, limit):
    """The least cycles over every algorithm, stored format and place, one after another."""
    model, program, tables = mapper.model, mapper.program, mapper.tables
    names = [stage.name for stage in program.stages]
    assert names == ["stem", "left", "right", "mixed", "sum", "head"]
    group = {name: tensor.group for name, tensor in program.tensors.items()}
    keys = {group[name]: name for name in ("stem", "joined", "mixed", "sum")}
    formats = sorted(tables.layouts)
    best = None
    for resident in itertools.chain.from_iterable(itertools.combinations(BYTES, k) for k in range(len(BYTES) + 1)):
        if any(sum(BYTES[g] for g in resident if now in LIFE[g]) > limit for now in range(6)):
            continue
        for layouts in itertools.product(*(tables.layouts[g] for g in formats)):
            layout = dict(zip(formats, layouts, strict=True))
            # With places and formats given, a stage's algorithm touches no other stage.
            total = 0
            for table in tables.stages:
                stage = table.stage
                costs = []
                for algorithm in table.algorithms:
                    store = model.store_cycles(stage, algorithm, layout[group[stage.output]])
                    if store is None:
                        continue
                    cycles = 0 if keys.get(group[stage.output]) in resident else store
                    for position, name in enumerate(stage.inputs):
                        if keys.get(group[name]) not in resident:
                            cycles += model.input_cycles(stage, algorithm, layout[group[name]], position)
                    costs.append(cycles + min(model.compute_cycles(stage, algorithm, f, *ARRAY) for f in Dataflow))
                if not costs:
                    break
                total += min(costs)
            else:
                best = total if best is None else min(best, total)
    return best


@pytest.mark.parametrize("limit", [0, 383, 384, 767, 768, 1151, 1152, 10**6])
def test_the_optimum_is_that_of_enumeration(mapper, limit):
    found = solve_residency(mapper, ARRAY, limit)
    assert found.status == "optimal"
    assert found.latency_cycles == found.lower_bound_cycles == enumerated(mapper, limit)
    assert found.peak_bytes <= limit


@pytest.mark.parametrize("limit", [384, 768])
def test_integer_programming_and_branch_and_bound_agree(mapper, limit):
    built = residency_problem(mapper, ARRAY, limit).problem
    assert solve(built, method="ilp").objective == solve(built, method="branch-and-bound").objective


@pytest.mark.parametrize("name", ["squeezenet-1.1", "googlenet", "densenet-121", "mobilenet-v2"])
def test_with_nothing_on_chip_it_is_the_mapping_problem(name):
    network, board = build_model(name), load_board("zcu104")
    mapper = Mapper(network, board, cost="paper", allow_host=True)
    plan = map_network(network, board, array=(24, 32), cost="paper", allow_host=True)
    assert solve_residency(mapper, (24, 32), 0).latency_cycles == plan.latency_cycles


def test_all_that_may_stays_exactly_at_the_peak(mapper):
    # stem and joined live while mixed is written: three maps of 384 bytes.
    assert peak_bytes(mapper.program) == 3 * 384
    whole = solve_residency(mapper, ARRAY, 3 * 384)
    assert whole.peak_bytes == 3 * 384
    assert len(whole.resident) == len(BYTES)
    assert solve_residency(mapper, ARRAY, 3 * 384 - 1).latency_cycles > whole.latency_cycles


def test_out_of_time_the_answer_is_valid_and_claims_no_more_than_is_known(mapper):
    hurried = solve_residency(mapper, ARRAY, 400, method="ilp", time_limit=1e-9)
    assert hurried.status == "feasible"
    assert hurried.lower_bound_cycles <= enumerated(mapper, 400) <= hurried.latency_cycles
    assert hurried.peak_bytes <= 400


def test_what_the_host_reads_or_writes_never_stays(mapper):
    found = solve_residency(mapper, ARRAY, 10**9)
    groups = {mapper.program.tensors[name].group for name in ("image", "head")}
    assert not groups & set(found.resident)


def test_the_preset_whose_transfers_overlap_is_refused():
    overlay = Mapper(branches(), load_board("ecp5-85k"))
    with pytest.raises(DynamapError, match="cost preset 'overlay' does not price transfers apart; use 'paper'"):
        residency_problem(overlay, ARRAY, 0)


def test_a_negative_budget_is_refused(mapper):
    with pytest.raises(DynamapError, match="a budget of -1 bytes cannot be; give 0 or more"):
        residency_problem(mapper, ARRAY, -1)
