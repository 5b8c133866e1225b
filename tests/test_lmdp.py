"""Linearly solvable problems: values against the evaluation of their policies, perturbed policies, embeddings."""

import math

import numpy as np
import pytest

import ppi_robotics as ppi
from ppi_robotics.discrete import (
    LMDP,
    FiniteMDP,
    embed,
    iterate,
    solve,
    solve_average,
    solve_discounted,
    solve_finite,
    solve_first_exit,
)

ROUNDING = 1e-11


def chain(seed, S=7, exits=2, low=0.05):
    rng = np.random.default_rng(seed)
    absorbing = np.zeros(S, bool)
    absorbing[:exits] = True
    return LMDP(rng.dirichlet(np.full(S, 0.7), S), rng.uniform(low, 1.0, S), absorbing)


def prices(lmdp, u):
    """q + KL(u || p) of each state, with p as a full matrix."""
    p = lmdp.passive.toarray()
    with np.errstate(divide="ignore", invalid="ignore"):
        return lmdp.cost + np.where(u > 0.0, u * np.log(u / p), 0.0).sum(axis=1)


def evaluated(lmdp, u, discount=1.0):
    """Values of a policy u (S, S) by a plain linear system."""
    inside = ~lmdp.absorbing
    right = prices(lmdp, u)[inside] + discount * u[inside][:, ~inside] @ lmdp.cost[~inside]
    V = lmdp.cost.copy()
    V[inside] = np.linalg.solve(np.eye(inside.sum()) - discount * u[inside][:, inside], right)
    return V


def perturbed(u, seed):
    noise = np.exp(0.3 * np.random.default_rng(seed).standard_normal(u.shape))
    return u * noise / (u * noise).sum(axis=1, keepdims=True)


def stationary(u):
    rows = np.vstack((u.T - np.eye(len(u)), np.ones(len(u))))
    return np.linalg.lstsq(rows, np.append(np.zeros(len(u)), 1.0), rcond=None)[0]


@pytest.mark.parametrize("seed", range(4))
def test_first_exit_values_are_those_of_the_policy(seed):
    lmdp = chain(seed)
    solution = solve_first_exit(lmdp)
    u = solution.policy.toarray() + np.diag(lmdp.absorbing.astype(float))
    np.testing.assert_allclose(evaluated(lmdp, u), solution.value, rtol=0, atol=ROUNDING)
    z, p = np.exp(-solution.value), lmdp.passive.toarray()
    np.testing.assert_allclose(z[2:], (np.exp(-lmdp.cost) * (p @ z))[2:], rtol=ROUNDING)
    for n in range(20):
        assert (evaluated(lmdp, perturbed(u, n))[2:] > solution.value[2:] + 1e-6).all()


@pytest.mark.parametrize("seed", range(4))
def test_discounted_values_are_those_of_the_policy(seed):
    lmdp = chain(seed, exits=0, low=-0.5)
    solution = solve_discounted(lmdp, 0.9)
    u, z = solution.policy.toarray(), np.exp(-solution.value)
    np.testing.assert_allclose(z, np.exp(-lmdp.cost) * (lmdp.passive @ z**0.9), rtol=1e-10)
    np.testing.assert_allclose(evaluated(lmdp, u, 0.9), solution.value, rtol=0, atol=1e-10)
    for n in range(20):
        assert (evaluated(lmdp, perturbed(u, n), 0.9) > solution.value + 1e-6).all()


@pytest.mark.parametrize("size", [7, 70])
def test_average_cost_is_that_of_the_policy(size):
    lmdp = chain(3, size, exits=0, low=-0.5)
    solution = solve_average(lmdp)
    assert solution.status is ppi.Status.CONVERGED
    u, z = solution.policy.toarray(), np.exp(-solution.value)
    np.testing.assert_allclose(np.exp(-solution.average) * z, np.exp(-lmdp.cost) * (lmdp.passive @ z), rtol=ROUNDING)
    assert stationary(u) @ prices(lmdp, u) == pytest.approx(solution.average, abs=ROUNDING)
    for n in range(10):
        other = perturbed(u, n)
        assert stationary(other) @ prices(lmdp, other) > solution.average + 1e-6


def test_finite_horizon_values_are_those_of_the_policies():
    lmdp, terminal = chain(5, exits=1), np.random.default_rng(0).uniform(size=7)
    solution = solve_finite(lmdp, 6, terminal)
    value, V = np.where(lmdp.absorbing, lmdp.cost, terminal), None
    for u, V in zip(reversed(solution.policy), solution.value[-2::-1], strict=True):
        u = u.toarray() + np.diag(lmdp.absorbing.astype(float))
        value = np.where(lmdp.absorbing, lmdp.cost, prices(lmdp, u) + u @ value)
        np.testing.assert_allclose(value, V, rtol=0, atol=ROUNDING)


def test_the_next_state_as_the_action_is_the_same_problem():
    """lambda_policy 1 with the passive transitions as the baseline, deterministic transitions to the chosen state."""
    lmdp, S = chain(6, exits=0), 7
    P = np.broadcast_to(np.eye(S), (S, S, S))
    mdp = FiniteMDP(P, np.broadcast_to(lmdp.cost[:, None], (S, S)))
    with np.errstate(divide="ignore"):
        found = solve(mdp, 1.0, 0.0, np.log(lmdp.passive.toarray()), 5)
    mine = solve_finite(lmdp, 5)
    np.testing.assert_allclose(mine.value, found.value, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(mine.policy[0].toarray(), found.policy[0], rtol=0, atol=ROUNDING)


def test_far_states_keep_their_digits():
    """A walk of 400 states of cost 3 has values up to 1500: z underflows, V does not. Known by transfer matrices."""
    S = 401
    p = np.zeros((S, S))
    for x in range(S):
        p[x, max(x - 1, 0)] += 0.5
        p[x, min(x + 1, S - 1)] += 0.5
    absorbing = np.arange(S) == 0
    lmdp = LMDP(p, np.where(absorbing, 0.0, 3.0), absorbing)
    V = solve_first_exit(lmdp).value
    # far from both ends z falls by the smaller root of a z^2 / 2 - z + a / 2 with a = exp(-3)
    a = math.exp(-3.0)
    slope = -math.log((1.0 - math.sqrt(1.0 - a * a)) / a)
    np.testing.assert_allclose(np.diff(V)[:300], slope, rtol=1e-12)
    assert V[-1] > 1400.0


def test_periodic_chains_have_an_average():
    lmdp = LMDP(np.eye(6)[[1, 2, 3, 4, 5, 0]], np.arange(6.0))
    solution = solve_average(lmdp)
    assert solution.status is ppi.Status.CONVERGED
    assert solution.average == pytest.approx(2.5, abs=1e-10)  # nothing to choose


@pytest.mark.parametrize("seed", range(3))
def test_embedding_prices_actions_by_their_costs(seed):
    rng, S = np.random.default_rng(seed), 5
    P = np.zeros((S, 3, S))
    for x in range(S):
        to = rng.choice(S, 3, replace=False)
        P[x][:, to] = rng.dirichlet(np.ones(3), 3)
    cost = rng.uniform(1.0, 1.2, (S, 3))
    ends = np.arange(S) == 0
    mdp = FiniteMDP(P, cost, np.zeros(S), absorbing=ends)
    lmdp = embed(mdp)
    passive = lmdp.passive.toarray()
    for x in range(1, S):
        for a in range(3):
            p = P[x, a]
            kl = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0) / np.where(p > 0, passive[x], 1.0)), 0.0).sum()
            assert lmdp.cost[x] + kl == pytest.approx(cost[x, a], abs=1e-8)  # prices may be large
    assert (lmdp.cost[1:] > 0).all()
    assert (solve_first_exit(lmdp).value <= iterate(mdp).value + 1e-9).all()


def test_embedding_by_least_squares():
    """Fewer actions than next states leave prices open; nearly equal transitions ask for large ones."""
    P = np.array([[[0.2, 0.3, 0.5]], [[0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]])
    lmdp = embed(FiniteMDP(P, np.ones((3, 1)), absorbing=[False, True, True]))
    p, passive = P[0, 0], lmdp.passive.toarray()[0]
    assert lmdp.cost[0] + (p * np.log(p / passive)).sum() == pytest.approx(1.0, abs=1e-12)
    near = np.array([[[0.5, 0.5], [0.5 + 1e-9, 0.5 - 1e-9]], [[0.0, 1.0], [0.0, 1.0]]])
    close = embed(FiniteMDP(near, [[1.0, 1.0 + 1e-10], [0.0, 0.0]], absorbing=[False, True]))
    for p, cost in zip(near[0], (1.0, 1.0 + 1e-10), strict=True):
        kl = (p * np.log(p / close.passive.toarray()[0])).sum()
        assert close.cost[0] + kl == pytest.approx(cost, abs=1e-7)


TWO = np.array([[0.5, 0.5], [0.5, 0.5]])
BAD = {
    "shape": (lambda: LMDP(TWO, np.zeros(3)), r"passive has shape \(2, 2\); expected \(3, 3\)"),
    "rows": (lambda: LMDP(0.5 * TWO, np.zeros(2)), "probabilities of sum 0.5"),
    "exit": (lambda: solve_first_exit(LMDP(TWO, np.zeros(2))), "no absorbing state to exit to"),
    "gain": (
        lambda: solve_first_exit(LMDP(TWO, [0.0, -3.0], [True, False])),
        "costs below 0 are collected faster than states are left",
    ),
    "lost": (lambda: solve_first_exit(LMDP(np.eye(2), [0.0, 1.0], [True, False])), "reach no absorbing state"),
    "singular": (
        lambda: solve_first_exit(LMDP([[1, 0], [0.5, 0.5]], [0.0, -np.log(2.0)], [True, False])),
        "costs below 0",
    ),
    "apart": (lambda: solve_first_exit(LMDP(np.eye(2), [0.0, 0.0], [True, False])), "reach no absorbing state"),
    "discount": (lambda: solve_discounted(LMDP(TWO, np.zeros(2)), 1.0), "discount is 1"),
    "classes": (lambda: solve_average(LMDP(np.eye(2), np.zeros(2))), "2 classes"),
    "average": (lambda: solve_average(LMDP(TWO, np.zeros(2), [True, False])), "no average is defined"),
    "dependent": (
        lambda: embed(FiniteMDP(np.full((2, 2, 2), 0.5), [[1.0, 2.0], [0.0, 0.0]], absorbing=[False, True])),
        "state 0 has 2 actions of dependent transitions",
    ),
    "changing": (lambda: embed(FiniteMDP(np.ones((1, 1, 1)), np.zeros((3, 1, 1)))), "changes over time"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_says_what_is_wrong(case):
    make, message = BAD[case]
    with pytest.raises(ppi.ProblemError, match=message):
        make()
