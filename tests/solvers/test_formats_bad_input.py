"""Files that are broken: one sentence that names the file and the place, for every format; and what odd files mean."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dynamap_solvers import FORBIDDEN, ProblemError
from dynamap_solvers.formats import detect_format, read_problem

NATIVE = {
    "schema": "dynamap/problem/1",
    "dtype": "int64",
    "names": ["a", "b"],
    "choice_names": [["p", "q"], ["r"]],
    "unary": [[3, None], [2]],
    "edges": [[0, 1]],
    "pair": [[[0], [1]]],
    "usage": {"limit": 4, "intervals": [[0, 1], [0, 2]], "used": [[1, 2], [3]]},
    "fixed": [[0, 0]],
}

UAI = "MARKOV 2 2 1 3 1 0 1 1 2 0 1 2 0.5 0 1 1 2 1 0.25"
LG = "MARKOV 1 2 1 1 0 2 -3 -1e300"
WCSP = "name 2 2 3 99 2 1 1 0 4 1 1 99 2 0 1 0 1 0 0 5 0 7 0"
CFN = '{problem: {name: n, mustbe: "<9"} variables: {a: [p q], b: 1} functions: {f: {scope: [a b], costs: [1 2]}}}'
SCHOLZ = "2 1 2 3 inf 1 2 0 1 2 1 0 1"


def swapped(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("keys", "value", "sentence"),
    [
        (("schema",), "dynamap/problem/2", "its schema is 'dynamap/problem/2'; this version reads 'dynamap/problem/1'"),
        (("dtype",), "int32", '"dtype" is \'int32\'; give "int64" or "float64"'),
        (("colour",), 1, "the key 'colour' is not one of"),
        (("name",), 1, '"name" must be a string'),
        (("names",), "ab", '"names" must be a list, not str'),
        (("names",), ["a", 1], '"names" must be a list of strings'),
        (("names",), ["a", "a"], "Two variables are called 'a'"),
        (("names",), ["a"], "1 names for 2 variables"),
        (("choice_names",), [["p"], ["r"]], "2 choices but 1 choice names"),
        (("unary",), {}, '"unary" must be a list, not dict'),
        (("unary", 0), 3, "the costs of variable 0 must be a list"),
        (("unary", 0), [], "the table of edge 0 must have 0 rows of 1 costs"),
        (("unary", 0, 0), 0.5, "a cost of variable 0 is 0.5; give an integer, or null to forbid"),
        (("unary", 0, 0), True, "a cost of variable 0 is True; give"),
        (("unary", 0, 0), "3", "a cost of variable 0 is '3'; give"),
        (("unary", 0, 0), 2**60, r"a cost of variable 0 is 2\*\*60 or more"),
        (("unary", 0, 0), 2**61, r"a cost of variable 0 is 2\*\*60 or more"),
        (("unary", 0, 0), 10**30, "costs of variable 0 contain 10+, which is not a 64-bit integer"),
        (("unary_sets",), [[[1, 2], [3]]], 'one of "unary" and "unary_sets", not both'),
        (("pair_sets",), [], 'one of "pair" and "pair_sets", not both'),
        (("edges", 0), [0], "edge 0 has 1 ends"),
        (("edges", 0), [0, 2], r"edge 0 joins \[0, 2\]; there are 2 variables"),
        (("edges", 0), [0, -1], r"edge 0 joins \[0, -1\]"),
        (("edges", 0), [0, 10**30], "not a 64-bit integer"),
        (("edges", 0), [0, 0], "must have 2 rows of 2 costs|joins variable 0 to itself"),
        (("pair",), [], "1 edges have ends but 0 have tables"),
        (("pair", 0), [[0, 1]], "the table of edge 0 must have 2 rows of 1 costs"),
        (("pair", 0), [[0], [1, 2]], "the table of edge 0 must have 2 rows of 1 costs"),
        (("pair", 0), [0, 1], "each row of the table of edge 0 must be a list"),
        (("pair", 0, 1, 0), [], "a cost of edge 0 is"),
        (("usage",), [], '"usage" must be a JSON object'),
        (("usage", "limit"), 0.5, "usage limit contain 0.5"),
        (("usage", "limit"), -1, "usage limit is -1"),
        (("usage", "more"), 0, "the key 'more' is not one of \"usage\""),
        (("usage", "intervals", 0), [3, 1], "interval of variable 'a' is reversed"),
        (("usage", "intervals", 0), [3], "the interval of variable 0 has 1 entries"),
        (("usage", "used", 0), [1], "usages of variable 'a' must be 2 integers"),
        (("usage", "used", 0, 0), -1, "usage of variable 'a' is negative"),
        (("usage", "used"), [], "2 variables have costs, 2 intervals and 0 usages"),
        (("fixed", 0), [0], 'entry 0 of "fixed" has 1 numbers'),
        (("fixed", 0), [0, 7], "has no choice 7|choice 7"),
        (("fixed", 0), [9, 0], "9"),
        (("fixed",), [[0, 0], [0, 1]], '"fixed" gives variable 0 two choices, 0 and 1'),
        (("ties",), [[0, 1]], "choices"),
        (("ties",), [[0]], "tie|ties"),
        (("ties",), [0], "group 0 of ties must be a list"),
    ],
)
def test_our_own_format_broken(keys, value, sentence, tmp_path):
    document = json.loads(json.dumps(NATIVE))
    at = document
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = value
    refused(json.dumps(document), sentence, tmp_path)


@pytest.mark.parametrize("key", ["dtype", "edges", "unary", "pair"])
def test_our_own_format_with_a_key_missing(key, tmp_path):
    refused(json.dumps({k: v for k, v in NATIVE.items() if k != key}), f'"{key}"', tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (UAI[:-5], "function 2 needs 2 words but the text ends after 1 more"),
        ("MARKOV", "the text ends where the number of variables should be"),
        (swapped(UAI, "MARKOV 2", "MARKOV two"), "the number of variables is 'two'; give an integer"),
        (swapped(UAI, "MARKOV 2", "MARKOV -2"), "the number of variables is '-2'; it must lie between 0"),
        (swapped(UAI, "MARKOV 2", "MARKOV 999999999999"), "declares 999999999999 variables but has only"),
        (swapped(UAI, "MARKOV 2 2", "MARKOV 2 999999999999"), "declares 1000000000000 costs in 60 bytes"),
        (swapped(UAI, "MARKOV 2 2", "MARKOV 2 0"), "choices of variable 0 is '0'"),
        (swapped(UAI, "1 3 1 0", "1 999999999999 1 0"), "declares 999999999999 functions but has only"),
        (swapped(UAI, "2 0 1 2", "3 0 1 0"), "function 2 has 3 variables; only functions of at most two"),
        (swapped(UAI, "2 0 1 2", "2 0 0 2"), "function 2 joins variable 0 to itself"),
        (swapped(UAI, "2 0 1 2", "2 0 2 2"), "a variable of function 2 is '2'; it must lie between 0 and 1"),
        (swapped(UAI, "2 0.5", "3 0.5"), r"table of function 0 has 3 entries; its scope \[0\] needs 2"),
        (swapped(UAI, "2 0.5", "999999999999 0.5"), "table of function 0 has 999999999999 entries"),
        (swapped(UAI, "0.5", "nan"), "a cost of function 0 is 'nan'"),
        (swapped(UAI, "0.5", "0.5x"), "a cost of function 0 is '0.5x'; give a number"),
        (swapped(UAI, "0.5", "1_0"), "a cost of function 0 is '1_0'"),
        (swapped(UAI, "0.5", "inf"), "a potential of function 0 is infinite"),
        (swapped(UAI, "0.5", "1e999"), "a cost of function 0 is '1e999', which is beyond float64"),
        (UAI + " 1", "1 words are left after the end, from '1': a count is too small"),
        (swapped(LG, "-3", "inf"), "an entry of function 0 is infinite"),
        (swapped(LG, "-3", "-nan"), "a cost of function 0 is '-nan'"),
        ("MARKOV 0 1 0 1 0.5", "a constant cost of 0.69.* but no variable to carry it"),
        ("MARKOV 0 1 1 0 1 0.5", "function 0 names variable 0; there are none"),
    ],
)
def test_uai_broken(text, sentence, tmp_path):
    refused(text, sentence, tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (WCSP[:-4], "tuples of function 1 needs 3 words|the text ends"),
        (WCSP[:-2], "the text ends where the number of tuples of function 2 should be"),
        (swapped(WCSP, "name 2", "name 99999999999"), "declares 99999999999 variables and 3 functions"),
        (swapped(WCSP, "2 3 99", "2 99999999999 99"), "declares 2 variables and 99999999999 functions"),
        (swapped(WCSP, "99 2 1 1", "99 99999999999 1 1"), "declares 100000000000 costs in"),
        (swapped(WCSP, "99 2 1 1", "99 -2 1 1"), "variable 0 has -2 choices"),
        (swapped(WCSP, "2 0 1 0 1", "3 0 1 0 1"), "function 1 has 3 variables; only functions of at most two"),
        (swapped(WCSP, "2 0 1 0 1", "2 0 0 0 1"), "function 1 joins variable 0 to itself"),
        (swapped(WCSP, "2 0 1 0 1", "2 0 2 0 1"), "function 1 names variable 2; there are 2"),
        (swapped(WCSP, "2 0 1 0 1 0 0 5", "2 0 1 -1 > 0 0"), "function 1 is given by the keyword '>'"),
        (swapped(WCSP, "0 1 0 0 5", "0 99999999999 0 0 5"), "list of 99999999999 tuples of function 1 needs"),
        (swapped(WCSP, "0 1 0 0 5", "0 1 0 1 5"), "a tuple of function 1 names choice 1; there are 1"),
        (swapped(WCSP, "0 1 0 0 5", "0 1 0 0 -5"), "a tuple of function 1 has '-5'; give integers of 0 or more"),
        (swapped(WCSP, "0 1 0 0 5", "0 1 0 0 5.5"), "a tuple of function 1 has '5.5'"),
        (swapped(WCSP, "0 1 0 0 5", "0 -1"), "function 1 takes shared table 1; 0 come before it"),
        (
            swapped(WCSP, "2 3 99", "2 3 2000000000000000000").replace(" 5 ", " 1500000000000000000 "),
            r"2\*\*60 or more",
        ),
        (WCSP + " 0 1 0", "3 words are left after the end"),
        ("name 1 1 2 9 1 -1 0 3 0 2 0 0 0 -1", "joins variable 0 to itself"),
        ("name 2 2 2 9 1 2 -1 0 3 0 1 1 0 -1", "takes shared table 1, which has another shape"),
    ],
)
def test_wcsp_broken(text, sentence, tmp_path):
    refused(text, sentence, tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (CFN[:-1], "the text ends where the end of the file should be"),
        (CFN[:-5], "the text ends within the costs of function 'f'"),
        (CFN + "}", "the text goes on after its end, with '}'"),
        (swapped(CFN, "<9", "9"), "the bound is '9'; give < or > and a decimal number|no format"),
        (swapped(CFN, "<9", "<9e3"), "the bound is '<9e3'"),
        (swapped(CFN, "mustbe", "mustnotbe"), "the key \"mustbe\" should come where 'mustnotbe' is"),
        (swapped(CFN, "b: 1", "a: 1"), "two variables are called 'a'"),
        (swapped(CFN, "[p q]", "[p p]"), "two choices of variable 'a' have the same name"),
        (swapped(CFN, "b: 1", "b: x"), "the domain of variable 'b' is 'x'; give names or a count"),
        (swapped(CFN, "b: 1", "b: 0"), "variable 1 has 0 choices"),
        (swapped(CFN, "b: 1", "b: -4"), "variable 1 has -4 choices"),
        (swapped(CFN, "b: 1", "b: 99999999999"), "declares 100000000001 costs in"),
        (swapped(CFN, "b: 1", "b: 999999999"), "declares 1000000001 costs in|declares 3000000000"),
        (swapped(CFN, "[a b]", "[a c]"), "function 'f' names variable 'c', which does not exist"),
        (swapped(CFN, "[a b]", "[a 2]"), "function 'f' names variable '2', which does not exist"),
        (swapped(CFN, "[a b]", "[a a]"), "function 'f' joins a variable to itself"),
        (swapped(CFN, "[a b]", "[a b a]"), "function 'f' has 3 variables"),
        (swapped(CFN, "[1 2]", "[1]"), "function 'f' has 1 costs; its scope needs 2"),
        (swapped(CFN, "[1 2]", "[1 [2]]"), "the costs of function 'f' holds a bracket"),
        (swapped(CFN, "[1 2]", "[1 x]"), "a cost of function 'f' is 'x'; give a decimal number without exponent"),
        (swapped(CFN, "[1 2]", "[1 1e3]"), "a cost of function 'f' is '1e3'"),
        (swapped(CFN, "[1 2]", "[1 nan]"), "a cost of function 'f' is 'nan'"),
        (swapped(CFN, "[1 2]", "[1 -1" + "0" * 30 + "]"), "beyond 64 bits"),
        (swapped(CFN, "[1 2]", "[1 1." + "0" * 400 + "]").replace("1.", "1" + "0" * 400 + "."), "beyond float64"),
        (swapped(CFN, "[1 2]", "g"), "function 'f' shares 'g', no later function of its shape"),
        (
            swapped(CFN, "costs:", "defaultcost: 3 costs:"),
            "the tuples of function 'f' have 2 words, not a multiple of 3",
        ),
        (swapped(CFN, "costs: [1 2]", "defaultcost: 3 costs: [r 0 5]"), "names choice 'r', which does not exist"),
        (swapped(CFN, "costs: [1 2]", "defaultcost: 3 costs: [p 0 5 0 0 6]"), "gives the cost of one tuple twice"),
        (swapped(CFN, "costs:", "type: salldiff params:"), "function 'f' is given by a type; only tables can be read"),
        (swapped(CFN, "scope:", "costs:"), 'the key "scope" should come where'),
    ],
)
def test_cfn_broken(text, sentence, tmp_path):
    refused(text, sentence, tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (SCHOLZ[:-2], "edge 0 needs 2 words but the text ends after 1 more"),
        ("2 1", "declares 2 nodes and 1 edges but has only 0 more words"),
        ("99999999999 1 2", "declares 99999999999 nodes and 1 edges but has only 1 more words"),
        (swapped(SCHOLZ, "2 1 2 3", "2 1 99999999999 3"), "node 0 needs 99999999999 words"),
        (swapped(SCHOLZ, "2 1 2 3", "2 1 0 3"), "the number of costs of node 0 is '0'"),
        (swapped(SCHOLZ, "0 1 2 1", "0 2 2 1"), "edge 0 names node 2; there are 2"),
        (swapped(SCHOLZ, "0 1 2 1", "0 1 1 2"), "edge 0 is 1 x 2; nodes 0 and 1 need 2 x 1"),
        (swapped(SCHOLZ, "inf", "-inf"), "a cost of node 0 is '-inf'"),
        (swapped(SCHOLZ, "inf", "nan"), "a cost of node 0 is 'nan'; give a number, or inf to forbid"),
        (swapped(SCHOLZ, "inf", "1" + "0" * 30), r"a cost of node 0 is 2\*\*60 or more"),
        (swapped(SCHOLZ, "inf", "2305843009213693952"), r"a cost of node 0 is 2\*\*60 or more"),
        (swapped(SCHOLZ, "inf", "--1"), "a cost of node 0 is '--1'"),
        (SCHOLZ + " 7", "1 words are left after the end"),
    ],
)
def test_scholz_broken(text, sentence, tmp_path):
    refused(text, sentence, tmp_path)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "its content is of no format that can be read"),
        (b"\0\xff\xfe", "its content is of no format"),
        (b"hello world", r"its content is of no format that can be read \(json, iopddl, uai, lg, wcsp, cfn, scholz\)"),
        (b"[1, 2]", "its content is of no format"),
        (b"{}", "its content is of no format"),
        (b'{"a": {"problem": 1}}', "its content is of no format|must be a JSON object|has no"),
        (b'{"schema": "dynamap/problem/1", ', "not valid JSON"),
        (b'{"problem": {"nodes": ', "not valid JSON"),
        (b'{"schema": "dynamap/problem/1", "unary": [[NaN]]}', "NaN is not a number"),
        (b"\\ Problem\nMinimize\n obj: x\nEnd\n", "looks like an LP or MPS file; those are written, not read"),
        (b"* names\nNAME x\nROWS\n", "looks like an LP or MPS file"),
        (b"\x1f\x8b\x08broken", "gzip data is damaged or cut off"),
        (b"[" * 100_000, "of no format|nested too deeply"),
        (b'{"schema": "dynamap/", "a": ' + b"[" * 100_000, "nested too deeply"),
    ],
)
def test_content_of_no_format(data, sentence, tmp_path):
    refused(data, sentence, tmp_path)


def refused(text: str | bytes, sentence: str, folder) -> None:
    path = folder / "file"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ProblemError, match=sentence) as caught:
        read_problem(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert len(message) < 300 + len(str(path))
    assert "\n" not in message


def read(text: str, kind: str, folder):
    path = folder / "file"
    path.write_text(text)
    assert detect_format(path) == kind
    return read_problem(path)


def test_the_good_files_are_good(tmp_path):
    assert read(json.dumps(NATIVE), "json", tmp_path).evaluate((0, 0)) == 5
    assert read(UAI, "uai", tmp_path).evaluate((1, 0)) == np.inf
    assert read(LG, "lg", tmp_path).unary[0].tolist() == [3, FORBIDDEN]
    assert read(WCSP, "wcsp", tmp_path).unary[0].tolist() == [11, FORBIDDEN]
    assert read(CFN, "cfn", tmp_path).pair[0].tolist() == [[1], [2]]
    assert read(SCHOLZ, "scholz", tmp_path).pair[0].tolist() == [[0], [1]]


def test_uai_adds_functions_of_one_variable_and_constants(tmp_path):
    problem = read("MARKOV 1 2 3 1 0 1 0 0  2 1 0.5  2 0.5 0.25  1 0.125", "uai", tmp_path)
    assert np.allclose(problem.unary[0], np.log(2) * np.array([4, 6]), rtol=1e-15)


def test_a_bayesian_network_is_read_as_its_factors(tmp_path):
    problem = read("BAYES\n2\n2 2\n2\n1 0\n2 0 1\n2\n0.25 0.75\n4\n1 0 0.5 0.5", "uai", tmp_path)
    assert np.isclose(problem.evaluate((0, 0)), -np.log(0.25))
    assert problem.evaluate((0, 1)) == np.inf


def test_a_wcsp_bound_forbids_what_cannot_stay_below_it(tmp_path):
    # 3 of the first function and at least 2 of the second reach the bound; 2 and 2 do not.
    problem = read("n 2 2 2 5  2 2  1 0 2 1 1 3  1 1 2 1 0 4", "wcsp", tmp_path)
    assert problem.unary[0].tolist() == [2, FORBIDDEN]
    assert problem.unary[1].tolist() == [FORBIDDEN, 2]


def test_wcsp_tables_that_are_shared(tmp_path):
    problem = read("n 3 2 3 99  2 2 2  -2 0 1 0 1 0 1 4  2 1 2 0 -1  2 2 0 7 0", "wcsp", tmp_path)
    assert [table.tolist() for table in problem.pair] == [[[0, 4], [0, 0]], [[0, 4], [0, 0]], [[7, 7], [7, 7]]]


def test_a_wcsp_file_whose_name_is_a_number(tmp_path):
    problem = read("404 2 2 1 9  2 2  2 0 1 0 1 0 1 4", "wcsp", tmp_path)
    assert (problem.name, problem.pair[0].tolist()) == ("404", [[0, 4], [0, 0]])


def test_cfn_in_its_free_form(tmp_path):
    text = (
        "# brackets and commas as one likes\n{ {test <12.10} [[a b c] 2] "
        "{ {{0 1} 0.5 {a 0 5 c 1 -7.25}} [[1] [1 2.5]] {{} {-3}} } }"
    )
    problem = read(text, "cfn", tmp_path)
    assert problem.name == "test"
    assert problem.names == ("x0", "x1")
    assert problem.choice_names == (("a", "b", "c"), ("0", "1"))
    assert problem.pair[0].tolist() == [[5, 0.5], [0.5, 0.5], [0.5, -7.25]]
    assert problem.evaluate((2, 1)) == -7.25 + 2.5 - 3


def test_cfn_that_maximises_is_read_with_its_signs_turned(tmp_path):
    problem = read(
        '{problem: {name: n, mustbe: ">-9"} variables: {a: 2} functions: {f: {scope: [a], costs: [5 -9]}}}',
        "cfn",
        tmp_path,
    )
    assert problem.unary[0].tolist() == [-5, FORBIDDEN]


def test_cfn_functions_that_share_a_table(tmp_path):
    text = (
        '{problem: {name: n, mustbe: "<99"} variables: {a: 2, b: 2}'
        " functions: {f: {scope: [a b], costs: g}, g: {scope: [b a], costs: [1 2 3 4]}}}"
    )
    assert [table.tolist() for table in read(text, "cfn", tmp_path).pair] == [[[1, 2], [3, 4]]] * 2


def test_a_scholz_edge_from_a_node_to_itself_adds_its_diagonal(tmp_path):
    problem = read("1 1  2 5 6  0 0 2 2 1 9 9 inf", "scholz", tmp_path)
    assert (problem.edges, problem.unary[0].tolist()) == ((), [6, FORBIDDEN])


def test_a_byte_order_mark_and_space_before_the_text_do_not_matter(tmp_path):
    for text in (json.dumps(NATIVE), UAI, CFN, SCHOLZ):
        (tmp_path / "marked").write_bytes(b"\xef\xbb\xbf\n " + text.encode())
        (tmp_path / "plain").write_bytes(text.encode())
        assert detect_format(tmp_path / "marked") == detect_format(tmp_path / "plain")
        assert read_problem(tmp_path / "marked").num_variables > 0
