"""Published figures and claims: what comes with the package, and every rule an entry is held to."""

from __future__ import annotations

import pytest

from dynamap_opt.board import board_names
from dynamap_opt.errors import DynamapError
from dynamap_opt.reproduction.published import CLAIM_KINDS, MEASURES, load_published, parse_published

FIGURE = {
    "id": "a",
    "design": "D",
    "network": "googlenet",
    "board": "ku115",
    "latency_ms": 2.0,
    "precision": "INT8",
    "clock_mhz": 200,
    "dsp": 100,
    "trust": "published",
    "source": "S",
}
SPEED_UP = {
    "id": "c",
    "kind": "speed-up",
    "text": "T",
    "trust": "published",
    "network": "googlenet",
    "value": 2.0,
    "of": "a",
    "over": "a",
}
ARRAY = {
    "id": "d",
    "kind": "array",
    "text": "T",
    "trust": "remembered",
    "network": "googlenet",
    "array": [2, 3],
}


def toml(**tables):
    lines = []
    for kind, entries in tables.items():
        for entry in entries:
            lines.append(f"[[{kind}]]")
            for key, value in entry.items():
                if value is not None:
                    shown = str(value) if isinstance(value, int | float | list) else f'"{value}"'
                    lines.append(f"{key} = {shown}")
    return "\n".join(lines)


def test_what_comes_with_the_package_is_valid_and_says_where_it_is_from():
    published = load_published()
    assert {figure.trust for figure in published.figures} == {"published", "remembered"}
    assert all(figure.source and figure.board in board_names() for figure in published.figures)
    # What the abstract says is published; the paper's own latencies and arrays are remembered.
    assert {c.id for c in published.claims if c.trust == "published"} == {
        "optimum-beats-strategies",
        "series-parallel",
        "speed-up-googlenet",
        "speed-up-inception-v4",
    }
    assert {f.id for f in published.figures if f.trust == "remembered"} == {
        "dynamap-googlenet",
        "dynamap-inception-v4",
        "baseline-googlenet",
        "baseline-inception-v4",
    }
    assert {claim.kind for claim in published.claims} == set(CLAIM_KINDS)


def test_a_valid_text_is_read_as_it_stands():
    published = parse_published(toml(figure=[FIGURE], claim=[SPEED_UP, ARRAY]))
    assert published.figure("a").latency_ms == 2.0
    assert published.claims[1].array == (2, 3)
    assert parse_published("").figures == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": ""}, "figure '' has no printable id; give it one"),
        ({"trust": "hearsay"}, "figure 'a' has trust 'hearsay'; give one of published, remembered"),
        ({"network": "lenet"}, "figure 'a' is of network 'lenet', which the zoo has not"),
        ({"network": ""}, "figure 'a' is of network '', which the zoo has not"),
        ({"board": "vcu118"}, "figure 'a' is on board 'vcu118', which is no preset"),
        ({"latency_ms": None}, "figure 'a' must have one of latency_ms, images_per_second, .* and it has none"),
        ({"images_per_second": 5.0}, "it has latency_ms and images_per_second; keep the one that was published"),
        ({"latency_ms": 0.0}, "figure 'a' has latency_ms = 0.0; give a number above 0"),
        ({"latency_ms": float("nan")}, "figure 'a' has latency_ms = nan; give a number above 0"),
        ({"clock_mhz": -1.0}, "figure 'a' has clock_mhz = -1.0; give a number above 0"),
        ({"dsp": 0}, "figure 'a' has dsp = 0; give a number above 0"),
        ({"source": ""}, "figure 'a' must say its design, precision and source; add what is empty"),
        ({"colour": "red"}, "holds no published figures: .*colour.*; correct that entry"),
        ({"dsp": 1.5}, "holds no published figures: .*; correct that entry"),
    ],
)
def test_a_figure_that_breaks_a_rule_is_named(changes, message):
    with pytest.raises(DynamapError, match=message):
        parse_published(toml(figure=[FIGURE | changes]))


@pytest.mark.parametrize(
    ("claim", "changes", "message"),
    [
        (SPEED_UP, {"kind": "wish"}, "claim 'c' is of kind 'wish'; give one of strategies, "),
        (SPEED_UP, {"value": None}, "claim 'c' of kind 'speed-up' needs value; add it"),
        (SPEED_UP, {"value": -2.0}, "claim 'c' has value = -2.0; give a number above 0"),
        (SPEED_UP, {"over": "b"}, "claim 'c' names figure 'b', and there is no latency of that id"),
        (SPEED_UP, {"id": "a"}, "claim 'a' has an id that another has; give each its own"),
        (ARRAY, {"array": [0, 3]}, r"claim 'd' has array \(0, 3\); give two numbers of at least 1"),
        (ARRAY, {"value": 1.0}, "claim 'd' of kind 'array' must not have value; leave it out"),
        (ARRAY, {"network": None}, "claim 'd' of kind 'array' needs network; add it"),
    ],
)
def test_a_claim_that_breaks_a_rule_is_named(claim, changes, message):
    with pytest.raises(DynamapError, match=message):
        parse_published(toml(figure=[FIGURE], claim=[claim | changes]))


def test_a_speed_up_over_a_throughput_is_refused():
    throughput = FIGURE | {"latency_ms": None, "images_per_second": 5.0}
    with pytest.raises(DynamapError, match="there is no latency of that id"):
        parse_published(toml(figure=[throughput], claim=[SPEED_UP]))


def test_files_are_read_by_path_and_named_in_messages(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(toml(figure=[FIGURE]))
    assert load_published(path).figure("a").design == "D"
    path.write_text("[[figure]")
    with pytest.raises(DynamapError, match=r"mine.toml.* holds no published figures: .*; correct that entry"):
        load_published(path)
    with pytest.raises(DynamapError, match=r"cannot read .*none.toml.*: no such file or directory"):
        load_published(tmp_path / "none.toml")


def test_measures_are_fields_of_a_figure():
    assert all(getattr(load_published().figures[0], name, "missing") != "missing" for name in MEASURES)
