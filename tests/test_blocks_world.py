"""The blocks world: its moves, its cost, distances, and what it refuses."""

import itertools

import numpy as np
import pytest

import ppi_robotics as ppi
from plants import BlocksWorld
from plants.blocks import moves_between
from ppi_robotics.discrete import Inference, pick, play
from ppi_robotics.solution import Status


def neighbors(heights):
    """Heights that one move of a block makes, found by hand."""
    n = len(heights)
    for k, way in itertools.product(range(n), (-1, 1)):
        if heights[k]:
            moved = list(heights)
            moved[k] -= 1
            moved[(k + way) % n] += 1
            yield tuple(moved)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_moves_take_a_block_to_a_neighbor(n):
    world = BlocksWorld([3] + [0] * (n - 1), 4)
    for heights in [(3, *[0] * (n - 1)), (1, 2, *[0] * (n - 2))]:
        allowed = world.allowed(heights)
        reached = {tuple(map(int, world.step(heights, a))) for a in np.flatnonzero(allowed) if a % 3 != 1}
        assert reached == set(neighbors(heights))
        assert allowed[1::3].all()  # nothing moves: possible with empty locations too
        for a in np.flatnonzero(~allowed):
            with pytest.raises(ppi.PPIError, match="empty location"):
                world.step(heights, a)
    assert list(BlocksWorld([3, 0], 1).allowed([3, 0])) == [True, True, True, False, True, False]


@pytest.mark.parametrize(("n", "m"), [(2, 3), (3, 3), (4, 3), (5, 2)])
def test_distance_is_the_least_number_of_moves(n, m):
    """Breadth-first search over all heights."""
    states = [x for x in itertools.product(range(m + 1), repeat=n) if sum(x) == m]
    start = states[0]
    distance, front = {start: 0}, [start]
    while front:
        front = [
            y for x in front for y in neighbors(x) if distance.setdefault(y, distance[x] + 1) > distance[x] and y != x
        ]
        front = list({y: None for y in front if distance[y] == max(distance.values())})
    for state in states:
        assert moves_between(start, state) == distance[state]


def test_cost_is_the_entropy():
    world = BlocksWorld([1, 2, 1, 0], 3, strength=10.0)
    p = np.array([1, 2, 1]) / 4
    assert world.entropy_cost([1, 2, 1, 0]) == pytest.approx(-10 * (p * np.log(p)).sum(), abs=1e-14)
    assert world.entropy_cost([[4, 0, 0, 0], [1, 2, 1, 0]]).shape == (2,)
    by_locations = BlocksWorld([3, 2, 0], 3, strength=1.0, norm="locations")
    p = np.array([3, 2]) / 3
    assert by_locations.entropy_cost([3, 2, 0]) == pytest.approx(-(p * np.log(p)).sum(), abs=1e-14)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([4, 0, 0], 5, [0, 3, 0]), "goal has 3 blocks and start 4"),
        (([4, 0, 0], 5, [0, 4]), "goal has 2 locations and start 3"),
        (([4, 0, 0, 0], 7, [0, 0, 4, 0]), "the goal is 8 moves away and there are 7"),
        (([4, 0.5], 5), "expected whole numbers"),
        (([4, -1], 5), "not negative"),
        (([0, 0], 5), "and a block"),
        (([4, 0], 0), "stages is 0"),
        (([4, 0], 2, None, np.nan), "strength is nan"),
        (([4, 0], 2, None, 1.0, "x"), "norm is 'x'; choose from blocks, locations"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ppi.PPIError, match=message):
        BlocksWorld(*arguments)


def test_pick_breaks_ties_evenly_and_samples_by_probability():
    random = np.random.default_rng(0)
    p = np.broadcast_to([0.4, 0.2, 0.4], (20_000, 3))
    counts = np.bincount(pick(p, random), minlength=3) / len(p)
    error = np.sqrt(0.25 / len(p))
    assert counts[1] == 0
    assert abs(counts[0] - 0.5) < 4 * error
    counts = np.bincount(pick(p, random, "sample"), minlength=3) / len(p)
    assert np.abs(counts - p[0]).max() < 4 * error


def test_play_stops_at_a_contradiction_and_hands_memory_on():
    seen = []

    def infer(state, t, memory):
        seen.append(memory)
        status = Status.CONTRADICTION if t == 2 else Status.CONVERGED
        return np.array([0.0, 1.0]), Inference(log_partition=0.0, exact=True, status=status), t

    result = play(infer, lambda x, a: x + a, 0, 5)
    assert result.states == (0, 1, 2)
    assert result.status is Status.CONTRADICTION
    assert seen == [None, 0, 1]
    with pytest.raises(ppi.PPIError, match="choice is 'best'; choose from map, sample"):
        play(infer, infer, 0, 1, "best")
