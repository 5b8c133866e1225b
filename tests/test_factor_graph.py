"""Factor graphs: what they refuse, what clamping means, and their entries."""

import doctest
import math

import numpy as np
import pytest

import ppi_robotics as ppi
from plants import BlocksWorld
from ppi_robotics.discrete import (
    FactorGraph,
    IndexMap,
    Table,
    belief_propagation,
    double_loop,
    factor_graph,
    junction_tree,
    most_probable,
    single_loop,
)
from tests.graphs import enumerated, random_graph

PAIR = np.zeros((2, 3))


def test_the_example_of_the_module_runs():
    assert doctest.testmod(factor_graph).failed == 0
    assert doctest.testmod(factor_graph).attempted > 5


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Table((0, 0), np.zeros((2, 2))), "different ones"),
        (lambda: Table((0, -1), np.zeros((2, 2))), "whole numbers from 0"),
        (lambda: Table((), -np.inf), "zeros alone"),
        (lambda: Table((), [0.0]), "1 axes; expected one for each"),
        (lambda: IndexMap((), 0, 0), "one or more"),
        (lambda: Table((0, 1), np.zeros(2)), "1 axes; expected one for each"),
        (lambda: Table((0,), [0.0, np.nan]), r"has nan at index \(1,\); expected logarithms"),
        (lambda: Table((0,), [0.0, np.inf]), r"has inf at index \(1,\); expected logarithms"),
        (lambda: Table((0,), ["a", "b"]), "expected an array of numbers"),
        (lambda: Table((0,), [-np.inf, -np.inf]), "zeros alone"),
        (lambda: Table.of_weights((0,), [0.5, -0.5]), "numbers from 0"),
        (lambda: IndexMap((0,), 0, [0, 1]), "different ones"),
        (lambda: IndexMap((0,), 1, [0.0, 1.5]), "expected whole numbers"),
        (lambda: IndexMap((0,), 1, [0, -2]), "expected whole numbers from -1"),
        (lambda: IndexMap((0, 1), 2, [0, 1]), "axes"),
        (lambda: IndexMap((0,), 1, [-1, -1]), "zeros alone"),
        (lambda: IndexMap((0,), 1, [0, 1], [0.0]), "expected that of index"),
        (lambda: IndexMap((0,), 1, [0, 1], [0.0, np.nan]), r"has nan at index \(1,\); expected logarithms"),
        (lambda: FactorGraph((), ()), "whole number from 1"),
        (lambda: FactorGraph((2, 0), ()), r"sizes\[1\] is 0; expected a whole number, at least 1"),
        (lambda: FactorGraph((2, 3), (), ("a",)), "expected 2"),
        (lambda: FactorGraph((2, 3), (PAIR,)), "expected a Table or an IndexMap"),
        (lambda: FactorGraph((2, 3), (Table((0, 2), PAIR),)), "has variable 2; there are 2"),
        (lambda: FactorGraph((3, 3), (Table((0, 1), PAIR),)), r"shape \(2, 3\); its variables have \(3, 3\)"),
        (lambda: FactorGraph((3, 3), (IndexMap((0,), 1, [0, 1]),)), r"shape \(2,\) of parents; its variables have"),
        (lambda: FactorGraph((2, 3), (IndexMap((0,), 1, [0, 3]),)), "value 3 of variable 1; expected at most 2"),
        (lambda: FactorGraph((2, 3), ()).clamp({2: 0}), "no variable 2"),
        (lambda: FactorGraph((2, 3), (), ("a", "b")).clamp({"c": 0}), "no variable 'c'"),
        (lambda: FactorGraph((2, 3), (), ("a", "b")).clamp({"a": 2}), "'a' has no value 2"),
    ],
)
def test_refuses_what_is_no_graph(build, message):
    with pytest.raises(ppi.ProblemError, match=message):
        build()


def test_entries_are_the_configurations_that_have_weight():
    table = Table((0, 1), [[0.0, -np.inf], [-np.inf, 2.0]])
    states, weights = table.entries()
    assert states.tolist() == [[0, 0], [1, 1]]
    assert weights.tolist() == [0.0, 2.0]
    follow = IndexMap((0,), 1, [2, -1, 0], [1.0, 5.0, -1.0])
    states, weights = follow.entries()
    assert states.tolist() == [[0, 2], [2, 0]]
    assert weights.tolist() == [1.0, -1.0]
    for array in (table.log_values, follow.index, follow.log_weight):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0


@pytest.mark.parametrize("seed", range(5))
def test_a_map_is_the_table_of_its_entries(seed):
    graph = random_graph(seed, factors=7)
    dense = []
    for factor in graph.factors:
        table = np.full([graph.sizes[v] for v in factor.variables], -np.inf)
        states, weights = factor.entries()
        table[tuple(states.T)] = weights
        dense.append(Table(factor.variables, table))
    as_tables = FactorGraph(graph.sizes, dense)
    for infer in (junction_tree, belief_propagation):
        ours, theirs = infer(graph), infer(as_tables)
        assert ours.log_partition == pytest.approx(theirs.log_partition, abs=1e-12)
        np.testing.assert_allclose(np.concatenate(ours.beliefs), np.concatenate(theirs.beliefs), atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_clamping_is_conditioning(seed):
    graph = random_graph(seed)
    log_z, marginals, joint = enumerated(graph)
    value = int(np.argmax(marginals[2]))
    clamped = junction_tree(graph.clamp({2: value}))
    assert clamped.log_partition - log_z == pytest.approx(math.log(marginals[2][value]), abs=1e-10)
    conditional = np.take(joint, value, axis=2) / marginals[2][value]
    found = [b for v, b in enumerate(clamped.beliefs) if v != 2]
    for v, belief in enumerate(found):
        others = tuple(w for w in range(len(found)) if w != v)
        np.testing.assert_allclose(belief, conditional.sum(axis=others), atol=1e-12)


@pytest.mark.parametrize("infer", [junction_tree, belief_propagation, double_loop, single_loop])
def test_a_constant_changes_the_sum_and_nothing_else(infer):
    graph = random_graph(1, strength=0.3)
    constant = Table((), -2.5)
    assert constant.count == 1
    assert [array.tolist() for array in constant.entries()] == [[[]], [-2.5]]
    without, found = infer(graph), infer(FactorGraph(graph.sizes, [constant, *graph.factors]))
    assert found.log_partition == pytest.approx(without.log_partition - 2.5, abs=1e-12)
    np.testing.assert_array_equal(np.concatenate(found.beliefs), np.concatenate(without.beliefs))
    alone = infer(FactorGraph((3,), [constant]))
    assert alone.log_partition == pytest.approx(math.log(3) - 2.5, abs=1e-12)


def test_a_constant_weighs_all_configurations():
    graph = FactorGraph((2,), [Table((0,), [0.0, 1.0]), Table.of_weights((), 7.0)])
    assert graph.log_weight([1]) == pytest.approx(1.0 + math.log(7))
    best, log_weight = most_probable(graph)
    assert (best.tolist(), log_weight) == ([1], pytest.approx(1.0 + math.log(7)))


def test_names_stand_for_variables():
    graph = FactorGraph((2, 3), (Table((0, 1), np.log([[1, 2, 3], [4, 5, 6]])),), ("coin", "die"))
    assert junction_tree(graph.clamp({"coin": 1})).log_partition == pytest.approx(math.log(15))
    assert junction_tree(graph.clamp({0: 1, "die": 2})).log_partition == pytest.approx(math.log(6))


def test_the_joint_of_variables_comes_from_a_factor_of_them():
    graph = random_graph(1)
    _, _, joint = enumerated(graph)
    found = junction_tree(graph)
    scope = next(factor.variables for factor in graph.factors if len(factor.variables) == 3)
    a, b = scope[2], scope[0]
    expected = joint.sum(axis=tuple(v for v in range(6) if v not in (a, b)))
    np.testing.assert_allclose(found.joint(a, b), expected if a < b else expected.T, atol=1e-12)
    with pytest.raises(ppi.ProblemError, match="share no factor"):
        found.joint(*range(6))


def test_the_blocks_world_weighs_moves_that_are_allowed():
    """Every sequence of actions of a small world, by its own step."""
    world = BlocksWorld((2, 1, 0), 2, strength=2.0)
    built, merged = world.graph(), world.graph(merged=True)
    total, mass = 0.0, np.zeros(9)
    for first in np.flatnonzero(world.allowed(world.start)):
        between = world.step(world.start, first)
        for second in np.flatnonzero(world.allowed(between)):
            last = world.step(between, second)
            weight = math.exp(-world.entropy_cost(between) - world.entropy_cost(last)) / 81
            total += weight
            mass[first] += weight
            states = np.zeros(len(built.graph.sizes), int)
            states[built.heights] = [world.start, between, last]
            states[built.moves] = [[first // 3, first % 3], [second // 3, second % 3]]
            states[built.steps] = np.diff(states[built.heights], axis=0) + 1
            assert built.graph.log_weight(states) == pytest.approx(math.log(weight), abs=1e-12)
    for one in (built, merged):
        found = junction_tree(one.graph)
        assert found.log_partition == pytest.approx(math.log(total), abs=1e-12)
        np.testing.assert_allclose(one.actions(found), mass / total, atol=1e-12)


def test_the_blocks_world_renormalized_has_no_graph():
    with pytest.raises(ppi.ProblemError, match="'renormalized'"):
        BlocksWorld((2, 1, 0), 2, forbidden="renormalized").graph()
