"""Mean and variance of the cost of a policy on tables."""

import math

import numpy as np
import pytest
from tables import trajectories

import ppi_robotics as ppi
from ppi_robotics.discrete import FiniteMDP, evaluate_policy, mean_and_variance, random_problem, solve


def test_moments_are_those_of_all_trajectories():
    mdp, log_rho = random_problem(1, states=3, actions=3, stages=3)
    mean, variance = mean_and_variance(mdp, log_rho)
    for start in range(3):
        p, cost = np.array([(p, cost) for p, cost, _ in trajectories(mdp, log_rho, start)]).T
        assert mean[0, start] == pytest.approx(p @ cost, abs=1e-12)
        assert variance[0, start] == pytest.approx(p @ (cost - p @ cost) ** 2, abs=1e-12)
    np.testing.assert_allclose(mean, evaluate_policy(mdp, log_rho), rtol=0, atol=1e-13)


def test_the_variance_is_the_slope_of_the_entropic_cost():
    """R_l = E C - (l / 2) Var C + O(l^2)."""
    mdp, log_rho = random_problem(2)
    mean, variance = mean_and_variance(mdp, log_rho)
    low, high = (solve(mdp, weight, weight, log_rho).value[0] for weight in (1e-4, 2e-4))
    slope = 2.0 * (low - mean[0]) / 1e-4 - (high - mean[0]) / 2e-4  # without the quadratic part
    np.testing.assert_allclose(-2.0 * slope, variance[0], rtol=1e-5)


def test_infinite_costs_and_ends():
    P = np.zeros((3, 2, 3))
    P[0, 0], P[0, 1] = [0.5, 0.0, 0.5], [0.0, 1.0, 0.0]
    P[1:, :, 1] = 1.0
    mdp = FiniteMDP(P, [[1.0, np.inf], [0.0, 0.0], [0.0, 0.0]], [3.0, np.inf, 5.0], absorbing=[False, False, True])
    with np.errstate(divide="ignore"):
        mean, variance = mean_and_variance(mdp, np.log([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]]), horizon=1)
    assert mean[0].tolist() == [5.0, math.inf, 5.0]
    assert variance[0].tolist() == [1.0, math.inf, 0.0]


def test_bad_input_says_what_is_wrong():
    with pytest.raises(ppi.ProblemError, match="the variance is for problems without"):
        mean_and_variance(FiniteMDP(np.ones((1, 1, 1)), [[0.0]], discount=0.5), [[0.0]], horizon=1)
    with pytest.raises(ppi.ProblemError, match="states is 0"):
        random_problem(states=0)
