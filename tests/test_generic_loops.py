"""Loops of plain numpy, which serve any plant with a step, against the compiled ones."""

import numpy as np
import pytest

import plants
import ppi_robotics as ppi
from ppi_robotics import rollouts, streams

CLOSE = {"rtol": 0.0, "atol": 1e-10}  # rounding, which feedback keeps from growing, of states and costs below 1000
T = 40


@pytest.fixture(scope="module")
def swing():
    """A task with a start that is not certain, and a policy for it with noise of its own."""
    plant = plants.CartPole()
    start = ppi.Gaussian(plant.hanging, 0.01 * np.eye(4))
    problem = ppi.Problem(plant, plant.swing_up_cost(), start, T)
    return problem, ppi.solve(problem, ppi.PPI(eta=0.05), starts=1).policy


def noisy(problem):
    """The task with noise of all kinds."""
    plant = plants.CartPole()
    noise = ppi.Noise(1e-5 * np.eye(4) + 1e-6, control=[0.2], state=[0.01, 0.0, 0.02, 0.0])
    vars(plant)["noise"] = noise
    return ppi.Problem(plant, plant.swing_up_cost(), problem.initial, T)


def filled(loop, N, **how):
    """Everything that a run of a loop fills for samples 7, 8, ..."""
    plant = loop.problem.plant if hasattr(loop, "problem") else plants.CartPole()
    out = np.empty(N), np.empty((N, plant.nx)), np.empty((N, T + 1, plant.nx)), np.empty((N, T, plant.nu))
    stages = np.empty((N, T + 1))
    loop.run(7, *out, stages=stages, **how)
    return *out, stages


@pytest.mark.parametrize(
    "how", [{}, {"stochastic": True}, {"noisy": False}, {"repeats": 3}], ids=["mean", "stochastic", "still", "repeats"]
)
def test_samples_are_those_of_the_compiled_loop(swing, how):
    problem, policy = noisy(swing[0]), swing[1]
    push = 0.1 * np.random.default_rng(0).standard_normal((10, T, 1)) if "repeats" in how else None
    compiled = rollouts.closed_loop(problem, policy, seed=3, **how)
    assert type(compiled) is not rollouts.ClosedLoop
    generic = rollouts.ClosedLoop(problem, policy, 3, **how)
    for ours, theirs in zip(filled(generic, 30, push=push), filled(compiled, 30, push=push), strict=True):
        np.testing.assert_allclose(ours, theirs, **CLOSE)


def test_samples_that_leave_all_bounds_cost_infinity_in_both_loops(swing):
    problem, policy = swing
    wild = ppi.LinearGaussianPolicy(policy.x_ref, policy.u_ref, 1e6 * np.ones_like(policy.K), policy.cov, policy.dt)
    with np.errstate(all="ignore"):
        lost = [
            filled(loop, 8)[0] for loop in (rollouts.loop_of(problem, wild, 3), rollouts.ClosedLoop(problem, wild, 3))
        ]
    assert np.isinf(lost[0]).any()
    assert (np.isinf(lost[0]) == np.isinf(lost[1])).all()


def test_a_sample_does_not_depend_on_its_chunk(swing):
    loop = rollouts.ClosedLoop(*swing, 5)
    whole, part, final = np.empty(9), np.empty(4), np.empty((9, 4))
    loop.run(0, whole, final)
    loop.run(3, part, final[:4])
    np.testing.assert_allclose(part, whole[3:7], rtol=1e-13)  # sums of other lengths may round otherwise


@pytest.mark.parametrize("goal", [np.inf, -np.inf, 0.0], ids=["any", "none", "some"])
def test_line_searches_are_those_of_the_compiled_ones(swing, goal):
    problem, policy = swing
    rng = np.random.default_rng(1)
    shapes = (T, 2), (T, 2), (T, 2, 4), (T, 4, 2)
    disturbance = tuple(0.01 * rng.standard_normal(shape) for shape in shapes)
    price, change = 0.01 * rng.standard_normal((T, 5, 5)), rng.standard_normal((T, 1))
    path = policy.x_ref, policy.u_ref, policy.K, change, disturbance, price
    loops = (
        rollouts.shooting(problem, problem.plant.control_limits, 2.0),
        rollouts.Shooting(problem, problem.plant.control_limits, 2.0),
    )
    steps = 10.0 ** np.linspace(0.0, -3.0, 11)
    if goal == 0.0:  # what a step length in the middle reaches
        goal = loops[0].search(steps[6:7], np.inf, 0.0, 0.0, 0.0, *path)[1]
    found = [loop.search(steps, goal, 0.0, 0.0, 0.0, *path) for loop in loops]
    assert found[0][0] == found[1][0]
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, **CLOSE)


def test_rollouts_without_noise_are_those_of_the_compiled_loop(swing):
    problem, policy = swing
    ours = rollouts.Shooting(problem, problem.plant.control_limits).rollout(policy.x_ref, policy.u_ref, policy.K)
    for one, other in zip(ours, rollouts.nominal_rollout(problem, policy), strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)


def test_no_two_streams_share_a_number():
    numbers = [int(value) for value in vars(streams).values() if isinstance(value, np.uint64)]
    assert len(numbers) == 10
    assert len(set(numbers)) == len(numbers)
    assert streams.literals("SENSOR", "MOVES") == "SENSOR = uint64(5)\nMOVES = uint64(16)\n"
