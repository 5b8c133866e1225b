"""Exact inference: enumeration, the blocks world's known numbers, another library, and refusals."""

import importlib.util
import itertools
import json
import math
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import ppi_robotics as ppi
from plants import BlocksWorld
from ppi_robotics.discrete import FactorGraph, IndexMap, Table, junction_tree, most_probable, tree_size
from ppi_robotics.discrete.elimination import clique_tree
from ppi_robotics.solution import Status
from tests.graphs import enumerated, random_graph, random_tree

TIGHT = BlocksWorld((4, 0, 0, 0), 8, goal=(0, 0, 4, 0))
ENTROPY = BlocksWorld((1, 2, 1, 0), 6, strength=10.0)


@pytest.mark.parametrize("seed", range(20))
def test_equals_the_sum_over_all_configurations(seed):
    graph = random_graph(seed, variables=6, factors=4 + seed % 5)
    log_z, marginals, joint = enumerated(graph)
    found = junction_tree(graph)
    assert found.exact
    assert found.status is Status.CONVERGED
    assert found.log_partition == pytest.approx(log_z, abs=1e-11)
    for ours, theirs in zip(found.beliefs, marginals, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    for scope, states, p in zip(found.scopes, found.configurations, found.joints, strict=True):
        order = np.argsort(scope)
        marginal = joint.sum(axis=tuple(set(range(6)) - set(scope)))
        np.testing.assert_allclose(p, marginal[tuple(states[:, order].T)], atol=1e-12)
    best, log_weight = most_probable(graph)
    assert log_weight == pytest.approx(graph.log_weight(best), abs=1e-12)
    assert math.exp(log_weight - log_z) == pytest.approx(joint.max(), rel=1e-10)


@pytest.mark.parametrize("merged", [False, True])
def test_tower_that_has_just_the_moves_it_needs(merged):
    """588 paths of 8 moves, each of probability 1 / 12."""
    built = TIGHT.graph(merged)
    found = junction_tree(built.graph)
    assert found.log_partition == pytest.approx(math.log(588) - 8 * math.log(12), abs=1e-11)
    np.testing.assert_allclose(built.actions(found), [0.5, 0, 0.5, *[0] * 9], atol=1e-12)
    means = [[found.beliefs[x] @ np.arange(5) for x in row] for row in built.heights]
    expected = [4, 3, 2.238095, 1.595238, 1.051020, 0.595238, 0.238095, 0, 0]
    np.testing.assert_allclose(np.array(means)[:, 0], expected, atol=1e-6)
    np.testing.assert_allclose(np.array(means)[::-1, 2], expected, atol=1e-6)
    best, log_weight = most_probable(built.graph)
    assert log_weight == pytest.approx(-8 * math.log(12), abs=1e-11)
    assert best[built.heights[-1]].tolist() == [0, 0, 4, 0]


def test_cost_of_entropy():
    built = ENTROPY.graph()
    found = junction_tree(built.graph)
    assert found.log_partition == pytest.approx(-14.287646984414, abs=1e-9)
    p = built.actions(found)
    assert p[[2, 6]] == pytest.approx(0.4999847303, abs=1e-9)


@pytest.mark.parametrize(
    ("world", "expected"),
    [
        (BlocksWorld((2, 1, 1), 5, strength=10.0), -12.610939203980),
        (BlocksWorld((1, 1, 0), 3, strength=2.0), -2.952033761743124),
        (BlocksWorld((3, 3, 0, 0), 10, goal=(0, 0, 3, 3)), -9.858823704472945),
    ],
)
def test_other_worlds(world, expected):
    assert junction_tree(world.graph().graph).log_partition == pytest.approx(expected, abs=1e-9)


ANOTHER = """
import json, sys
import numpy as np, pyagrum
sizes, factors = json.load(sys.stdin)
network = pyagrum.MarkovRandomField()
for v, size in enumerate(sizes):
    network.add(pyagrum.RangeVariable(f"v{v}", "", 0, size - 1))
for scope, table in factors:
    factor = network.addFactor([f"v{v}" for v in scope])
    axes = [scope.index(int(name[1:])) for name in reversed(factor.names)]
    factor[:] = np.ascontiguousarray(np.array(table).transpose(axes))
inference = pyagrum.ShaferShenoyMRFInference(network)
inference.makeInference()
print(json.dumps([inference.posterior(f"v{v}").tolist() for v in range(len(sizes))]))
"""


@pytest.mark.skipif(importlib.util.find_spec("pyagrum") is None, reason="pyagrum is not installed")
@pytest.mark.parametrize("seed", range(3))
def test_equals_another_library(seed):
    """In a process of its own, as pyAgrum 3.3 crashes in one that has llvmlite loaded."""
    graph = random_graph(seed, variables=9, factors=9)
    tables = {(v,): np.ones(size) for v, size in enumerate(graph.sizes)}
    for factor, (states, weights) in zip(graph.factors, graph.entries, strict=True):
        order = np.argsort(factor.variables)
        scope = tuple(factor.variables[j] for j in order)
        table = np.zeros([graph.sizes[v] for v in scope])
        table[tuple(states[:, order].T)] = np.exp(weights)
        tables[scope] = tables.get(scope, 1.0) * table
    given = json.dumps([graph.sizes, [(scope, table.tolist()) for scope, table in tables.items()]])
    answer = subprocess.run([sys.executable, "-c", ANOTHER], input=given, capture_output=True, text=True, check=True)
    for ours, theirs in zip(junction_tree(graph).beliefs, json.loads(answer.stdout), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-10)


def test_size_of_the_tree_of_the_tower():
    size = tree_size(TIGHT.graph().graph)
    assert (size.variables, size.largest) == (7, 37_500)


def test_refuses_tables_that_are_too_large():
    """Width 12, as the paper has it, and 25.9 GB by another order of elimination that fills as little."""
    world = BlocksWorld((4, 0, 0, 0, 0, 0), 11)
    size = tree_size(world.graph().graph)
    assert size.variables == 13
    assert size.entries == pytest.approx(3.2e9, rel=0.1)
    assert 8 * size.entries < size.bytes < 10 * size.entries  # messages come on top
    with pytest.raises(ppi.ProblemError, match=r"needs 2\d\.\d GB.*13 variables.*use belief_propagation"):
        junction_tree(world.graph().graph)
    with pytest.raises(ppi.ProblemError, match="needs"):
        most_probable(TIGHT.graph().graph, largest=1000)
    with pytest.raises(ppi.ProblemError, match="largest is 0"):
        junction_tree(FactorGraph((2,), ()), largest=0)


def grid(rows, columns, values, seed=0):
    """Pairs of neighbors with random tables."""
    rng, number = np.random.default_rng(seed), np.arange(rows * columns).reshape(rows, columns)
    pairs = [
        *zip(number[:, :-1].flat, number[:, 1:].flat, strict=True),
        *zip(number[:-1].flat, number[1:].flat, strict=True),
    ]
    tables = [Table(tuple(map(int, pair)), rng.normal(size=(values, values))) for pair in pairs]
    return FactorGraph([values] * rows * columns, tables)


def star(leaves):
    """A variable that all others depend on."""
    tables = [Table.of_weights((0, i + 1), [[0.6, 0.4], [0.3, 0.7]]) for i in range(leaves)]
    return FactorGraph([2] * (leaves + 1), [*tables, Table.of_weights((0,), [0.25, 0.75])])


@pytest.mark.parametrize(
    "graph",
    [
        grid(10, 10, 2),
        grid(5, 6, 4),
        grid(20, 1, 100),
        star(500),
        FactorGraph([7] * 6, [Table(range(6), np.zeros([7] * 6))]),
        FactorGraph(
            [20, 20, 20, 40], [IndexMap((0, 1, 2), 3, np.add.outer(np.add.outer(*2 * [np.arange(20)]), 20 * [1]))]
        ),
        TIGHT.graph().graph,
    ],
    ids=["wide", "many values", "chain", "star", "one table", "map", "blocks"],
)
def test_takes_the_memory_that_is_announced(graph):
    size = tree_size(graph)
    tracemalloc.start()
    junction_tree(graph)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size.bytes == pytest.approx(peak, rel=0.2)


def lacking(neighbors, v):
    """Pairs of neighbors that are not connected."""
    return sum(b not in neighbors[a] for a, b in itertools.combinations(neighbors[v], 2))


@pytest.mark.parametrize("seed", range(8))
def test_eliminates_next_whose_neighbors_lack_the_fewest_connections(seed):
    """And of these the one of the smallest table, all counted anew at every step."""
    graph = random_graph(seed, variables=14, factors=16, zeros=0.0)
    tree = clique_tree(graph)
    order = sorted(tree.ranks, key=tree.ranks.get)
    neighbors = {v: set() for v in order}
    for factor in graph.factors:
        for a, b in itertools.permutations([v for v in factor.variables if v in neighbors], 2):
            neighbors[a].add(b)
    for v in order:
        prices = {
            u: (lacking(neighbors, u), math.prod(graph.sizes[w] for w in (u, *neighbors[u])), u) for u in neighbors
        }
        assert v == min(prices, key=prices.get)
        for a, b in itertools.permutations(neighbors.pop(v), 2):
            neighbors[a].add(b)
            neighbors[a].discard(v)
            neighbors[b].discard(v)
        for near in neighbors.values():
            near.discard(v)


def test_a_wide_grid_is_refused_with_a_number():
    graph = grid(60, 60, 2)
    with pytest.raises(ppi.ProblemError, match=r"needs .*GB: .* up to \d\d variables, more than largest=1e\+08"):
        junction_tree(graph)
    least = tree_size(graph)
    assert least.variables >= 60  # its treewidth is 60


def test_what_elimination_would_need_need_not_be_known_to_refuse():
    """Random pairs of 400 variables leave a clique of some hundred: it is refused long before."""
    rng = np.random.default_rng(0)
    pairs = [Table(rng.choice(400, 2, replace=False), np.zeros((2, 2))) for _ in range(4000)]
    with pytest.raises(ppi.ProblemError, match="needs more than .* GB"):
        junction_tree(FactorGraph([2] * 400, pairs))


def test_a_variable_of_many_neighbors():
    """Sums over the leaves are products over them."""
    graph = star(5000)
    found, weights = junction_tree(graph), np.array([0.25, 0.75])
    assert found.log_partition == pytest.approx(0.0, abs=1e-11)
    np.testing.assert_allclose(found.beliefs[0], weights, atol=1e-11)
    np.testing.assert_allclose(found.beliefs[4321], weights @ [[0.6, 0.4], [0.3, 0.7]], atol=1e-11)
    best, log_weight = most_probable(graph)
    assert log_weight == pytest.approx(math.log(0.75) + 5000 * math.log(0.7), rel=1e-12)
    assert best.all()


def test_variables_of_one_value_need_no_axis():
    """More variables in a clique than arrays may have axes."""
    pairs = [Table((i, j), [[0.01]]) for i in range(80) for j in range(i)]
    graph = FactorGraph([1] * 80 + [2], [*pairs, *(Table((i, 80), [[0.0, 0.02]]) for i in range(80))])
    found = junction_tree(graph)
    assert tree_size(graph).largest == 2
    assert found.log_partition == pytest.approx(31.6 + math.log1p(math.exp(1.6)), abs=1e-10)
    assert found.beliefs[3].tolist() == [1.0]
    assert most_probable(graph)[0].tolist() == [0] * 80 + [1]


def test_what_cannot_be_addressed_is_refused_whatever_is_allowed():
    pairs = [Table((i, j), np.zeros((2, 2))) for i in range(70) for j in range(i)]
    with pytest.raises(ppi.ProblemError, match=r"1\.18e\+21 entries in 1 cliques of up to 70 .* more than can be"):
        junction_tree(FactorGraph([2] * 70, pairs), largest=math.inf)


def test_tables_of_a_chain_grow_with_its_length():
    entries = []
    for length in (50, 100, 200):
        pairs = [Table((t, t + 1), np.zeros((5, 5))) for t in range(length)]
        entries.append(tree_size(FactorGraph([5] * (length + 1), pairs)).entries)
    assert entries == [25 * 50, 25 * 100, 25 * 200]


def test_a_contradiction_is_a_status():
    """Three variables of two values, all different, by pairs; and one clamped to what no factor allows."""
    different = np.log([[1e-300, 1.0], [1.0, 1e-300]])
    different[different < -100] = -np.inf
    graph = FactorGraph((2, 2, 2), [Table(pair, different) for pair in ((0, 1), (1, 2), (0, 2))])
    follow = FactorGraph((2, 2), [IndexMap((0,), 1, [0, 0])])
    for impossible in (graph, follow.clamp({1: 1}), follow.clamp({1: 1, 0: 0}), follow.clamp({0: 0}).clamp({0: 1})):
        found = junction_tree(impossible)
        assert found.status is Status.CONTRADICTION
        assert found.log_partition == -np.inf
        assert not np.concatenate(found.beliefs).any()
        assert most_probable(impossible) == (None, -np.inf)


def test_variables_without_factors_count():
    assert junction_tree(FactorGraph((2, 3), [])).log_partition == pytest.approx(math.log(6))
    found = junction_tree(FactorGraph((2, 3, 4), [Table((1,), np.zeros(3))]))
    assert found.log_partition == pytest.approx(math.log(24))
    np.testing.assert_allclose(found.beliefs[2], 0.25)


def test_strong_factors_do_not_underflow():
    """Logarithms that differ by thousands."""
    chain = random_tree(3)
    strong = [Table(f.variables, 2000 * f.log_values) for f in chain.factors if isinstance(f, Table)]
    graph = FactorGraph(chain.sizes, [*strong, *(f for f in chain.factors if isinstance(f, IndexMap))])
    found = junction_tree(graph)
    _, best = most_probable(graph)
    assert best > 1000.0
    assert found.log_partition == pytest.approx(best, rel=1e-3)  # what is second is far behind
    assert all(belief.sum() == pytest.approx(1.0, abs=1e-12) for belief in found.beliefs)
