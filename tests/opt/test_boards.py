"""Boards: the presets against the vendors' figures, users' files, and every sentence said about a wrong one."""

from __future__ import annotations

import json
import math
import os
import pickle
import re
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dynamap_opt.board import Board, BoardError, board_names, load_board, parse_board
from dynamap_opt.board._lines import key_lines
from dynamap_opt.errors import DynamapError

FIELDS = list(Board.__dataclass_fields__)

# Typed from the vendors' product tables (DS890, DS891, DS190, DS962, FPGA-DS-02012), not from the presets:
# DSP slices, thousands of LUTs, thousands of flip-flops, block RAM in Mb, UltraRAM in Mb.
VENDOR = {
    "alveo-u200": (6840, 1182, 2364, 75.9, 270.0),
    "alveo-u250": (12288, 1728, 3456, 94.5, 360.0),
    "vu9p": (6840, 1182, 2364, 75.9, 270.0),
    "ku115": (5520, 663, 1327, 75.9, 0.0),
    "zcu102": (2520, 274, 548, 32.1, 0.0),
    "zcu104": (1728, 230, 461, 11.0, 27.0),
    "ultra96-v2": (360, 71, 141, 7.6, 0.0),
    "pynq-z2": (220, 53, 106, 4.9, 0.0),
    "ecp5-85k": (156, 84, 84, 3.744 / 1.024, 0.0),  # the table says 3744 Kb
}

GOOD = """\
# my board
name = "mine"
device = "XC1"
family = "7-series"
dsp = 100
array_dsp = 90
int8_macs_per_dsp = 1
lut = 1000
ff = 2000
bram_bits = 36_864
uram_bits = 0
dram_bytes_per_second = 1.6e9
dram_latency_s = 200e-9
clock_hz = 100_000_000
"""
MINE = Board(
    name="mine",
    device="XC1",
    family="7-series",
    dsp=100,
    array_dsp=90,
    int8_macs_per_dsp=1,
    lut=1000,
    ff=2000,
    bram_bits=36864,
    uram_bits=0,
    dram_bytes_per_second=1.6e9,
    dram_latency_s=2e-7,
    clock_hz=1e8,
)


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def sentence(text: str) -> str:
    with pytest.raises(BoardError) as caught:
        parse_board(text, origin="b.toml")
    return str(caught.value)


# ---- the presets


def test_the_presets_are_the_nine_boards_of_the_vendor_table():
    assert board_names() == tuple(sorted(VENDOR))


@pytest.mark.parametrize("name", VENDOR)
def test_a_preset_has_the_vendors_figures(name):
    board = load_board(name)
    dsp, klut, kff, bram_mb, uram_mb = VENDOR[name]
    assert board.name == name
    assert board.dsp == dsp
    assert round(board.lut / 1000) == klut
    assert round(board.ff / 1000) == kff
    assert board.bram_bits / 2**20 == pytest.approx(bram_mb, abs=0.05)
    assert board.uram_bits / 2**20 == uram_mb


@pytest.mark.parametrize("name", VENDOR)
def test_a_preset_is_a_possible_device(name):
    board = load_board(name)
    assert 0.85 * board.dsp < board.array_dsp < board.dsp
    assert board.lut <= board.ff <= 2 * board.lut
    block = 18 * 1024 if board.family == "ecp5" else 36 * 1024
    assert board.bram_bits % block == 0
    assert board.uram_bits % (288 * 1024) == 0
    assert 10_000 < 8 * board.on_chip_bytes <= board.bram_bits + board.uram_bits
    assert 50e6 <= board.clock_hz <= 400e6
    assert board.int8_macs_per_dsp == (1 if board.family == "7-series" else 2)
    assert board.dram_bytes_per_cycle == math.floor(board.dram_bytes_per_second / board.clock_hz)


@pytest.mark.parametrize("name", [name for name in VENDOR if name != "alveo-u200"])
def test_the_array_takes_91_percent_of_the_slices_where_no_report_says_otherwise(name):
    board = load_board(name)
    assert board.array_dsp == board.dsp * 91 // 100


def test_the_u200_has_the_overlay_dynamap_reports():
    board = load_board("alveo-u200")
    assert (board.array_dsp, board.clock_hz) == (6239, 286e6)
    assert board.array_dsp >= 92 * 66
    assert board.array_dsp >= 95 * 64


def test_the_dram_of_a_preset_is_its_channels():
    # Channels times bytes times transfers per second, from the boards' user guides.
    assert load_board("alveo-u200").dram_bytes_per_second == 4 * 8 * 2400e6
    assert load_board("alveo-u250").dram_bytes_per_second == 4 * 8 * 2400e6
    assert load_board("vu9p").dram_bytes_per_second == 4 * 8 * 2400e6
    assert load_board("ku115").dram_bytes_per_second == 4 * 8 * 2400e6
    assert load_board("zcu102").dram_bytes_per_second == 8 * 2133e6 + 2 * 2400e6
    assert load_board("zcu104").dram_bytes_per_second == 8 * 2133e6
    assert load_board("ultra96-v2").dram_bytes_per_second == 4 * 1066e6
    assert load_board("pynq-z2").dram_bytes_per_second == 2 * 1050e6
    assert load_board("ecp5-85k").dram_bytes_per_second == 2 * 800e6


@pytest.mark.parametrize("name", VENDOR)
def test_every_number_of_a_preset_has_its_source_beside_it(name):
    text = (Path(load_board.__code__.co_filename).parent / "presets" / f"{name}.toml").read_text("utf-8")
    paragraphs = text.split("\n\n")
    source = re.compile(
        r"DS\d{3}|UG\d{3,4}|WP\d{3}|FPGA-(DS|TN)-\d{5}|arXiv|Avnet|TUL|PYNQ|DYNAMAP|SDAccel"
        r"|Assumption|Rule of these presets"
    )
    for paragraph in paragraphs[1:]:
        comment = ""
        for line in paragraph.splitlines():
            if line.startswith("#"):
                comment += line
                continue
            key = line.split(" = ")[0]
            if key in {"name", "family"}:
                continue
            assert source.search(comment + line), f"{key} of {name} names no source"
            if key not in {"lut", "bram_bits"}:  # the next line shares the comment of these
                comment = ""


@pytest.mark.parametrize("spelling", ["Alveo-U200", "alveo_u200", " ALVEO_U200 "])
def test_case_and_underscores_of_a_preset_name_are_forgiven(spelling):
    assert load_board(spelling) == load_board("alveo-u200")


def test_loading_a_preset_takes_a_few_milliseconds():
    load_board("alveo-u200")
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        load_board("alveo-u200")
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 5e-3


# ---- the value


def test_a_board_survives_a_dictionary_json_and_pickle():
    for board in [MINE, *map(load_board, board_names())]:
        assert list(board.as_dict()) == FIELDS
        assert Board(**json.loads(json.dumps(board.as_dict()))) == board
        assert pickle.loads(pickle.dumps(board)) == board  # noqa: S301 - our own bytes
        assert hash(Board(**board.as_dict())) == hash(board)


def test_integers_in_fields_of_rates_become_floats():
    assert repr(parse_board(changed("1.6e9", "1600000000"), origin="b")) == repr(MINE)


def test_bytes_on_chip_and_per_cycle_are_rounded_down():
    board = parse_board(changed("36_864", "36_871").replace("1.6e9", "1_599_999_999"), origin="b")
    assert board.on_chip_bytes == 4608
    assert board.dram_bytes_per_cycle == 15
    assert MINE.dram_bytes_per_cycle == 16


def test_a_dram_slower_than_a_byte_per_cycle_still_moves_one():
    assert parse_board(changed("1.6e9", "1e6"), origin="b").dram_bytes_per_cycle == 1


def test_a_board_made_in_python_obeys_the_same_rules():
    with pytest.raises(BoardError, match=r"^board 'mine': array_dsp \(101\) must not exceed dsp \(100\)"):
        Board(**{**MINE.as_dict(), "array_dsp": 101})
    with pytest.raises(BoardError, match=r"^board 7: name \(what the board is called\) must be a text"):
        Board(**{**MINE.as_dict(), "name": 7})


def test_the_exceptions_have_one_root():
    assert issubclass(BoardError, DynamapError)
    assert issubclass(DynamapError, ValueError)


# ---- users' files


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_users_file_makes_the_board_it_says(tmp_path, monkeypatch, ending, mark):
    file = tmp_path / "mine.toml"
    file.write_bytes(mark + GOOD.replace("\n", ending).encode())
    assert load_board(file) == MINE
    assert load_board(str(file)) == MINE
    monkeypatch.chdir(tmp_path)
    assert load_board("mine.toml") == MINE
    file.rename(tmp_path / "mine")
    assert load_board("mine") == MINE
    assert load_board(Path("mine")) == MINE


def test_a_preset_comes_before_a_file_of_the_same_name_unless_the_path_says_so(tmp_path, monkeypatch):
    (tmp_path / "vu9p").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    assert load_board("vu9p").dsp == 6840
    assert load_board("./vu9p") == MINE
    assert load_board(Path("vu9p")) == MINE


@pytest.mark.parametrize("name", VENDOR)
def test_a_board_written_out_reads_back(name):
    board = load_board(name)
    # JSON's spelling of texts and numbers is TOML's for these.
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in board.as_dict().items())
    assert parse_board(text, origin="b") == board


def test_keys_may_stand_in_any_order_and_quoted():
    lines = GOOD.replace("dsp = 100", '"dsp" = 0x64').splitlines()
    assert parse_board("\n".join(reversed(lines)), origin="b") == MINE


# ---- what is said about a wrong board

KEYS = ", ".join(FIELDS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            changed("dsp = 100", "dps = 100"),
            f"b.toml:5: unknown key 'dps' (did you mean 'dsp'?); the keys are {KEYS}",
        ),
        (
            changed("bram_bits", "bram-bits"),
            f"b.toml:10: unknown key 'bram-bits' (did you mean 'bram_bits'?); the keys are {KEYS}",
        ),
        (GOOD + "colour = 1\n", f"b.toml:15: unknown key 'colour'; the keys are {KEYS}"),
        (
            changed("# my board", "[board]"),
            "b.toml:1: 'board' is a table, but a board file has none; put every key at the top level",
        ),
        (
            changed("lut = 1000\n", ""),
            "b.toml:13: key 'lut' (look-up tables) is missing; add a line such as lut = 274080",
        ),
        ("", f"b.toml:1: the board file has no keys; it needs {KEYS}"),
        ("# nothing\n\n", f"b.toml:1: the board file has no keys; it needs {KEYS}"),
        (
            changed("lut = 1000", 'lut = "1000"'),
            "b.toml:8: lut (look-up tables) must be an integer from 1 to 1e+09, not '1000'",
        ),
        (
            changed("lut = 1000", "lut = true"),
            "b.toml:8: lut (look-up tables) must be an integer from 1 to 1e+09, not true",
        ),
        (
            changed("lut = 1000", "lut = 1e3"),
            "b.toml:8: lut (look-up tables) must be an integer from 1 to 1e+09, not 1000.0",
        ),
        (changed("lut = 1000", "lut = 0"), "b.toml:8: lut (look-up tables) must be an integer from 1 to 1e+09, not 0"),
        (
            changed("lut = 1000", "lut = [\n1000]"),
            "b.toml:8: lut (look-up tables) must be an integer from 1 to 1e+09, not an array",
        ),
        (
            changed("lut = 1000", "lut.k = 1"),
            "b.toml:8: lut (look-up tables) must be an integer from 1 to 1e+09, not a table",
        ),
        (
            changed("lut = 1000", "lut = 2020-01-01"),
            "b.toml:8: lut (look-up tables) must be an integer from 1 to 1e+09, not a date",
        ),
        (
            changed("lut = 1000", "lut = 0x" + "f" * 400),
            "b.toml:8: lut (look-up tables) must be an integer from 1 to 1e+09, not an integer of 1600 bits",
        ),
        (changed("lut = 1000", "lut = " + "9" * 500), "b.toml:8: a line holds at most 500 characters, not 506"),
        (
            changed("100_000_000", "100"),
            "b.toml:14: clock_hz (clock of the overlay in hertz) must be a number from 1e+06 to 5e+09, not 100",
        ),
        (
            changed("100_000_000", "nan"),
            "b.toml:14: clock_hz (clock of the overlay in hertz) must be a number from 1e+06 to 5e+09, not nan",
        ),
        (
            changed("1.6e9", "inf"),
            (
                "b.toml:12: dram_bytes_per_second (DRAM bandwidth of all channels in bytes per second) must be a "
                "number from 1e+06 to 1e+14, not inf"
            ),
        ),
        (
            changed("200e-9", "-1"),
            "b.toml:13: dram_latency_s (round trip of a DRAM read in seconds) must be a number from 0 to 0.001, not -1",
        ),
        (
            changed("array_dsp = 90", "array_dsp = 101"),
            "b.toml:6: array_dsp (101) must not exceed dsp (100), the DSP slices of the whole device",
        ),
        (
            changed('"mine"', '""'),
            (
                "b.toml:2: name (what the board is called) must be a text of 1 to 64 printable characters without "
                "spaces around it, not ''"
            ),
        ),
        (
            changed('"mine"', '"""\nmi\nne"""'),
            (
                "b.toml:2: name (what the board is called) must be a text of 1 to 64 printable characters without "
                "spaces around it, not 'mi\\nne'"
            ),
        ),
        (changed("ff = 2000", "ff ="), "b.toml:9: not valid TOML at column 5: Invalid value"),
        (GOOD + 'a = """', "b.toml:15: not valid TOML at the end of the file: Unterminated string"),
        (GOOD + "dsp = 1\n", "b.toml:15: not valid TOML at column 8: Cannot overwrite a value"),
        ("a = " + "[\n" * 20000, "b.toml:1: the values are nested too deeply; a board file nests none"),
        ("#\n" * 35000, "b.toml:1: a board file holds at most 65536 bytes, which this one exceeds"),
    ],
)
def test_a_wrong_board_is_one_sentence_with_its_line(text, message):
    assert sentence(text) == message


def test_a_long_reason_of_the_toml_reader_is_cut_short():
    header = "[a" + ".a" * 200 + "]\n"
    message = sentence(header + header)
    assert message.startswith("b.toml:2: not valid TOML at column 403: ")
    assert len(message) <= 120


def test_a_lookalike_inside_a_long_string_does_not_draw_the_line_number():
    text = 'device = """\nclock_hz = 7"""\n' + changed('device = "XC1"\n', "").replace("100_000_000", "7")
    assert sentence(text).startswith("b.toml:2: ") is False
    assert sentence(
        changed('device = "XC1"', "device = '''\\\nclock_hz = 7'''").replace("dsp = 100", "dsp = 0")
    ).startswith("b.toml:3: device ")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("pynq", " (did you mean 'pynq-z2'?)"), ("zcu105", " (did you mean 'zcu104'?)"), ("versal", ""), ("", "")],
)
def test_an_unknown_name_lists_the_boards(name, hint):
    with pytest.raises(BoardError) as caught:
        load_board(name)
    assert str(caught.value) == (
        f"there is no board '{name}'{hint}; the boards are {', '.join(sorted(VENDOR))}, "
        "or give the path of a .toml file"
    )


def test_a_missing_file_is_named_with_the_preset_that_was_perhaps_meant(tmp_path):
    with pytest.raises(BoardError, match=r"^there is no board file .*/zcu102\.toml \(did you mean 'zcu102'\?\)$"):
        load_board(tmp_path / "zcu102.toml")


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(BoardError, match=r" is a directory; give the path of the board's \.toml file$"):
        load_board(tmp_path)


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(BoardError, match=r"pipe\.toml is not a regular file, and a board is read from one$"):
        load_board(tmp_path / "pipe.toml")


def test_a_file_that_is_not_utf_8_is_refused_with_its_line(tmp_path):
    file = tmp_path / "latin.toml"
    file.write_bytes(b"# one\n# \xe9t\xe9\n" + GOOD.encode())
    with pytest.raises(
        BoardError, match=r"latin\.toml:2: a board file is UTF-8 text, but byte 0xe9 at offset 8 is not"
    ):
        load_board(file)


@pytest.mark.parametrize("data", [b"\x7fELF\x02\x01\x01\x00", b"\x00" * 100, bytes(range(128)), b"PK\x03\x04"])
def test_a_binary_file_is_refused(tmp_path, data):
    file = tmp_path / "binary.toml"
    file.write_bytes(data)
    with pytest.raises(BoardError, match=r"binary\.toml:\d+: not valid TOML at column \d+: "):
        load_board(file)


def test_a_huge_file_is_refused_without_being_read_whole(tmp_path):
    file = tmp_path / "huge.toml"
    with file.open("wb") as stream:
        stream.truncate(2**33)
    with pytest.raises(
        BoardError, match=r"huge\.toml:1: a board file holds at most 65536 bytes, which this one exceeds$"
    ):
        load_board(file)


@pytest.mark.parametrize("path", ["a\0b.toml", "x" * 5000 + ".toml", "new\nline.toml", "\udcff.toml"])
def test_an_impossible_path_is_one_printable_line(path):
    with pytest.raises(BoardError) as caught:
        load_board(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("thing", [None, 7, 1.5, ["alveo-u200"]])
def test_something_that_is_neither_name_nor_path_is_refused(thing):
    with pytest.raises(BoardError, match=r"^a board is given by a preset's name or the path of a TOML file, not "):
        load_board(thing)


# ---- at the edge of each range

EDGES = [
    ("dsp", 1_000_000, 1_000_001),
    ("array_dsp", 1, 0),
    ("array_dsp", 100, 101),
    ("int8_macs_per_dsp", 64, 65),
    ("lut", 1, 0),
    ("ff", 10**9, 10**9 + 1),
    ("bram_bits", 1, 0),
    ("uram_bits", 0, -1),
    ("dram_bytes_per_second", 1e6, 999_999),
    ("dram_bytes_per_second", 1e14, 10**14 + 1),
    ("dram_latency_s", 0, -5e-324),
    ("dram_latency_s", 1e-3, math.nextafter(1e-3, 1)),
    ("clock_hz", 5e9, math.nextafter(5e9, 6e9)),
    ("name", "x" * 64, "x" * 65),
    ("family", "a b", "a b "),
    ("device", "é", "\x1b"),
]


@pytest.mark.parametrize(("field", "last", "beyond"), EDGES)
def test_the_last_value_of_a_range_is_allowed_and_the_next_is_not(field, last, beyond):
    assert getattr(Board(**{**MINE.as_dict(), field: last}), field) == last
    with pytest.raises(BoardError, match=f"^board .*: {field} "):
        Board(**{**MINE.as_dict(), field: beyond})


# ---- fuzz


def only_documented(text: str) -> None:
    try:
        board = parse_board(text, origin="f.toml")
    except BoardError as error:
        message = str(error)
        assert re.match(r"f\.toml:\d+: ", message)
        assert message.isprintable()
        assert 1 <= int(message.split(":")[1]) <= max(1, len(text.split("\n")))
    else:
        assert Board(**board.as_dict()) == board


PIECES = ["=", "[", "]", "{", "}", '"', "'", '"""', "'''", "\n", "#", ".", ",", "nan", "-inf", "true", "0x", "1e999"]
PIECES += ["\\u0000", "\\ud800", "1979-05-27", "\r", "\x00", "\ufeff", "[[a]]", "array_dsp = ", "é", "9" * 30, "_"]


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, len(GOOD)), st.integers(0, 12), st.sampled_from(PIECES) | st.text(max_size=4)),
        max_size=5,
    )
)
def test_a_mutated_board_text_is_a_board_or_a_sentence(edits):
    text = GOOD
    for at, cut, piece in edits:
        text = text[:at] + piece + text[at + cut :]
    only_documented(text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
@example("\ud800 = 1")
@example("a" + ".a" * 30000 + " = 1")
@example(("a" + ".a" * 245 + " = 1\n") * 130)
@example(("[a" + ".a" * 245 + "]\n") * 130)
@example("a = " + "[\n" * 30000)
@example("a = " + "{a = " * 90)
@example('"' + "\n" * 60000)
def test_any_text_is_a_board_or_a_sentence(text):
    only_documented(text)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.lists(st.tuples(st.integers(0, len(GOOD)), st.binary(max_size=3)), max_size=3))
def test_a_file_of_mutated_bytes_is_a_board_or_a_sentence(tmp_path, data):
    content = GOOD.encode()
    for at, piece in data:
        content = content[:at] + piece + content[at + 1 :]
    file = tmp_path / "fuzz.toml"
    file.write_bytes(content)
    said = ""
    try:
        load_board(file)
    except BoardError as error:
        said = str(error)
    assert said.isprintable()


VALUES = [
    "1",
    "'a # b'",
    '"\\"]"',
    '"""\nx = 1\n""\\""""',
    "'''\n[y]\n'''",
    "[\n 1, # ]\n 2\n]",
    "{ z = [1] }",
    "1979-05-27",
]
STATEMENTS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["k{}", '"k{}"', "'k{}'", "k{}.a", "k{} . 'b'"]), st.sampled_from(VALUES)).map(
            lambda pair: f"{pair[0]} = {pair[1]}"
        ),
        st.sampled_from(["", "# k0 = 1", "  ", "[t{}]", "[[ t{} ]]", "[t{}.'u v']"]),
    ),
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(STATEMENTS)
def test_the_line_of_a_key_is_the_first_line_that_tomllib_needs_for_it(statements):
    text = "\n".join(statement.replace("{}", str(number)) for number, statement in enumerate(statements))
    # The independent way: feed tomllib ever more lines. A key stands right after the last part that could be parsed
    # without it.
    expected: dict[str, int] = {}
    whole = 0
    lines = text.split("\n")
    for count in range(1, len(lines) + 1):
        try:
            known = tomllib.loads("\n".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue
        for key in known:
            expected.setdefault(key, whole + 1)
        whole = count
    assert key_lines(text) == expected


# ---- the page about boards

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "boards.md").read_text("utf-8")


def test_the_example_file_of_the_page_is_a_board():
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert parse_board(block, origin="docs/reference/boards.md").name == "my-board"


def test_the_table_of_the_page_is_what_the_presets_say():
    rows = dict(re.findall(r"^\| (\S+) \| (.*) \|$", PAGE, re.MULTILINE))
    for name in board_names():
        board = load_board(name)
        cells = [
            board.device,
            f"{board.dsp:,}",
            f"{board.array_dsp:,}",
            f"{board.int8_macs_per_dsp}",
            f"{board.lut:,}",
            f"{board.ff:,}",
            f"{board.bram_bits / 2**20:.1f}",
            f"{board.uram_bits / 2**20:.1f}",
            f"{board.dram_bytes_per_second / 1e9:.1f}",
            f"{board.clock_hz / 1e6:.0f}",
        ]
        assert rows[name] == " | ".join(cells)


@pytest.mark.parametrize("field", FIELDS)
def test_the_page_explains_every_key(field):
    assert f"| `{field}` |" in PAGE
