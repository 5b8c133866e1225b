"""Sampling-based methods in receding horizon: swing-up, reproducibility, what one plan hands to the next."""

from dataclasses import replace

import numpy as np
import pytest

import ppi_robotics as ppi
from plants import CartPole, Pendulum
from ppi_robotics.sampling import proposal
from ppi_robotics.sampling.proposal import latents


@pytest.fixture(scope="module")
def problem():
    plant = Pendulum()
    return ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 75)


def method(**options):
    settings = {"samples": 256, "temperature": ppi.TargetESS(0.02), "smoothing": ppi.Colored(1.0), "max_iterations": 1}
    return ppi.MPPI(**settings | options)


def states(problem, seed, stages, **options):
    """States (stages + 1, nx) under replans at every stage, and the controller."""
    mpc, x = ppi.RecedingHorizon(problem, method(**options), seed=seed), [problem.initial.mean]
    for _ in range(stages):
        x.append(problem.plant.step(x[-1][None], mpc.command(x[-1])[None])[0])
    return np.array(x), mpc


def test_swing_up_by_one_round_a_stage(problem):
    x, mpc = states(problem, 0, 250)
    assert problem.plant.success(x[-1:])[0]
    assert mpc.report().failures == 0


def test_a_seed_gives_the_same_bits_and_another_other_ones(problem):
    x, again, other = (states(problem, seed, 8)[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(x, again)
    assert np.abs(x - other).max() > 1e-3


def test_every_replan_draws_other_numbers(problem, monkeypatch):
    drawn = []

    def recorded(*arguments):
        drawn.append(latents(*arguments))
        return drawn[-1]

    monkeypatch.setattr(proposal, "latents", recorded)
    states(problem, 0, 3)
    last, before = drawn[-1], drawn[-2]
    assert abs(np.corrcoef(last.ravel(), before.ravel())[0, 1]) < 4 / np.sqrt(last.size)


def test_samples_follow_the_gains_of_the_last_plan(problem):
    _, mpc = states(problem, 0, 1)
    before = mpc.policy
    mpc.command(problem.plant.hanging)
    np.testing.assert_array_equal(mpc.solution.proposal.K[:-1], before.K[1:])
    assert np.abs(before.K).max() > 0.1
    _, mpc = states(problem, 0, 2, baseline="fixed")
    assert not mpc.solution.proposal.K.any()


def test_a_fitted_correlation_moves_on_with_the_horizon(problem):
    smoothing = ppi.Kernel("matern32", 0.2)
    options = {"smoothing": smoothing, "covariance": "time"}
    solution = ppi.solve(problem, method(**options), seed=0)
    moved = method(**options, anneal=0.5).moved_on(solution, 2, solution.policy)
    cov = solution.proposal.correlation
    expected = smoothing.shifted(cov, 2, problem.plant.dt, 0.5)
    np.testing.assert_array_equal(moved.smoothing.correlation, expected)
    assert moved.smoothing.prior == smoothing
    drawn = moved.first_proposal(problem, solution.x, solution.u).correlation
    np.testing.assert_allclose(drawn, expected, atol=1e-9)  # its factor leaves out what is below rounding
    _, mpc = states(problem, 0, 4, **options, anneal=0.5)
    assert mpc.report().failures == 0


def test_samples_about_a_bad_policy_rescue_it():
    """A policy whose gains push the cart-pole over, and what sampling about its closed loop makes of it."""
    plant = CartPole(sigma=0.0, cart_sigma=0.0)
    cost = ppi.Quadratic([0.1, 1.0, 0.1, 0.1], [0.01], [1.0, 10.0, 1.0, 1.0])
    balance = ppi.Problem(plant, cost, [0.0, 0.2, 0.0, 0.0], 50)
    good = ppi.solve(balance, ppi.ILQG(), starts=1)
    bad = replace(good.policy, K=-0.1 * good.policy.K, u_ref=0.0 * good.policy.u_ref)
    lost = ppi.rollout(balance, bad)
    assert lost.cost[0] > 20 * good.nominal_cost
    rescued = ppi.solve(balance, ppi.MPPI(512, smoothing=ppi.Splines(12), proposal=bad, max_iterations=60), seed=0)
    assert rescued.nominal_cost < 1.1 * good.nominal_cost
    assert ppi.rollout(balance, rescued.policy).cost[0] < 1.1 * good.nominal_cost
