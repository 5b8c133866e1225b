"""Files of factor graphs: examples worked by hand, graphs that come back as they were, and damaged files."""

import contextlib
import math

import numpy as np
import pytest

import ppi_robotics as ppi
from plants import BlocksWorld
from ppi_robotics.discrete import FactorGraph, IndexMap, Table, junction_tree, read_fg, read_uai, write_fg, write_uai
from tests.graphs import enumerated, random_graph

MARKOV = """MARKOV
3
2 2 3
2
2 0 1
2 1 2

4
 4.000 2.400
 1.000 0.000

6
 2.2500 3.2500 3.7500
 0.0000 0.0000 10.0000
"""
BAYES = """BAYES
3
2 2 2
3
1 0
2 0 1
3 0 1 2

2
 0.2 0.8
4
 0.9 0.1
 0.4 0.6
8
 1 0 0.5 0.5
 0.25 0.75 0 1
"""
DAI = """# two factors
2

3
5 9 7
2 3 2
5
0 1.0
1 2.0
2 3.0
7 0.5
# the last one
11 0.25

1
7
2
1
1 4.0
"""


def written(tmp_path, text):
    path = tmp_path / "graph.txt"
    path.write_text(text)
    return path


def test_a_markov_network_by_hand(tmp_path):
    """Weights of (a, b) and (b, c): c sums to 9.25 for b = 0, to 10 for b = 1."""
    graph = read_uai(written(tmp_path, MARKOV))
    assert graph.sizes == (2, 2, 3)
    assert [factor.variables for factor in graph.factors] == [(0, 1), (1, 2)]
    assert math.exp(junction_tree(graph).log_partition) == pytest.approx(5 * 9.25 + 2.4 * 10)
    assert graph.log_weight([1, 1, 0]) == -np.inf
    assert math.exp(graph.log_weight([0, 0, 2])) == pytest.approx(4 * 3.75)


def test_a_bayesian_network_by_hand(tmp_path):
    """Its weights are probabilities: the last variable is 1 by 0.5 and 1 for the two values of the second."""
    found = junction_tree(read_uai(written(tmp_path, BAYES)))
    assert found.log_partition == pytest.approx(0.0, abs=1e-14)
    np.testing.assert_allclose(found.beliefs[1], [0.2 * 0.9 + 0.8 * 0.4, 0.2 * 0.1 + 0.8 * 0.6])
    expected = 0.2 * 0.1 * 0.5 + 0.8 * 0.4 * 0.75 + 0.8 * 0.6 * 1.0
    np.testing.assert_allclose(found.beliefs[2], [1 - expected, expected])


def test_a_dai_file_by_hand(tmp_path):
    """Index 7 = 1 + 2 (0 + 3 * 1): the first variable runs fastest. Labels 5, 7, 9 are variables 0, 1, 2."""
    graph = read_fg(written(tmp_path, DAI))
    assert graph.sizes == (2, 2, 3)
    assert graph.names == ("5", "7", "9")
    assert graph.factors[0].variables == (0, 2, 1)
    weights = {(0, 0, 0): 1.0, (1, 0, 0): 2.0, (0, 0, 1): 3.0, (1, 1, 0): 0.5, (1, 1, 2): 0.25}
    states, logs = graph.factors[0].entries()
    seen = {(a, b, c): math.exp(log) for (a, c, b), log in zip(states.tolist(), logs, strict=True)}
    assert seen == pytest.approx(weights)
    assert math.exp(junction_tree(graph).log_partition) == pytest.approx(4.0 * 0.75)


@pytest.mark.parametrize("formats", [(write_uai, read_uai), (write_fg, read_fg)], ids=["uai", "fg"])
@pytest.mark.parametrize("seed", range(4))
def test_graphs_come_back_as_they_were(tmp_path, formats, seed):
    """With maps, zeros, a constant, and weights beyond those of floats."""
    write, read = formats
    weak = random_graph(seed, variables=7, factors=6)
    strong = Table((2,), np.linspace(-2000.0, 3000.0, weak.sizes[2]))
    graph = FactorGraph((*weak.sizes, 3), [*weak.factors, Table((), -2.5), strong])
    write(graph, tmp_path / "graph")
    back = read(tmp_path / "graph")
    assert back.sizes == graph.sizes
    assert back.names == ()
    rng = np.random.default_rng(seed)
    for _ in range(50):
        states = rng.integers(0, graph.sizes)
        # logarithms of thousands are written as decimals of 17 digits
        assert back.log_weight(states) == pytest.approx(graph.log_weight(states), rel=1e-13)
    assert junction_tree(back).log_partition == pytest.approx(junction_tree(graph).log_partition, rel=1e-13)


@pytest.mark.parametrize("formats", [(write_uai, read_uai), (write_fg, read_fg)], ids=["uai", "fg"])
def test_moderate_weights_come_back_to_the_last_digit(tmp_path, formats):
    write, read = formats
    graph = random_graph(3)
    write(graph, tmp_path / "first")
    write(read(tmp_path / "first"), tmp_path / "second")
    log_z, marginals, _ = enumerated(graph)
    found = junction_tree(read(tmp_path / "second"))
    assert found.log_partition == pytest.approx(log_z, abs=1e-12)
    for ours, theirs in zip(found.beliefs, marginals, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-13)


def test_a_world_of_maps(tmp_path):
    graph = BlocksWorld((2, 1, 1, 0), 3, goal=(1, 1, 1, 1)).graph().graph
    write_fg(graph, tmp_path / "blocks.fg")
    exact = junction_tree(graph).log_partition
    assert junction_tree(read_fg(tmp_path / "blocks.fg")).log_partition == pytest.approx(exact, abs=1e-12)


def test_maps_that_are_too_large_to_list(tmp_path):
    index = np.zeros((1000, 2000), int)
    graph = FactorGraph((1000, 2000, 2), [IndexMap((0, 1), 2, index)])
    with pytest.raises(ppi.ProblemError, match="use write_fg"):
        write_uai(graph, tmp_path / "graph.uai")
    with pytest.raises(ppi.ProblemError, match="as text"):
        write_fg(graph, tmp_path / "graph.fg")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_uai, "", "line 1 has the end of the file; expected MARKOV or BAYES"),
        (read_uai, "markov 1 2 0", None),
        (read_uai, "GRID\n3", "line 1 has 'GRID'; expected MARKOV or BAYES"),
        (read_uai, MARKOV.replace("2 2 3", "2 two 3"), "line 3 has 'two' for the size of a variable"),
        (read_uai, MARKOV.replace("2 2 3", "2 0 3"), "line 3 has '0' for the size"),
        (read_uai, "MARKOV\n99999999999\n2", "line 2 has '99999999999' for the number of variables"),
        (read_uai, "MARKOV\n99999\n2", "line 3 has the end of the file"),
        (read_uai, MARKOV.replace("2 1 2", "2 1 3"), r"line 6 has the scope \[1, 3\]; expected different variables"),
        (read_uai, MARKOV.replace("2 1 2", "2 1 1"), r"line 6 has the scope \[1, 1\]"),
        (read_uai, MARKOV.replace("\n6\n", "\n5\n"), "line 12 has another number of weights .* expected 6"),
        (read_uai, MARKOV.replace("10.0000", ""), "line 14 has the end of the file; expected a weight"),
        (read_uai, MARKOV.replace("10.0000", "ten"), "line 14 has weights of which one is no number"),
        (read_uai, MARKOV.replace("10.0000", "-1"), "line 14 has weights of which one is no number from 0"),
        (read_uai, MARKOV.replace("10.0000", "nan"), "no number from 0"),
        (read_uai, MARKOV.replace("10.0000", "inf"), "line 14 has the weight 'inf'"),
        (read_uai, MARKOV.replace("10.0000", "1e99999999"), "line 14 has the weight '1e99999999'"),
        (read_uai, MARKOV.replace("10.0000", "10.0 7"), "line 14 has '7'; expected the end"),
        (read_uai, MARKOV.replace("4.000 2.400", "0 0").replace("1.000 0", "0 0"), "line 8 has a table .*zeros alone"),
        (read_fg, "", "line 1 has the end of the file; expected the number of factors"),
        (read_fg, "0", "has no variable"),
        (read_fg, "7", "line 1 has '7' for the number of factors"),
        (read_fg, DAI.replace("5 9 7", "5 5 7"), r"line 6 has labels \[5, 5, 7\]"),
        (read_fg, DAI.replace("\n1\n7\n2\n", "\n1\n7\n3\n"), r"line 17 has labels \[7\] of sizes \[3\]"),
        (read_fg, DAI.replace("11 0.25", "12 0.25"), "line 13 has an index twice, or one above 11"),
        (read_fg, DAI.replace("11 0.25", "7 0.25"), "an index twice"),
        (read_fg, DAI.replace("11 0.25", "x 0.25"), "an index that is no whole number"),
        (
            read_fg,
            "1\n3\n0 1 2\n2000000000 2000000000 2000000000\n1\n0 1",
            "line 5 has a factor of 8e.27 configurations",
        ),
    ],
)
def test_damaged_files_are_refused_with_the_line(tmp_path, read, text, message):
    path = written(tmp_path, text)
    if message is None:
        assert read(path).sizes == (2,)
        return
    with pytest.raises(ppi.ProblemError, match=message) as caught:
        read(path)
    assert len(str(caught.value)) <= 300
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("read", "text"), [(read_uai, MARKOV), (read_uai, BAYES), (read_fg, DAI)])
def test_whatever_a_file_has_is_a_graph_or_a_problem(tmp_path, read, text):
    rng = np.random.default_rng(0)
    letters = "0123456789 -.e\nx#"
    for _ in range(300):
        characters = list(text)
        for _ in range(rng.integers(1, 4)):
            place, letter = rng.integers(len(characters)), letters[rng.integers(len(letters))]
            characters[place : place + rng.integers(0, 2)] = [letter] * int(rng.integers(0, 3))
        with contextlib.suppress(ppi.ProblemError):
            assert isinstance(read(written(tmp_path, "".join(characters))), FactorGraph)


@pytest.mark.parametrize("read", [read_uai, read_fg])
def test_what_is_no_file_is_refused(tmp_path, read):
    for path in (tmp_path / "missing", tmp_path, 3, "a\0b"):
        with pytest.raises(ppi.ProblemError):
            read(path)
    for write in (write_uai, write_fg):
        with pytest.raises(ppi.ProblemError, match="graph is"):
            write(None, tmp_path / "graph")
        with pytest.raises(ppi.ProblemError):
            write(random_graph(0), tmp_path)
