"""The recursion on tables: published numbers of one instance, brute force over trajectories, limits, bad input."""

import math

import numpy as np
import pytest

import ppi_robotics as ppi
from ppi_robotics.discrete import FiniteMDP, evaluate_policy, iterate, solve, tilted

MODES = {  # V_0 of the instance below, computed once by an independent plain implementation
    (math.inf, 0.0): (1.8565657720, 2.0020314800, 1.7422655248, 1.8278527930, 1.9605958330),
    (math.inf, 2.0): (1.6497615546, 1.7550390737, 1.5106024198, 1.6190296768, 1.7387017988),
    (math.inf, -2.0): (2.1129088131, 2.2857398040, 2.0243583180, 2.0888470770, 2.2351811823),
    (2.0, 0.0): (3.0410834586, 3.5377771948, 2.9362876140, 3.1388440639, 3.2874732363),
    (2.0, 1.0): (2.9166611074, 3.3946882023, 2.8000231426, 3.0092691708, 3.1536633814),
    (2.0, -1.0): (3.1708393972, 3.6861392818, 3.0783468743, 3.2748186062, 3.4274413768),
    (2.0, 2.0): (2.8049031034, 3.2654151406, 2.6772914807, 2.8934808189, 3.0334047660),
}


@pytest.fixture(scope="module")
def instance():
    rng, (T, S, A) = np.random.default_rng(0), (6, 5, 3)
    P, rho = rng.dirichlet(np.ones(S), (T, S, A)), rng.dirichlet(np.ones(A), (T, S))
    return FiniteMDP(P, rng.uniform(size=(T, S, A)), rng.uniform(size=S)), np.log(rho)


@pytest.mark.parametrize("weights", MODES, ids=str)
def test_modes_reproduce_reference_values(instance, weights):
    mdp, log_rho = instance
    np.testing.assert_allclose(solve(mdp, *weights, log_rho).value[0], MODES[weights], rtol=0, atol=5e-11)


@pytest.mark.parametrize("weights", [(2.0, 2.0), (2.0, -1.0), (math.inf, 2.0), (0.5, 0.0)], ids=str)
def test_policy_and_tilted_transitions_attain_the_value(instance, weights):
    """E[cost + KL(pi || rho) / lP + KL(tau || iota) / lS] under pi and tau, by plain forward sums, is V_0."""
    mdp, log_rho = instance
    (lP, lS), solution = weights, solve(mdp, *weights, log_rho)
    moved = tilted(mdp, solution)
    for start in range(mdp.states):
        mass, total = np.eye(mdp.states)[start], 0.0
        for t in range(6):
            pi, tau, iota = solution.policy[t], moved[t].toarray().reshape(5, 3, 5), mdp.dense(t)
            total += mass @ (pi * mdp.at(t)[1]).sum(axis=1)
            if math.isfinite(lP):
                total += mass @ (pi * (solution.log_policy[t] - log_rho[t])).sum(axis=1) / lP
            if lS:
                total += mass @ (pi * (tau * np.log(tau / iota)).sum(axis=2)).sum(axis=1) / lS
            mass = np.einsum("x,xu,xuy->y", mass, pi, tau)
        assert total + mass @ mdp.terminal == pytest.approx(solution.value[0, start], abs=1e-12)


def test_values_fall_with_both_weights(instance):
    mdp, log_rho = instance
    for lS in (-1.0, 0.0, 1.0):
        values = [solve(mdp, lP, lS, log_rho).value for lP in (0.0, 1e-9, 0.1, 1.0, 10.0, math.inf)]
        assert all((after <= before + 1e-12).all() for before, after in zip(values, values[1:], strict=False))
    for lP in (1.0, math.inf):
        values = [solve(mdp, lP, lS, log_rho).value for lS in (-math.inf, -5.0, -1e-9, 0.0, 1e-9, 5.0, math.inf)]
        assert all((after <= before + 1e-12).all() for before, after in zip(values, values[1:], strict=False))


def test_small_weights_are_continuous_at_zero(instance):
    """The change is first order in the weight: nothing is lost to rounding at 1e-9."""
    mdp, log_rho = instance
    neutral = solve(mdp, 0.0, 0.0, log_rho).value
    for weights in ((1e-9, 0.0), (0.0, 1e-9), (0.0, -1e-9)):
        np.testing.assert_allclose(solve(mdp, *weights, log_rho).value, neutral, rtol=0, atol=1e-8)


def test_deterministic_transitions_know_no_risk():
    rng = np.random.default_rng(1)
    P = np.eye(4)[rng.integers(0, 4, (4, 2))]
    mdp = FiniteMDP(P, rng.uniform(size=(4, 2)), rng.uniform(size=4))
    neutral = solve(mdp, 3.0, 0.0, horizon=7).value
    for lS in (-2.0, 2.0, math.inf, -math.inf):
        np.testing.assert_allclose(solve(mdp, 3.0, lS, horizon=7).value, neutral, rtol=0, atol=1e-14)


def test_infinite_costs_forbid_and_spread_under_aversion():
    P = np.zeros((2, 2, 2))
    P[:, 0], P[:, 1] = [1.0, 0.0], [0.5, 0.5]
    mdp = FiniteMDP(P, [[1.0, 0.0], [0.0, np.inf]], [0.0, np.inf])
    seeking, averse = solve(mdp, 1.0, 1.0, horizon=1), solve(mdp, 1.0, -1.0, horizon=1)
    assert seeking.value[0, 0] == pytest.approx(-math.log(0.5 * math.exp(-1) + 0.5 * 0.5))
    assert averse.policy[0, 0] == pytest.approx([1.0, 0.0])
    assert averse.value[0, 0] == pytest.approx(1.0 + math.log(2.0))
    assert seeking.policy[0, 1] == pytest.approx([1.0, 0.0])


def test_stationary_values_are_the_limit_of_long_horizons():
    rng = np.random.default_rng(2)
    mdp = FiniteMDP(rng.dirichlet(np.ones(6), (6, 3)), rng.uniform(size=(6, 3)), discount=0.9)
    for weights in ((math.inf, 0.0), (2.0, 1.0), (2.0, -1.0)):
        found = iterate(mdp, *weights)
        assert found.status.solved
        np.testing.assert_allclose(found.value, solve(mdp, *weights, horizon=400).value[0], rtol=1e-10)


def test_evaluating_the_optimal_policy_gives_its_value(instance):
    mdp, log_rho = instance
    for lS in (-2.0, 0.0, 2.0):
        solution = solve(mdp, math.inf, lS, log_rho)
        np.testing.assert_allclose(evaluate_policy(mdp, solution.log_policy, lS), solution.value, rtol=0, atol=1e-13)


def test_dense_and_sparse_transitions_are_the_same(instance):
    mdp, log_rho = instance
    again = FiniteMDP(mdp.transition, mdp.cost, mdp.terminal)
    np.testing.assert_array_equal(solve(again, 2.0, 1.0, log_rho).value, solve(mdp, 2.0, 1.0, log_rho).value)


CHAIN = np.array([[[0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]])
BAD = {
    "rows": (lambda: FiniteMDP(0.9 * CHAIN, np.zeros((2, 2))), "state 0, action 0 has probabilities of sum 0.9"),
    "negative": (
        lambda: FiniteMDP(np.array([[[1.5, -0.5]], [[0.0, 1.0]]]), np.zeros((2, 1))),
        "state 0, action 0 has a negative",
    ),
    "nan": (lambda: FiniteMDP(CHAIN, [[0.0, np.nan], [0.0, 0.0]]), r"cost has nan at index \(0, 1\)"),
    "shape": (lambda: FiniteMDP(CHAIN, np.zeros((3, 2))), r"transition has shape \(2, 2, 2\); expected \(3, 2, 3\)"),
    "idle": (lambda: FiniteMDP(CHAIN, np.zeros((2, 2)), allowed=[[1, 1], [0, 0]]), "state 1 has no allowed action"),
    "discount": (lambda: FiniteMDP(CHAIN, np.zeros((2, 2)), discount=1.5), "discount is 1.5"),
    "weight": (lambda: solve(FiniteMDP(CHAIN, np.zeros((2, 2))), -1.0, horizon=2), "a negative weight would maximize"),
    "horizon": (lambda: solve(FiniteMDP(CHAIN, np.zeros((2, 2)))), "no horizon is given"),
    "endless": (lambda: iterate(FiniteMDP(CHAIN, np.ones((2, 2)))), "costs never end"),
    "unreachable": (
        lambda: iterate(FiniteMDP(CHAIN, np.ones((2, 2)), absorbing=[True, False])),
        "1 of 2 states reach no absorbing state, first 1",
    ),
    "baseline": (
        lambda: solve(FiniteMDP(CHAIN, np.zeros((2, 2))), 1.0, baseline=np.log([[0.5, 0.4], [0.5, 0.5]]), horizon=2),
        "baseline has probabilities of sum 0.9",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_says_what_is_wrong(case):
    make, message = BAD[case]
    with pytest.raises(ppi.ProblemError, match=message):
        make()
