"""Exact control of blocks on a ring: published and closed-form numbers, enumeration of plans, symmetries, limits."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest

import ppi_robotics as ppi
from plants import BlocksWorld
from plants.blocks import fits, size_of, sizes, solve_compositions
from plants.blocks.exact import History
from plants.blocks.kernels import exact as kernels
from plants.blocks.states import AllStates, symmetries
from ppi_robotics.solution import Status

FIGURE_4 = BlocksWorld([4, 0, 0, 0], 8, goal=[0, 0, 4, 0])
ENTROPY = BlocksWorld([1, 2, 1, 0], 6, strength=10.0)


def successors(world, x):
    """Probability of x + shift for every action, under the uncontrolled process."""
    allowed = world.allowed(x)
    share = 1.0 / (allowed.sum() if world.forbidden == "renormalized" else world.actions)
    return [(a, x + world.shifts[a], share) for a in np.flatnonzero(allowed)]


def enumerated(world):
    """Z, probabilities of the first action, and expected heights (T + 1, n), by going through all plans."""
    first, total = np.zeros(world.actions), 0.0
    expected = np.zeros((world.stages + 1, world.locations))
    stack = [((world.start,), 1.0, None)]
    while stack:
        path, weight, action = stack.pop()
        if len(path) == world.stages + 1:
            weight *= world.goal is None or (path[-1] == world.goal).all()
            if world.charged == "last":
                weight *= math.exp(-world.entropy_cost(path[-1]))
            total += weight
            first[action] += weight
            expected += weight * np.array(path)
            continue
        for a, x, share in successors(world, path[-1]):
            cost = world.entropy_cost(x) if world.charged == "every" else 0.0
            stack.append(((*path, x), weight * share * math.exp(-cost), a if action is None else action))
    return total, first / total, expected / total


@pytest.mark.parametrize("charged", ["every", "last"])
@pytest.mark.parametrize("forbidden", ["lost", "renormalized"])
@pytest.mark.parametrize("norm", ["blocks", "locations"])
@pytest.mark.parametrize(
    ("start", "goal"), [((2, 1), None), ((2, 0, 1), None), ((2, 0, 1), (0, 1, 2)), ((1, 0, 1, 0), (0, 1, 0, 1))]
)
def test_all_plans_together(start, goal, norm, forbidden, charged):
    options = {"norm": norm, "forbidden": forbidden, "charged": charged}
    world = BlocksWorld(start, 4, goal, strength=-1.7 if goal is None else 3.0, **options)
    total, first, expected = enumerated(world)
    exact = world.exact()
    assert exact.exact
    assert exact.status is Status.CONVERGED
    assert exact.log_partition == pytest.approx(math.log(total), abs=1e-11)
    assert exact.probabilities(world.start) == pytest.approx(first, abs=1e-11)
    assert exact.forecast.heights == pytest.approx(expected, abs=1e-11)
    assert exact.forecast.actions[0] == pytest.approx(first, abs=1e-11)


def test_probabilities_solve_the_control_problem():
    """The expected path cost under p, less the entropy of its actions, is -log Z: no other control is cheaper."""
    world = BlocksWorld([2, 1, 0], 5, strength=4.0)
    exact = world.exact()

    def expected(x, t):
        if t == world.stages:
            return 0.0
        total = 0.0
        for a, p in enumerate(exact.probabilities(x, t)):
            if p > 0.0:
                y = x + world.shifts[a]
                total += p * (world.entropy_cost(y) + math.log(p * world.actions) + expected(y, t + 1))
        return total

    assert expected(world.start, 0) == pytest.approx(-exact.log_partition, abs=1e-10)


def test_figure_4():
    """588 of the 12^8 equally likely plans move the tower; the horizon leaves no move to spare."""
    exact = FIGURE_4.exact()
    assert exact.log_partition == pytest.approx(math.log(588) - 8 * math.log(12), abs=1e-11)
    assert exact.probabilities([4, 0, 0, 0]) == pytest.approx([0.5, 0, 0.5] + [0] * 9, abs=1e-12)
    given = {
        (1, (3, 1, 0, 0)): {0: 10 / 21, 2: 6 / 21, 5: 5 / 21},
        (2, (2, 1, 0, 1)): {0: 0.25, 2: 0.25, 5: 0.25, 9: 0.25},
        (3, (1, 1, 0, 2)): {9: 16 / 35, 5: 9 / 35, 2: 6 / 35, 0: 4 / 35},
        (4, (1, 1, 1, 1)): {5: 5 / 16, 9: 5 / 16, 0: 3 / 16, 2: 3 / 16},
    }
    for (t, heights), p in given.items():
        assert exact.probabilities(heights, t) == pytest.approx([p.get(a, 0.0) for a in range(12)], abs=1e-11)
    forecast = exact.forecast
    first = [4, 3, 2.238095238095, 1.595238095238, 1.051020408163, 0.595238095238, 0.238095238095, 0, 0]
    assert forecast.heights[:, 0] == pytest.approx(first, abs=1e-11)
    assert forecast.heights[:, 2] == pytest.approx(first[::-1], abs=1e-11)
    assert forecast.heights[:, 1] == pytest.approx(forecast.heights[:, 3], abs=1e-12)
    assert forecast.actions.sum(axis=1) == pytest.approx(np.ones(8), abs=1e-12)


@pytest.mark.parametrize("seed", range(40))
def test_plans_of_figure_4_pass_one_block_each(seed):
    play = FIGURE_4.run(FIGURE_4.exact().infer, seed=seed)
    assert tuple(play.states[4]) == (1, 1, 1, 1)
    assert tuple(play.states[8]) == (0, 0, 4, 0)
    assert FIGURE_4.path_cost(play.states) == pytest.approx(8 * math.log(12), abs=1e-12)


CASES = [  # start, stages, goal, log Z: by independent programs
    ((2, 1, 1, 0, 0), 6, (0, 0, 0, 2, 2), -9.747011536073),
    ((5, 0, 0, 0, 0, 0), 8, (1, 2, 1, 0, 0, 1), -10.841274599516),
    ((8, 0, 0, 0, 0, 0, 0, 0), 16, (1, 2, 2, 1, 0, 0, 1, 1), -23.654401434680),
    ((3, 3, 0, 0), 10, (0, 0, 3, 3), -9.858823704473),
    ((1, 2, 1, 0), 6, None, -14.287646984414),
    ((2, 1, 1), 5, None, -12.610939203980),
    ((1, 1, 1, 1, 1, 1, 0, 0), 20, None, -109.003335205138),
    ((2, 2, 2, 2, 1, 1, 1, 1), 80, None, -306.062574557476),
    ((12, 0, 0, 0, 0, 0, 0, 0), 80, None, -87.725817145633),
]


@pytest.mark.parametrize(("start", "stages", "goal", "log_z"), CASES)
def test_known_partition_functions(start, stages, goal, log_z):
    world = BlocksWorld(start, stages, goal, strength=10.0 if goal is None else 0.0)
    assert world.exact().log_partition == pytest.approx(log_z, abs=2e-11 * abs(log_z) + 1e-12)


def test_known_actions():
    p = ENTROPY.exact().probabilities(ENTROPY.start)
    assert p[[2, 6]] == pytest.approx([0.4999847303436986] * 2, abs=1e-12)
    assert ENTROPY.exact().forecast.heights[-1, 1] == pytest.approx(3.9981877886964, abs=1e-11)
    goal = BlocksWorld([2, 1, 1, 0, 0], 6, [0, 0, 0, 2, 2]).exact().probabilities([2, 1, 1, 0, 0])
    assert goal[[0, 5, 8]] == pytest.approx([0.3603603603603603, 0.2252252252252254, 0.2417417417417415], abs=1e-12)
    assert BlocksWorld([1, 1, 0], 3, strength=2.0).exact().log_partition == pytest.approx(-2.952033761743, abs=1e-11)


@pytest.mark.parametrize(
    ("charged", "forbidden", "log_z", "single"),
    [
        ("every", "lost", -77.7879, 0.9883),
        ("last", "lost", -8.2516, 0.6054),
        ("every", "renormalized", -70.5492, 0.9883),
        ("last", "renormalized", -5.6304, 0.7952),
    ],
)
def test_entropy_falls_to_one_stack(charged, forbidden, log_z, single):
    world = BlocksWorld([2, 2, 2, 2], 16, strength=10.0, charged=charged, forbidden=forbidden)
    exact = world.exact()
    assert exact.log_partition == pytest.approx(log_z, abs=5e-5)  # as far as the numbers are known
    assert exact.forecast.single[-1] == pytest.approx(single, abs=5e-5)
    if forbidden == "lost":
        known = {"every": [1.386, 0.578, 0.018, 0.001, 0.004], "last": [1.386, 1.214, 1.052, 0.792, 0.211]}[charged]
        assert exact.forecast.entropy[::4] == pytest.approx(known, abs=6e-4)


# -- what can be reached -----------------------------------------------------------------------------------------------


@pytest.fixture
def reached_alone(monkeypatch):
    """Solve over the states that can be reached, however few there are in all."""
    monkeypatch.setattr(sizes, "KEY_BITS", 0)


@pytest.mark.usefixtures("reached_alone")
@pytest.mark.parametrize("charged", ["every", "last"])
@pytest.mark.parametrize("forbidden", ["lost", "renormalized"])
@pytest.mark.parametrize(
    ("start", "goal"), [((2, 1), None), ((3, 0, 0, 1, 0), None), ((2, 0, 1), (0, 1, 2)), ((1, 0, 1, 0), (0, 1, 0, 1))]
)
def test_all_plans_together_over_what_can_be_reached(start, goal, forbidden, charged):
    world = BlocksWorld(start, 4, goal, strength=-1.7 if goal is None else 3.0, forbidden=forbidden, charged=charged)
    total, first, expected = enumerated(world)
    exact = world.exact()
    assert exact.log_partition == pytest.approx(math.log(total), abs=1e-11)
    assert exact.probabilities(start) == pytest.approx(first, abs=1e-11)
    assert exact.forecast.heights == pytest.approx(expected, abs=1e-10)
    assert exact.forecast.actions[0] == pytest.approx(first, abs=1e-11)
    plan = exact.sample(50, seed=1)
    assert (np.abs(np.diff(plan, axis=1)).sum(axis=2) <= 2).all()
    assert goal is None or (plan[:, -1] == goal).all()


@pytest.mark.parametrize("goal", [None, (2, 2, 2, 2, 2)])
def test_values_are_those_over_all_states(monkeypatch, goal):
    world = BlocksWorld([6, 0, 3, 0, 1], 8, goal, strength=4.0)
    whole = world.exact()
    with monkeypatch.context() as patch:
        patch.setattr(sizes, "KEY_BITS", 0)
        exact = world.exact()
    assert exact.size.states < whole.size.states
    assert exact.log_partition == pytest.approx(whole.log_partition, abs=1e-11)
    assert exact.forecast.heights == pytest.approx(whole.forecast.heights, abs=1e-10)
    for states in whole.sample(5, seed=2):
        for t, x in enumerate(states):
            assert exact.log_value(x, t) == pytest.approx(whole.log_value(x, t), abs=1e-11)
            if t < world.stages:
                assert exact.probabilities(x, t) == pytest.approx(whole.probabilities(x, t), abs=1e-11, nan_ok=True)
    far = [0, 10, 0, 0, 0]
    with pytest.raises(ppi.ProblemError, match=r"heights \[0, 10, 0, 0, .* cannot be reached by stage 3"):
        exact.log_value(far, 3)
    with pytest.raises(ppi.ProblemError, match="cannot be reached by stage 0"):
        exact.probabilities([5, 1, 3, 0, 1], 0)


@pytest.mark.parametrize(("start", "stages"), [([400, 0, 0, 0, 0], 6), ([0, 2, *[0] * 40], 5), ([4] * 16, 2)])
def test_many_blocks_are_no_more_than_the_states_in_reach(start, stages):
    """All states are 10^9, or keys of 84 or 112 bits; forward, state after state, they are some hundreds."""
    world = BlocksWorld(start, stages, strength=5.0)
    ahead, seen = {world.start.tobytes(): 1.0}, {world.start.tobytes()}
    for _ in range(stages):
        passed = {}
        for key, weight in ahead.items():
            for _, x, share in successors(world, np.frombuffer(key, dtype=np.int64)):
                passed[x.tobytes()] = passed.get(x.tobytes(), 0.0) + weight * share * math.exp(-world.entropy_cost(x))
        ahead = passed
        seen |= set(ahead)
    exact = world.exact()
    assert exact.log_partition == pytest.approx(math.log(sum(ahead.values())), abs=1e-11)
    assert fits(world.start, stages)
    assert exact.size.states == len(seen)


def test_memory_is_announced_and_refused_by_what_can_be_reached():
    world = BlocksWorld([3] * 20, 3, strength=1.0)
    tracemalloc.start()
    exact = world.exact()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak == pytest.approx(exact.size.bytes, rel=0.25)
    assert fits(world.start, 3, memory=1.01 * exact.size.bytes)
    assert not fits(world.start, 3, memory=0.5 * exact.size.bytes)
    with pytest.raises(ppi.ProblemError, match="120 bits, more than 63, and .* or more that can be reached, too many"):
        world.exact(memory=0.5 * exact.size.bytes)


@pytest.mark.usefixtures("reached_alone")
def test_goals_out_of_reach_are_contradictions_there_too():
    exact = solve_compositions([3, 0, 0, 0], 2, np.zeros(4), goal=[0, 0, 3, 0])
    assert exact.status is Status.CONTRADICTION
    assert np.isnan(exact.probabilities([3, 0, 0, 0])).all()


# -- symmetries and representations ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m"), [(2, 3), (3, 4), (4, 4), (5, 3), (6, 6), (7, 2), (8, 5)])
@pytest.mark.parametrize("goal", ["none", "stack", "pair", "late"])
def test_representatives_are_counted_and_found(n, m, goal):
    """Orbits by brute force: heights are alike if a symmetry that keeps the goal turns one into the other."""
    shapes = {"stack": [m] + [0] * (n - 1), "pair": [m - 1, 1] + [0] * (n - 2), "late": [0] * (n - 2) + [1, m - 1]}
    goal = np.array(shapes[goal]) if goal in shapes else None
    states = [x for x in itertools.product(range(m + 1), repeat=n) if sum(x) == m]

    def images(x):
        return [tuple(np.roll(side, r)) for side in (x, x[::-1]) for r in range(n)]

    kept = [i for i in range(2 * n) if goal is None or images(tuple(goal))[i] == tuple(goal)]
    orbits = {min(images(x)[i] for i in kept) for x in states}
    size = size_of(n, m, 3, goal)
    assert (size.states, size.orbits) == (len(states), len(orbits))
    space = AllStates.of(n, m, symmetries(n, goal), size.orbits, lambda *_: None)
    assert (np.diff(space.keys) > 0).all()
    places = space.places(np.array(states))
    found = {}
    for x, place in zip(states, places, strict=True):
        found.setdefault(place, set()).add(min(images(x)[i] for i in kept))
    assert sorted(found) == list(range(size.orbits))
    assert all(len(one) == 1 for one in found.values())
    assert (space.heights(space.pack(states)) == states).all()


def test_symmetric_starts_are_worth_the_same():
    exact = BlocksWorld([4, 1, 0, 2, 0], 12, strength=5.0).exact()
    x = np.array([4, 1, 0, 2, 0])
    alike = [np.roll(side, r) for side in (x, x[::-1]) for r in range(5)]
    assert np.ptp(exact.log_value(alike, 3)) == 0.0
    p = exact.probabilities(x, 3).reshape(5, 3)
    assert exact.probabilities(x[::-1], 3).reshape(5, 3)[::-1, ::-1] == pytest.approx(p, abs=1e-15)


def test_values_of_all_stages_solve_shorter_problems():
    exact = BlocksWorld([3, 1, 0, 1], 9, strength=6.0).exact()
    for t in (0, 4, 8):
        other = BlocksWorld([2, 0, 2, 1], 9 - t, strength=6.0).exact()
        assert exact.log_value([2, 0, 2, 1], t) == pytest.approx(other.log_partition, abs=1e-11)
    assert exact.log_value([2, 0, 2, 1], 9) == 0.0


def test_short_histories_agree(monkeypatch):
    """Messages of 32 bits keep 20 bits or more of the mantissa where exponents span less than 2048."""
    world = BlocksWorld([2, 3, 0, 1, 0, 1], 60, strength=20.0)
    long = world.exact()
    monkeypatch.setattr(sizes, "WIDE_HISTORY", 0)
    short = world.exact()
    assert short.log_partition == long.log_partition
    assert short.history.numbers.dtype == np.uint32
    assert short.size.bytes < long.size.bytes
    x = long.space.heights(long.space.keys)
    for t in (0, 30, 59, 60):
        assert short.log_value(x, t) == pytest.approx(long.log_value(x, t), abs=2.0**-20)
    assert short.probabilities(x, 17) == pytest.approx(long.probabilities(x, 17), abs=2.0**-19)
    assert short.forecast.heights == pytest.approx(long.forecast.heights, abs=1e-4)  # 60 stages, 7 blocks


def test_wide_numbers_hold_what_floats_lose():
    logs = np.array([0.0, -1.0, 3.5, -1e5, 1e5, -709.1, -50_000.25])
    wide = np.empty(len(logs), dtype=np.int64)
    kernels.widen_exponentials(logs, wide)
    history = History(wide[None], np.zeros(1, dtype=np.int64), np.full(1, kernels.MANTISSA))
    # half a unit of 44 bits, and the rounding of log / log 2
    assert history.logs(0, np.arange(7)) == pytest.approx(logs, rel=4e-16, abs=4e-14)
    assert history.logs(0, [7]) == -np.inf


def test_strong_costs_do_not_underflow():
    """One block of two at 3 locations can only walk, so that Z = sum over walks; 4000 nats are far below a float."""
    world = BlocksWorld([1, 1], 4, strength=5000.0)
    exact = world.exact()
    # to join takes one of the two blocks, two actions each of six, and staying joined 2 of 6 at every later stage
    assert exact.log_partition == pytest.approx(math.log(4 / 6) + 3 * math.log(2 / 6), abs=1e-10)
    separate = exact.log_value([1, 1], 4) - world.entropy_cost([1, 1])
    assert separate == pytest.approx(-5000 * math.log(2), rel=1e-14)


# -- runs and reports --------------------------------------------------------------------------------------------------


def test_samples_follow_the_forecast():
    exact, count = BlocksWorld([2, 0, 1, 1], 6, strength=3.0).exact(), 400
    plans = exact.sample(count, seed=3)
    assert plans.shape == (count, 7, 4)
    assert (plans.sum(axis=2) == 4).all()
    assert set(np.abs(np.diff(plans, axis=1)).sum(axis=2).ravel()) == {0, 2}
    error = np.maximum(plans.std(axis=0), 1e-9) / math.sqrt(count)
    assert (np.abs(plans.mean(axis=0) - exact.forecast.heights) < 4.5 * error).all()  # 24 numbers: 1 of 6000 by chance
    assert (exact.sample(count, seed=3) == plans).all()


def test_path_cost_by_hand():
    world = BlocksWorld([2, 1, 0], 2, strength=1.5)
    path = [(2, 1, 0), (2, 1, 0), (3, 0, 0)]
    cost = float(world.entropy_cost([2, 1, 0]))
    assert world.path_cost(path) == pytest.approx(cost + math.log(3) + math.log(9), abs=1e-13)
    shared = BlocksWorld([2, 1, 0], 2, strength=1.5, forbidden="renormalized", charged="last")
    assert shared.path_cost(path) == pytest.approx(math.log(7 / 3) + math.log(7), abs=1e-13)


def test_progress_is_told():
    said = []
    BlocksWorld([2, 1, 0], 3, strength=1.0).exact(progress=lambda *words: said.append(words))
    assert [word for word, *_ in said] == ["states", "moves", "messages", "messages", "messages"]
    assert said[-1] == ("messages", 3, 3)


def test_the_large_instance_is_refused_where_memory_lacks():
    world = BlocksWorld([7, 3, 5, 4, 6, 2, 8, 5], 80, strength=10.0)
    size = size_of(8, 40, 80)
    assert (size.states, size.orbits) == (62_891_499, 3_936_144)
    assert size.bytes < 2e9
    with pytest.raises(ppi.ProblemError, match="3936144 of them unlike.*1.7 GB, more than the 1 GB.*approximately"):
        world.exact(memory=1e9)


def test_unreachable_goals_are_contradictions():
    exact = solve_compositions([3, 0, 0, 0], 2, np.zeros(4), goal=[0, 0, 3, 0])
    assert exact.status is Status.CONTRADICTION
    assert exact.log_partition == -math.inf
    assert np.isnan(exact.probabilities([3, 0, 0, 0])).all()
    with pytest.raises(ppi.ProblemError, match="no plan meets the goal"):
        exact.sample(3)
    with pytest.raises(ppi.ProblemError, match="no plan meets the goal"):
        exact.forecast  # noqa: B018


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": [1, -1]}, "start is .*expected heights"),
        ({"stages": 0}, "stages is 0"),
        ({"goal": [1, 0, 0]}, "goal is .*expected heights of 2 locations, 3 in sum"),
        ({"cost": np.zeros(3)}, r"cost has shape \(3,\)"),
        ({"cost": np.full(4, np.nan)}, "cost has"),
        ({"cost": np.full(4, 1e6)}, "lower the strength"),
        ({"charged": "never"}, "charged is 'never'"),
        ({"start": [4] * 16, "stages": 30, "cost": np.zeros(65), "memory": 1e6}, "112 bits, more than 63, .* reached"),
    ],
)
def test_bad_problems_are_refused(changes, message):
    given = {"start": [2, 1], "stages": 2, "cost": np.zeros(4)} | changes
    with pytest.raises(ppi.ProblemError, match=message):
        solve_compositions(**given)


def test_bad_questions_are_refused():
    exact = BlocksWorld([2, 1, 0], 3, strength=1.0).exact()
    sums, inside = "expected whole heights of 3 locations, 3 in sum", "expected whole numbers from 0 to 3"
    for heights, message in (([2, 1], sums), ([2, 2, 0], sums), ([4, -1, 0], inside), ([2.5, 0.5, 0], inside)):
        with pytest.raises(ppi.ProblemError, match=message):
            exact.probabilities(heights)
    with pytest.raises(ppi.ProblemError, match="t is 3; expected a whole number, at least 0 and at most 2"):
        exact.probabilities([2, 1, 0], 3)
    with pytest.raises(ppi.ProblemError, match="t is 4; expected a whole number, at least 0 and at most 3"):
        exact.log_value([2, 1, 0], 4)
