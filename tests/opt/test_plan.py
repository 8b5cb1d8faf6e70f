"""Plan files: read back to an equal value, strict about everything else, written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import stat

import numpy as np
import pytest

from dynamap_models.zoo import NetworkBuilder, build_model
from dynamap_opt.board import load_board
from dynamap_opt.cli.mapping import plan_csv
from dynamap_opt.errors import DynamapError
from dynamap_opt.mapping import map_network
from dynamap_opt.overlays import overlay_for
from dynamap_opt.plan import LayerPlan, Plan, PlanError, fingerprint, load_plan, parse_plan, write_text


@pytest.fixture(scope="module")
def plan():
    return map_network(build_model("squeezenet-1.1"), load_board("ecp5-85k"), source="squeezenet-1.1")


def listed_shapes(elements):
    return [(rows, columns) for rows in range(1, elements + 1) for columns in range(1, elements // rows + 1)]


def without(document, *path):
    """A copy with the field at ``path`` left out."""
    copy = json.loads(json.dumps(document))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return copy


def with_value(document, value, *path):
    copy = json.loads(json.dumps(document))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copy


def refused(content):
    with pytest.raises(PlanError) as caught:
        parse_plan(content if isinstance(content, bytes) else json.dumps(content).encode(), origin="a.plan")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("'a.plan' ")
    return message


@pytest.mark.parametrize(
    ("name", "cost", "options"),
    [
        ("googlenet", "paper", {}),
        ("squeezenet-1.1", "overlay", {"algorithms": ["im2col", "kn2row"], "dataflows": ["WS"], "array": (11, 12)}),
        ("efficientnet-b0", "paper", {"allow_host": True}),
        ("vgg-16", "overlay", {"array": (8, 8), "method": "ilp-cbc"}),
        ("u-net", "overlay", {"array": (140, 1)}),
    ],
)
def test_a_plan_read_back_is_the_same_plan_and_the_same_bytes(name, cost, options, tmp_path):
    plan = map_network(build_model(name), load_board("ecp5-85k"), cost=cost, source=name, **options)
    path = tmp_path / "plan.json"
    plan.save(path)
    again = load_plan(path)
    assert again == plan
    again.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()
    assert json.loads(path.read_text()) == json.loads(json.dumps(plan.as_dict()))


def test_the_same_question_gives_the_same_bytes(plan):
    again = map_network(build_model("squeezenet-1.1"), load_board("ecp5-85k"), source="squeezenet-1.1", threads=1)
    assert again.to_json() == plan.to_json()


def test_the_totals_of_a_plan_add_up(plan):
    assert plan.latency_cycles == plan.lower_bound_cycles == sum(layer.cycles for layer in plan.layers)
    assert plan.latency_s == plan.latency_cycles / load_board("ecp5-85k").clock_hz
    overlay, every = overlay_for(load_board("ecp5-85k"), (2, 4)), listed_shapes(141)
    assert plan.shapes_explored == sum(bool(overlay.buildable(*map(np.atleast_1d, shape))[0]) for shape in every)
    assert 600 < plan.shapes_explored < len(every)
    for layer in plan.layers:
        assert 0 <= layer.utilization <= 1
        assert getattr(layer, f"{layer.bound_by}_cycles") == max(
            layer.load_cycles, layer.compute_cycles, layer.store_cycles
        )
    assert sum(layer.macs for layer in plan.layers) == plan.model.macs


def test_the_next_best_arrays_are_the_next_in_order(plan):
    cycles = [result.latency_cycles for result in plan.next_best]
    assert len(cycles) == 5
    assert cycles == sorted(cycles)
    assert cycles[0] >= plan.latency_cycles
    for result in plan.next_best[:2]:
        alone = map_network(build_model("squeezenet-1.1"), load_board("ecp5-85k"), array=result.array)
        assert alone.latency_cycles == result.latency_cycles


def test_csv_holds_a_row_a_layer_with_the_plan_in_it(plan):
    heading, *rows = csv.reader(io.StringIO(plan_csv(plan)))
    assert tuple(heading) == LayerPlan.__struct_fields__
    assert len(rows) == len(plan.layers)
    for cells, layer in zip(rows, plan.layers, strict=True):
        row = dict(zip(heading, cells, strict=True))
        assert (row["name"], row["algorithm"], row["output_layout"]) == (
            layer.name,
            layer.algorithm,
            layer.output_layout,
        )
        assert int(row["cycles"]) == layer.cycles
        assert row["dataflow"] == (layer.dataflow or "")
        assert float(row["utilization"]) == layer.utilization
        assert row["input_shape"] == "x".join(map(str, layer.input_shape))


def test_csv_quotes_what_would_break_a_cell():
    net = NetworkBuilder("odd")
    name = 'a,"b"\nc;=1+1'
    network = net.build(net.conv(name, net.input("x", 3, 8, 8), 4, 3))
    rows = list(csv.DictReader(io.StringIO(plan_csv(map_network(network, load_board("ecp5-85k"))))))
    assert [row["name"] for row in rows] == [name]


@pytest.mark.parametrize(
    "path",
    [(field,) for field in Plan.__struct_fields__]
    + [("layers", 0, field) for field in LayerPlan.__struct_fields__]
    + [("model", "fingerprint"), ("settings", "array"), ("proof", "reductions"), ("next_best", 0, "array")],
)
def test_a_missing_field_is_refused_by_name(plan, path):
    assert f"`{path[-1]}`" in refused(without(plan.as_dict(), *path))


@pytest.mark.parametrize(
    "path", [("extra",), ("layers", 0, "extra"), ("model", "extra"), ("proof", "extra"), ("settings", "extra")]
)
def test_an_unknown_field_is_refused_by_name(plan, path):
    assert "`extra`" in refused(with_value(plan.as_dict(), 1, *path))


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("7", ("latency_cycles",)),
        (7.5, ("latency_cycles",)),
        (True, ("latency_cycles",)),
        (None, ("latency_cycles",)),
        ("fast", ("latency_s",)),
        ([1], ("array",)),
        ([1, 2, 3], ("array",)),
        (["1", "2"], ("array",)),
        ({}, ("layers",)),
        ([3], ("layers",)),
        (3, ("layers", 0, "name")),
        ([1, 2], ("layers", 0, "input_shape")),
        ([["RI", 1]], ("proof", "reductions")),
        ([["RI", "one", [], [], 0]], ("proof", "reductions")),
        ([[1]], ("proof", "dropped")),
        ({"name": [1]}, ("board",)),
        ("yes", ("settings", "allow_host")),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_its_place(plan, value, path):
    assert f"$.{path[0]}" in refused(with_value(plan.as_dict(), value, *path))


@pytest.mark.parametrize("schema", ["dynamap/plan/2", "dynamap/models/1", ""])
def test_another_schema_is_refused(plan, schema):
    assert "has schema" in refused(with_value(plan.as_dict(), schema, "schema"))


@pytest.mark.parametrize(("value", "field"), [([], "layers"), ([0, 5], "array"), ([5, -1], "array")])
def test_a_plan_without_layers_or_array_is_refused(plan, value, field):
    assert "no layers or no array" in refused(with_value(plan.as_dict(), value, field))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"not json",
        b"\xff\xfe\x00",
        b'{"schema": "\xff"}',
        b"\0" * 100,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"1" * 10_000,
        b'{"schema": "\\ud800"}',
    ],
)
def test_what_is_no_plan_is_refused(content):
    refused(content)


def test_every_truncation_is_refused(plan):
    content = plan.to_json().rstrip().encode()
    for length in [*range(400), *range(400, len(content), 997), len(content) - 1]:
        refused(content[:length])


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for path in (tmp_path / "none.json", tmp_path, "a\0b", "a" * 5000):
        with pytest.raises(PlanError, match="cannot read plan") as caught:
            load_plan(path)
        assert "\n" not in str(caught.value)


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PlanError, match="is a pipe"):
        load_plan(tmp_path / "pipe")


def test_a_file_larger_than_any_plan_is_not_read(tmp_path):
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(300 * 2**20)  # a hole, which takes no room
    with pytest.raises(PlanError, match="larger than any plan"):
        load_plan(path)


def test_writing_replaces_a_file_whole_and_leaves_nothing_else(plan, tmp_path):
    path = tmp_path / "plan.json"
    path.write_text("old")
    plan.save(path)
    assert load_plan(path) == plan
    assert [entry.name for entry in tmp_path.iterdir()] == ["plan.json"]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("text", ["fine", "lone surrogate \ud800"])
def test_writing_where_nothing_can_be_written_is_a_sentence_and_leaves_nothing(tmp_path, text):
    folder = tmp_path / "folder"
    folder.mkdir()
    targets = [folder, tmp_path / "none" / "plan.json"] if text == "fine" else [tmp_path / "plan.json"]
    for target in targets:
        with pytest.raises(DynamapError, match="cannot write"):
            write_text(target, text)
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
    assert list(folder.iterdir()) == []


def small(*, kernel=3, name="conv", seed=0):
    net = NetworkBuilder("small", seed=seed)
    return net.build(net.conv(name, net.input("x", 3, 8, 8), 4, kernel))


def test_the_fingerprint_sees_structure_and_not_weights():
    assert fingerprint(small()) == fingerprint(small(seed=5))
    assert len({fingerprint(network) for network in (small(), small(kernel=5), small(name="other"))}) == 3
