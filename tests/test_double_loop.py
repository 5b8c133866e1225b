"""Region graphs and the double loop: counting numbers, fixed points, descent of the free energy, known numbers."""

import itertools
import math

import numpy as np
import pytest

import ppi_robotics as ppi
from plants import BlocksWorld
from ppi_robotics.discrete import (
    FactorGraph,
    IndexMap,
    RegionGraph,
    Table,
    belief_propagation,
    double_loop,
    junction_tree,
    minimal_regions,
    single_loop,
)
from ppi_robotics.solution import Status
from tests.graphs import random_graph, random_tree

ENTROPY = BlocksWorld((1, 2, 1, 0), 6, strength=10.0)
SOLVED = {"inner_sweeps": 5000, "inner_tolerance": 1e-13}  # inner loops to the end


def grid(side, seed, strength):
    """A square of binary variables, tables of random pairs."""
    rng = np.random.default_rng(seed)
    number = np.arange(side * side).reshape(side, side)
    pairs = [
        *zip(number[:, :-1].flat, number[:, 1:].flat, strict=True),
        *zip(number[:-1].flat, number[1:].flat, strict=True),
    ]
    tables = [Table(pair, strength * rng.normal() * np.array([[1.0, -1.0], [-1.0, 1.0]])) for pair in pairs]
    return FactorGraph([2] * side * side, [*tables, *(Table((v,), rng.normal(size=2)) for v in number.flat)]), number


def squares(number):
    """Clusters of four neighbors on a grid."""
    return [number[i : i + 2, j : j + 2].ravel() for i, j in itertools.product(range(len(number) - 1), repeat=2)]


def test_regions_of_a_grid():
    """Squares overlap in pairs, counted -1, and in single variables, counted 1."""
    graph, number = grid(4, 0, 1.0)
    regions = RegionGraph(graph, squares(number))
    counted = {len(region): set() for region in regions.inner}
    for region, count in zip(regions.inner, regions.counts, strict=True):
        counted[len(region)].add(count)
    assert counted == {2: {-1}, 1: {1}}
    assert sum(len(region) == 1 for region in regions.inner) == 4
    assert sum(len(region) == 2 for region in regions.inner) == 12


@pytest.mark.parametrize("merged", [False, True])
def test_regions_of_the_blocks_world(merged):
    """The move counts 1 - n, every step and every height with a stage on both sides -1."""
    world = BlocksWorld((2, 1, 1, 0, 0), 3)
    built = world.graph(merged)
    regions = minimal_regions(built.graph)
    counts = dict(zip(regions.inner, regions.counts, strict=True))
    expected = {tuple(move): 1 - 5 for move in built.moves}
    expected |= {(v,): -1 for v in (*built.steps.flat, *built.heights[1:-1].flat)}
    assert counts == expected
    assert len(regions.outer) == 2 * 5 * 3


@pytest.mark.parametrize("seed", range(6))
def test_regions_are_the_same_by_pairs_and_by_parts(seed, monkeypatch):
    """Some clusters small, others larger, on variables that many have."""
    rng = np.random.default_rng(seed)
    scopes = [(0, 1, 2, 3), *(rng.choice(9, rng.integers(1, 5), replace=False) for _ in range(14)), (0, 8), (1, 8)]
    graph = FactorGraph([2] * 9, [Table(scope, np.zeros([2] * len(scope))) for scope in scopes])
    by_pairs = minimal_regions(graph)
    for many in (0, 20):
        monkeypatch.setattr("ppi_robotics.discrete.cluster_variation.MANY", many)
        by_parts = minimal_regions(graph)
        assert dict(zip(by_parts.inner, by_parts.counts, strict=True)) == dict(
            zip(by_pairs.inner, by_pairs.counts, strict=True)
        )


def test_a_variable_of_many_neighbors():
    """A region of one variable, counted as often as the others have it in common."""
    leaves = [Table((0, i + 1), [[0.1 * i, 0.0], [0.0, 0.0]]) for i in range(2000)]
    graph = FactorGraph([2] * 2001, leaves)
    regions = minimal_regions(graph)
    assert (regions.inner, regions.counts) == (((0,),), (-1999,))
    assert single_loop(regions).log_partition == pytest.approx(junction_tree(graph).log_partition, rel=1e-10)


@pytest.mark.parametrize("seed", range(8))
def test_every_variable_is_counted_once(seed):
    regions = minimal_regions(random_graph(seed, variables=8, factors=8))
    for v in range(8):
        outer = sum(v in region for region in regions.outer)
        inner = sum(c for region, c in zip(regions.inner, regions.counts, strict=True) if v in region)
        assert outer + inner == 1
    for one, other in itertools.permutations(regions.outer, 2):
        assert not set(one) <= set(other)


@pytest.mark.parametrize("seed", range(5))
def test_outer_regions_hold_the_product_of_their_factors(seed):
    graph = random_graph(seed, variables=6, factors=8)
    regions = RegionGraph(graph, [range(6)])
    states, weights = regions.entries[0]
    assert {tuple(row) for row in states} == {
        row for row in itertools.product(*map(range, graph.sizes)) if graph.log_weight(row) > -np.inf
    }
    np.testing.assert_allclose(weights, [graph.log_weight(row) for row in states], atol=1e-12)
    for loop in (double_loop, single_loop):
        assert loop(regions).log_partition == pytest.approx(junction_tree(graph).log_partition, abs=1e-11)


@pytest.mark.parametrize("loop", [double_loop, single_loop])
@pytest.mark.parametrize("seed", range(4))
def test_exact_on_trees(loop, seed):
    graph = random_tree(seed)
    exact, found = junction_tree(graph), loop(graph, tolerance=1e-12)
    assert found.status is Status.CONVERGED
    assert found.log_partition == pytest.approx(exact.log_partition, abs=1e-8)
    np.testing.assert_allclose(np.concatenate(found.beliefs), np.concatenate(exact.beliefs), atol=1e-8)


@pytest.mark.parametrize("loop", [double_loop, single_loop])
def test_strong_trees_are_exact(loop):
    """A thousand nats: beliefs of the regions are 0 and 1 long before the messages are there."""
    for seed in range(3):
        weak = random_tree(seed)
        tables = [f if isinstance(f, IndexMap) else Table(f.variables, 300.0 * f.log_values) for f in weak.factors]
        graph = FactorGraph(weak.sizes, tables)
        exact, found = junction_tree(graph), loop(graph, tolerance=1e-13)
        assert found.status is Status.CONVERGED
        assert found.log_partition == pytest.approx(exact.log_partition, abs=1e-8)
        np.testing.assert_allclose(np.concatenate(found.beliefs), np.concatenate(exact.beliefs), atol=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_both_loops_end_where_belief_propagation_does(seed):
    """Tables of pairs: minimal regions are those of Bethe."""
    graph, _ = grid(3, seed, 0.5)
    bp = belief_propagation(graph, tolerance=1e-12)
    assert bp.status is Status.CONVERGED
    for found in (double_loop(graph, tolerance=1e-11), single_loop(graph, tolerance=1e-11)):
        assert found.status is Status.CONVERGED
        assert found.log_partition == pytest.approx(bp.log_partition, abs=1e-8)
        np.testing.assert_allclose(np.concatenate(found.beliefs), np.concatenate(bp.beliefs), atol=1e-8)
        assert found.inconsistency < 1e-8


@pytest.mark.parametrize("seed", range(4))
def test_larger_regions_do_better(seed):
    graph, number = grid(4, seed, 1.0)
    exact = junction_tree(graph)
    pairs, four = double_loop(graph), double_loop(RegionGraph(graph, squares(number)))

    def error(found):
        return np.abs(np.concatenate(found.beliefs) - np.concatenate(exact.beliefs)).max()

    assert four.status is Status.CONVERGED
    assert error(four) < 0.5 * error(pairs)
    assert abs(four.log_partition - exact.log_partition) < 0.5 * abs(pairs.log_partition - exact.log_partition)


@pytest.mark.parametrize("seed", range(4))
def test_free_energy_never_rises_if_inner_loops_are_solved(seed):
    graph, number = grid(4, seed, 3.0)
    for regions in (minimal_regions(graph), RegionGraph(graph, squares(number))):
        found = double_loop(regions, **SOLVED)
        assert found.status is Status.CONVERGED
        assert np.diff(found.trace).max() < 1e-9


def test_free_energy_may_rise_if_they_are_not():
    found = double_loop(BlocksWorld((4, 0, 0, 0), 8, goal=(0, 0, 4, 0)).graph().graph, inner_sweeps=2, max_outer=50)
    assert np.diff(found.trace).max() > 0.1


@pytest.mark.parametrize("seed", range(3))
def test_converges_where_belief_propagation_does_not(seed):
    graph, _ = grid(5, seed, 4.0)
    assert belief_propagation(graph, "flood", max_sweeps=2000).status is Status.MAX_ITERATIONS
    found = double_loop(graph, inner_sweeps=200)
    assert found.status is Status.CONVERGED
    assert found.inconsistency < 1e-3
    assert len(found.trace) < found.sweeps


def test_cost_of_entropy():
    """Belief propagation has half the probability wrong here; the regions' beliefs are right to the third digit."""
    built = ENTROPY.graph()
    exact = junction_tree(built.graph)
    found = double_loop(built.graph)
    assert found.status is Status.CONVERGED
    assert -14.98400 < found.log_partition < -14.98385
    assert np.abs(built.actions(found) - built.actions(exact)).max() < 1e-3


@pytest.mark.parametrize(
    ("world", "expected"),
    [
        (BlocksWorld((2, 1, 1, 0, 0), 6, goal=(0, 0, 0, 2, 2)), -12.2572148375),
        (BlocksWorld((5, 0, 0, 0, 0, 0), 8, goal=(1, 2, 1, 0, 0, 1)), -12.5575627244),
    ],
)
def test_goals_of_the_blocks_world(world, expected):
    """Location and direction make one region, so that a merged action has the same free energy."""
    for merged in (False, True):
        for loop in (double_loop, single_loop):
            found = loop(world.graph(merged).graph, tolerance=1e-8)
            assert found.status is Status.CONVERGED
            assert found.log_partition == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("loop", [double_loop, single_loop])
def test_a_contradiction_is_a_status(loop):
    follow = [IndexMap((0,), 1, [0, 1]), IndexMap((1,), 2, [0, 1])]
    found = loop(FactorGraph((2, 2, 2), follow).clamp({0: 0, 2: 1}))
    assert found.status is Status.CONTRADICTION
    assert found.log_partition == -np.inf
    assert not np.concatenate(found.beliefs).any()
    within = loop(FactorGraph((2, 2), follow[:1]).clamp({0: 0, 1: 1}))  # of one region: it has no configuration
    assert within.status is Status.CONTRADICTION


@pytest.mark.parametrize("loop", [double_loop, single_loop])
def test_starts_where_another_run_ended(loop):
    graph, _ = grid(3, 0, 1.0)
    regions = minimal_regions(graph)
    first = loop(regions)
    again = loop(regions, start=first)
    assert len(again.trace) <= 2
    assert again.log_partition == pytest.approx(first.log_partition, abs=1e-5)
    other = loop(graph.clamp({4: 1}), tolerance=1e-9)
    elsewhere = loop(graph.clamp({4: 0}), tolerance=1e-9, start=other)
    assert elsewhere.log_partition == pytest.approx(loop(graph.clamp({4: 0}), tolerance=1e-9).log_partition, abs=1e-7)


def test_a_count_that_the_single_loop_has_no_update_for():
    """Three clusters in a chain of overlaps, one variable in all of them and in all their overlaps."""
    graph = FactorGraph([2] * 4, [Table(scope, np.zeros((2, 2, 2))) for scope in ((0, 1, 2), (0, 2, 3), (0, 1, 3))])
    regions = RegionGraph(graph, [factor.variables for factor in graph.factors])
    counts = dict(zip(regions.inner, regions.counts, strict=True))
    assert counts[(0,)] == 1
    assert double_loop(regions).log_partition == pytest.approx(4 * math.log(2), abs=1e-9)
    object.__setattr__(regions, "counts", tuple(-3 if region == (0,) else c for region, c in counts.items()))
    with pytest.raises(ppi.ProblemError, match="counting number -3 .*use double_loop"):
        single_loop(regions)


@pytest.mark.parametrize(
    ("clusters", "message"),
    [
        ([(0, 1), (1, 2), (3,)], "factor 1 of variables .* is in no outer cluster"),
        ([(0, 1), (1, 3)], "variable 2 is in no outer cluster"),
        ([(0, 1, 2, 3), ()], "is not of variables 0 to 3"),
        ([(0, 1, 2, 3, 4)], "is not of variables 0 to 3"),
    ],
)
def test_refuses_clusters(clusters, message):
    graph = FactorGraph([2] * 4, [Table(scope, np.zeros((2, 2))) for scope in ((0, 1), (1, 3), (2, 3))])
    with pytest.raises(ppi.ProblemError, match=message):
        RegionGraph(graph, clusters)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": -1.0}, "tolerance is -1.0"),
        ({"max_outer": 0}, "number of sweeps is 0"),
        ({"inner_sweeps": 0}, "number of sweeps is 0"),
        ({"inner_tolerance": math.nan}, "tolerance is nan"),
        ({"start": belief_propagation(random_tree(0))}, "schedule 'sequential'; expected"),
    ],
)
def test_refuses_options(options, message):
    with pytest.raises(ppi.ProblemError, match=message):
        double_loop(random_tree(0), **options)


def test_variables_without_factors_count():
    assert double_loop(FactorGraph((2, 3), [])).log_partition == pytest.approx(math.log(6))
    found = double_loop(FactorGraph((2, 3, 4), [Table((1,), np.zeros(3))]))
    assert found.log_partition == pytest.approx(math.log(24))
    np.testing.assert_allclose(found.beliefs[2], 0.25)
