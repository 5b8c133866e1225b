"""Samples of configurations: their frequencies, hard zeros, seeds."""

import numpy as np
import pytest
from scipy.stats import chi2

import ppi_robotics as ppi
from plants import BlocksWorld
from ppi_robotics.discrete import FactorGraph, Table, junction_tree, sample_configurations
from tests.graphs import enumerated, random_graph

SURE = 1e-6  # chance that a test of right samples fails: of 10 seeds and one number each, all fixed


@pytest.mark.parametrize("seed", range(10))
def test_configurations_are_as_frequent_as_they_are_probable(seed):
    """Pearson's statistic over all configurations, those expected less than 5 times taken together."""
    graph = random_graph(seed, variables=6, factors=7)
    _, _, joint = enumerated(graph)
    found = sample_configurations(graph, 20_000, seed=seed)
    counts = np.bincount(np.ravel_multi_index(found.T, graph.sizes), minlength=joint.size)
    expected = 20_000 * joint.ravel()
    assert not counts[expected == 0.0].any()
    rare = expected < 5.0
    pairs = [*zip(counts[~rare], expected[~rare], strict=True), (counts[rare].sum(), expected[rare].sum())]
    statistic = sum((n - e) ** 2 / e for n, e in pairs if e > 0.0)
    assert statistic < chi2.ppf(1.0 - SURE, max(len(pairs) - 2, 1))


def test_a_sample_does_not_depend_on_how_many_there_are():
    graph = random_graph(2)
    many, few = sample_configurations(graph, 50, seed=3), sample_configurations(graph, 7, seed=3)
    np.testing.assert_array_equal(many[:7], few)
    assert not np.array_equal(many, sample_configurations(graph, 50, seed=4))


def test_paths_of_the_blocks_world_are_paths():
    world = BlocksWorld((3, 0, 0), 4, goal=(0, 3, 0))
    built = world.graph()
    found = sample_configurations(built.graph, 200)
    assert all(built.graph.log_weight(row) > -np.inf for row in found)
    assert (found[:, built.heights[-1]] == world.goal).all()


def test_held_variables_and_those_without_factors():
    graph = FactorGraph((2, 3, 1, 4), [Table((0, 1), np.zeros((2, 3)))], ("a", "b", "c", "d")).clamp({"b": 2})
    found = sample_configurations(graph, 4000, seed=1)
    assert (found[:, 1] == 2).all()
    assert (found[:, 2] == 0).all()
    for v, beliefs in enumerate(junction_tree(graph).beliefs):
        frequencies = np.bincount(found[:, v], minlength=len(beliefs)) / 4000
        np.testing.assert_allclose(frequencies, beliefs, atol=5 * np.sqrt(0.25 / 4000))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples is 0"),
        ({"samples": 10**9}, "samples is 1000000000"),
        ({"seed": -1}, "seed is -1"),
        ({"largest": 1}, "a junction tree needs"),
    ],
)
def test_refuses_options(options, message):
    with pytest.raises(ppi.ProblemError, match=message):
        sample_configurations(random_graph(0), **options)


def test_nothing_to_sample_from_a_contradiction():
    with pytest.raises(ppi.ProblemError, match="no configuration has weight"):
        sample_configurations(FactorGraph((2,), ()).clamp({0: 0}).clamp({0: 1}))
