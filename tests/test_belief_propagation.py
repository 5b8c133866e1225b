"""Belief propagation: exact on trees, stationary in Bethe's free energy, honest about contradictions."""

import itertools
import math

import numpy as np
import pytest

import ppi_robotics as ppi
from plants import BlocksWorld, StagHunt
from ppi_robotics.discrete import FactorGraph, IndexMap, Table, belief_propagation, junction_tree, most_probable
from ppi_robotics.solution import Status
from tests.graphs import random_graph, random_tree

SCHEDULES = ("sequential", "flood", "random", "residual")
ENTROPY = BlocksWorld((1, 2, 1, 0), 6, strength=10.0)
EVEN, ODD = np.log([[1.0, 1e-300], [1e-300, 1.0]]), np.log([[1e-300, 1.0], [1.0, 1e-300]])
EVEN[EVEN < -100], ODD[ODD < -100] = -np.inf, -np.inf


def bethe(graph, joints, beliefs):
    """-sum_f <log b_f - log psi_f> + sum_v (d_v - 1) <log b_v>, from beliefs."""
    total, degree = 0.0, np.zeros(len(graph.sizes))
    for factor, (_, log_weight), b in zip(graph.factors, graph.entries, joints, strict=True):
        seen = b > 0
        total -= b[seen] @ (np.log(b[seen]) - log_weight[seen])
        degree[list(factor.variables)] += 1
    for d, b in zip(degree, beliefs, strict=True):
        seen = b > 0
        total += (d - 1) * b[seen] @ np.log(b[seen])
    return total


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("damping", [0.0, 0.4])
@pytest.mark.parametrize("seed", range(4))
def test_exact_on_trees(schedule, damping, seed):
    graph = random_tree(seed)
    exact, found = junction_tree(graph), belief_propagation(graph, schedule, damping, tolerance=1e-13)
    assert found.status is Status.CONVERGED
    assert not found.exact
    assert found.schedule == schedule
    assert found.log_partition == pytest.approx(exact.log_partition, abs=1e-10)
    assert found.inconsistency < 1e-11
    np.testing.assert_allclose(np.concatenate(found.beliefs), np.concatenate(exact.beliefs), atol=1e-10)
    np.testing.assert_allclose(np.concatenate(found.joints), np.concatenate(exact.joints), atol=1e-10)


def strong(graph, strength):
    """The graph with all logarithms of its tables multiplied."""
    return FactorGraph(
        graph.sizes, [Table(f.variables, strength * f.log_values) if isinstance(f, Table) else f for f in graph.factors]
    )


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("strength", [1.0, 30.0, 1000.0])
@pytest.mark.parametrize("damping", [0.0, 0.5, 0.9])
def test_trees_are_exact_at_any_strength_and_damping(schedule, strength, damping):
    """Probabilities are 0 and 1 long before the messages are there."""
    for seed in range(3):
        graph = strong(random_tree(seed, variables=7), strength)
        exact = junction_tree(graph)
        found = belief_propagation(graph, schedule, damping, max_sweeps=5000)
        assert found.status is Status.CONVERGED
        # sums of some thousands of nats are rounded in the 12th digit behind the point
        assert found.log_partition == pytest.approx(exact.log_partition, abs=1e-9)
        np.testing.assert_allclose(np.concatenate(found.beliefs), np.concatenate(exact.beliefs), atol=1e-9)
        np.testing.assert_allclose(np.concatenate(found.joints), np.concatenate(exact.joints), atol=1e-9)


def ring(seed, strength):
    """Five variables in a circle."""
    rng = np.random.default_rng(seed)
    pairs = [Table((i, (i + 1) % 5), strength * rng.normal(size=(3, 3))) for i in range(5)]
    return FactorGraph((3,) * 5, [*pairs, *(Table((i,), strength * rng.normal(size=3)) for i in range(5))])


@pytest.mark.parametrize("damping", [0.0, 0.5])
def test_what_has_converged_does_not_move(damping):
    """Sweeps on from the messages of strong circles, in which beliefs stand still for a while before they turn."""
    solved = 0
    for seed in range(60):
        graph = ring(seed, 100.0)
        found = belief_propagation(graph, damping=damping)
        if found.status.solved:
            solved += 1
            later = belief_propagation(graph, start=found, tolerance=0.0, max_sweeps=30)
            np.testing.assert_allclose(np.concatenate(later.beliefs), np.concatenate(found.beliefs), atol=1e-8)
            assert later.log_partition == pytest.approx(found.log_partition, abs=1e-8)
    assert solved > 40


def test_a_tolerance_of_zero_ends_where_rounding_does():
    for strength in (1.0, 1e6):
        found = belief_propagation(strong(random_tree(1), strength), damping=0.5, tolerance=0.0)
        assert found.status is Status.CONVERGED
        assert found.change < 1e-12 * strength


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_variable_of_many_neighbors_is_exact(schedule):
    """Thousands of messages meet in one variable, strong ones and zeros among them."""
    rng = np.random.default_rng(0)
    leaves = [Table((0, i + 1), [[5 * rng.normal(), 0.0], [0.0, 900.0 * (i == 7)]]) for i in range(3000)]
    sure = Table((0, 3001), [[0.0, -np.inf], [-np.inf, -np.inf]])
    for extra, size in (((), 3001), ((sure,), 3002)):
        graph = FactorGraph((2,) * size, [*leaves, *extra])
        found, exact = belief_propagation(graph, schedule), junction_tree(graph)
        assert found.status is Status.CONVERGED
        assert found.log_partition == pytest.approx(exact.log_partition, rel=1e-12)
        np.testing.assert_allclose(np.concatenate(found.beliefs), np.concatenate(exact.beliefs), atol=1e-9)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("seed", range(4))
def test_largest_terms_find_the_best_configuration_of_a_tree(schedule, seed):
    graph = random_tree(seed)
    best, log_weight = most_probable(graph)
    found = belief_propagation(graph, schedule, damping=0.2, mode="max")
    assert found.status is Status.CONVERGED
    assert found.log_partition == pytest.approx(log_weight, abs=1e-8)
    assert graph.log_weight(found.configuration) == pytest.approx(log_weight, abs=1e-10)
    assert found.configuration.tolist() == best.tolist()
    assert found.inconsistency < 1e-8
    for v, belief in enumerate(found.beliefs):
        held = [most_probable(graph.clamp({v: x}))[1] - log_weight for x in range(graph.sizes[v])]
        np.testing.assert_allclose(belief, np.exp(held), atol=1e-8)


def test_configurations_that_tie_are_not_mixed():
    """Two variables that agree, and two that differ: by themselves, all four of their values are as good."""
    for table in (EVEN, ODD):
        graph = FactorGraph((2, 2, 2), [Table((0, 1), table), Table((1, 2), table)])
        found = belief_propagation(graph, mode="max")
        np.testing.assert_array_equal(np.concatenate(found.beliefs), 1.0)
        assert graph.log_weight(found.configuration) == found.log_partition == 0.0


def test_what_largest_terms_find_in_loops_may_be_worse():
    """It is a configuration anyway, and its weight is what the graph says."""
    for seed in range(5):
        graph = random_graph(seed, zeros=0.0)
        found = belief_propagation(graph, damping=0.3, mode="max")
        assert graph.log_weight(found.configuration) <= most_probable(graph)[1] + 1e-12
    assert belief_propagation(graph).configuration is None


@pytest.mark.parametrize("seed", range(6))
def test_fixed_points_do_not_depend_on_the_schedule(seed):
    graph = random_graph(seed, strength=0.5)
    found = [belief_propagation(graph, schedule, tolerance=1e-12) for schedule in SCHEDULES]
    assert {one.status for one in found} == {Status.CONVERGED}
    for one in found[1:]:
        np.testing.assert_allclose(np.concatenate(one.beliefs), np.concatenate(found[0].beliefs), atol=1e-9)
        assert one.log_partition == pytest.approx(found[0].log_partition, abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_fixed_points_are_stationary_in_the_bethe_free_energy(seed):
    """Along consistent changes of the beliefs: those to the beliefs of a distribution of all variables."""
    graph = random_graph(seed, strength=0.5)
    found = belief_propagation(graph, tolerance=1e-13)
    assert bethe(graph, found.joints, found.beliefs) == pytest.approx(found.log_partition, abs=1e-10)
    rng = np.random.default_rng(seed)
    possible = [s for s in itertools.product(*map(range, graph.sizes)) if graph.log_weight(s) > -np.inf]
    p = rng.dirichlet(np.ones(len(possible)))
    states = np.array(possible)
    beliefs = [np.bincount(states[:, v], p, size) for v, size in enumerate(graph.sizes)]
    joints = []
    for factor, (rows, _) in zip(graph.factors, graph.entries, strict=True):
        agrees = (rows[:, None] == states[:, list(factor.variables)]).all(axis=-1)
        joints.append(agrees @ p)

    def along(step):
        def mix(old, new):
            return [a + step * (b - a) for a, b in zip(old, new, strict=True)]

        return bethe(graph, mix(found.joints, joints), mix(found.beliefs, beliefs))

    step = 1e-5  # both ways are inside the simplex: beliefs of what is possible are larger
    slope = (along(step) - along(-step)) / (2 * step)
    assert abs(slope) < 1e-6


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_confident_and_wrong_about_the_blocks(schedule):
    """Location and direction apart: converged, closer in log Z than others, and half the probability misplaced."""
    built = ENTROPY.graph()
    # all at once and undamped, messages wander until rounding happens to end it
    found = belief_propagation(built.graph, schedule, damping=0.3 if schedule == "flood" else 0.0)
    assert found.status is Status.CONVERGED
    assert found.log_partition == pytest.approx(-14.545942172696, abs=1e-8)
    exact = built.actions(junction_tree(built.graph))
    assert np.abs(built.actions(found) - exact).max() == pytest.approx(0.5, abs=1e-4)


@pytest.mark.parametrize(
    ("world", "expected"),
    [
        (BlocksWorld((2, 1, 1, 0, 0), 6, goal=(0, 0, 0, 2, 2)), -12.2572148375),
        (BlocksWorld((5, 0, 0, 0, 0, 0), 8, goal=(1, 2, 1, 0, 0, 1)), -12.5575627244),
    ],
)
def test_one_action_in_place_of_location_and_direction(world, expected):
    found = belief_propagation(world.graph(merged=True).graph, "random")
    assert found.status is Status.CONVERGED
    assert found.log_partition == pytest.approx(expected, abs=1e-8)


def test_messages_that_grow_without_bound_are_lost_and_prove_nothing():
    world = BlocksWorld((2, 1, 1, 0, 0), 6, goal=(0, 0, 0, 2, 2))
    undamped = belief_propagation(world.graph(merged=True).graph)
    assert undamped.status is Status.MESSAGES_LOST
    assert not undamped.status.solved
    assert len(undamped.trace) == undamped.sweeps - 1
    before = belief_propagation(world.graph(merged=True).graph, max_sweeps=undamped.sweeps - 1)
    assert before.status is Status.MAX_ITERATIONS
    assert undamped.log_partition == before.log_partition == -undamped.trace[-1]
    for kept, last in zip(undamped.beliefs + undamped.joints, before.beliefs + before.joints, strict=True):
        np.testing.assert_array_equal(kept, last)
    damped = belief_propagation(world.graph(merged=True).graph, damping=0.5)
    assert damped.status is Status.CONVERGED


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("damping", [0.0, 0.5])
def test_a_contradiction_is_a_status(schedule, damping):
    chain = FactorGraph((2, 2, 2), [Table((0, 1), EVEN), Table((1, 2), EVEN)]).clamp({0: 0, 2: 1})
    followed = FactorGraph((2, 2), [IndexMap((0,), 1, [0, 0])]).clamp({1: 1})
    twice = FactorGraph((2,), []).clamp({0: 0}).clamp({0: 1})
    for graph in (chain, followed, twice):
        found = belief_propagation(graph, schedule, damping)
        assert found.status is Status.CONTRADICTION
        assert found.log_partition == -np.inf
        assert not np.isnan(np.concatenate(found.beliefs)).any()
        assert found.inconsistency == 0.0


def test_loops_may_hide_a_contradiction():
    """Three variables that differ by pairs: no value of one is excluded by its neighbors."""
    graph = FactorGraph((2, 2, 2), [Table(pair, ODD) for pair in ((0, 1), (1, 2), (0, 2))])
    found = belief_propagation(graph)
    assert found.status is Status.CONVERGED
    assert junction_tree(graph).status is Status.CONTRADICTION


def test_too_few_sweeps_are_a_status():
    found = belief_propagation(ENTROPY.graph().graph, max_sweeps=3)
    assert found.status is Status.MAX_ITERATIONS
    assert found.sweeps == len(found.trace) == 3
    assert found.change > 1e-9


def test_starts_where_another_run_ended():
    graph = ENTROPY.graph().graph
    first = belief_propagation(graph)
    again = belief_propagation(graph, start=first)
    assert again.sweeps == 1
    half = belief_propagation(graph, max_sweeps=10)
    rest = belief_propagation(graph, start=half)
    assert rest.status is Status.CONVERGED
    assert half.sweeps + rest.sweeps == first.sweeps
    assert not half.messages.flags.writeable


def test_a_start_does_not_keep_its_zeros():
    graph = random_tree(0)
    end = graph.sizes[7] - 1
    one, other = graph.clamp({7: 0}), graph.clamp({7: end})
    first = belief_propagation(one)
    assert belief_propagation(other, start=first).log_partition == pytest.approx(
        junction_tree(other).log_partition, abs=1e-9
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "fast"}, "schedule is 'fast'; choose from sequential, flood"),
        ({"damping": 1.0}, "damping is 1.0"),
        ({"damping": math.nan}, "damping is nan"),
        ({"tolerance": -1.0}, "tolerance is -1.0"),
        ({"max_sweeps": 0}, "number of sweeps is 0"),
        ({"max_sweeps": 2.5}, "number of sweeps is 2.5"),
        ({"start": junction_tree(random_tree(0))}, "schedule 'junction tree'; expected"),
        ({"start": belief_propagation(random_tree(1))}, "start from a graph of the same"),
    ],
)
def test_refuses_options(options, message):
    with pytest.raises(ppi.ProblemError, match=message):
        belief_propagation(random_tree(0), **options)


def test_the_random_schedule_repeats_with_its_seed():
    graph = ENTROPY.graph(merged=True).graph
    runs = [belief_propagation(graph, "random", max_sweeps=20, seed=seed) for seed in (3, 3, 4)]
    assert runs[0].trace == runs[1].trace
    assert runs[0].trace != runs[2].trace


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_factors_of_many_variables(schedule):
    """Two factors of five variables each that share one."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(2, 4, 9)
    index = rng.integers(-1, sizes[8], sizes[4:8])
    graph = FactorGraph(sizes, [Table(range(5), rng.normal(size=sizes[:5])), IndexMap(range(4, 8), 8, index)])
    found, exact = belief_propagation(graph, schedule, damping=0.2, tolerance=1e-13), junction_tree(graph)
    np.testing.assert_allclose(np.concatenate(found.beliefs), np.concatenate(exact.beliefs), atol=1e-11)
    assert found.log_partition == pytest.approx(exact.log_partition, abs=1e-11)


def test_variables_without_factors_count():
    assert belief_propagation(FactorGraph((2, 3), [])).log_partition == pytest.approx(math.log(6))
    found = belief_propagation(FactorGraph((2, 3, 4), [Table((1,), np.zeros(3))]))
    assert found.log_partition == pytest.approx(math.log(24))
    np.testing.assert_allclose(found.beliefs[2], 0.25)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_what_has_converged_is_left_alone_by_another_schedule(schedule):
    """Two stags that pairs of three hunters compete for: messages that settle slowly, and damping."""
    graph = StagHunt(3, [0, 2, 6], [1, 3], [4, 8], 3, temperature=0.3).graph().graph
    found = belief_propagation(graph, schedule, damping=0.3, tolerance=1e-8, max_sweeps=3000)
    again = belief_propagation(graph, "sequential", damping=0.3, max_sweeps=1, start=found)
    assert found.status.solved
    assert again.change < 1e-7
    assert found.log_partition == pytest.approx(43.35648783, abs=1e-6)
    assert found.inconsistency < 1e-6
