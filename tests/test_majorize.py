"""Majorization on tables: descent, limits and published rates of one instance, and relatives of the iteration."""

import math

import numpy as np
import pytest
from tables import entropic

import ppi_robotics as ppi
from ppi_robotics.discrete import (
    FiniteMDP,
    entropic_cost,
    evaluate_policy,
    majorize,
    posterior_policy_iteration,
    random_problem,
    solve,
    weight_of_bound,
)
from ppi_robotics.discrete.policy_improvement import divergence

ROUNDING = 1e-12
RATES = {  # iterations from rho until the largest excess over the optimum is below 1e-2 and 1e-4, None: not asked for
    (2.0, 0.0): (45, 231),
    (10.0, 0.0): (9, 47),
    (2.0, 2.0): (41, 191),
    (2.0, -2.0): (46, 200),
    (0.5, 0.0): (180, None),
    (0.5, 2.0): (163, None),
    (0.5, -2.0): (182, None),
}


@pytest.mark.parametrize("weights", RATES, ids=str)
def test_rates_reproduce_reference_values(weights):
    mdp, log_rho = random_problem()
    gap = majorize(mdp, *weights, log_rho, tolerance=0.0, max_iterations=240).gap(
        solve(mdp, math.inf, weights[1], log_rho).value[0]
    )
    for level, count in zip((1e-2, 1e-4), RATES[weights], strict=True):
        assert count is None or int(np.argmax(gap < level)) == count
    assert gap.min() >= -ROUNDING


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("risk", [-2.0, 0.0, 1.0])
def test_costs_and_bounds_interlace_at_every_state(seed, risk):
    mdp, log_rho = random_problem(seed + 10)
    descent = majorize(mdp, 3.0, risk, log_rho, tolerance=0.0, max_iterations=60)
    assert descent.rise <= ROUNDING
    assert descent.cost.shape == (61, 5)
    assert descent.bound.shape == (60, 5)


@pytest.mark.parametrize("risk", [-1.0, 0.0, 1.0])
def test_the_limit_does_not_depend_on_the_weight_of_the_policy(risk):
    mdp, log_rho = random_problem(3)
    optimum = solve(mdp, math.inf, risk, log_rho).value[0]
    for weight in (3.0, 30.0, math.inf):
        descent = majorize(mdp, weight, risk, log_rho, tolerance=1e-9, max_iterations=3000)
        assert descent.status is ppi.Status.CONVERGED
        np.testing.assert_allclose(descent.cost[-1], optimum, rtol=0, atol=1e-9 * descent.cost[-1].max())


def test_a_bound_on_iterations_is_a_status():
    mdp, log_rho = random_problem()
    seen = []
    descent = majorize(mdp, 0.5, 0.0, log_rho, max_iterations=3, callback=lambda k, cost: seen.append((k, cost[0])))
    assert descent.status is ppi.Status.MAX_ITERATIONS
    assert seen == [(k, descent.cost[k, 0]) for k in (1, 2, 3)]


def test_log_odds_fall_by_weight_times_gap():
    """Near the limit pi^{k+1} / pi^k of a worse action is exp(-lP (Q(worse) - Q(best)))."""
    mdp, log_rho = random_problem()
    best = solve(mdp, math.inf, 0.0, log_rho)
    late = majorize(mdp, 10.0, 0.0, log_rho, tolerance=1e-12).solution.log_policy
    fall = late - solve(mdp, 10.0, 0.0, late).log_policy
    # what is left of the worse actions is of the size of the tolerance, times the weight and what they are worse by
    np.testing.assert_allclose(fall, 10.0 * (best.action_value - best.value[:-1, :, None]), rtol=0, atol=1e-8)


# -- posterior policy iteration ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "gaps"), [(2.0, (1.51, 0.069, 1.9e-3, 1e-10)), (0.5, (1.67, 0.764, 0.0187, 2.9e-4))]
)
def test_posterior_iterations_reproduce_reference_gaps(weight, gaps):
    mdp, log_rho = random_problem()
    optimum = solve(mdp, math.inf, weight, log_rho).value[0]
    descent = posterior_policy_iteration(mdp, weight, baseline=log_rho, tolerance=0.0, max_iterations=1001)
    found = (descent.bound[[0, 10, 100, 1000]] - optimum).max(axis=1)
    for value, expected in zip(found, gaps, strict=True):
        assert value < 1e-10 if expected == 1e-10 else value == pytest.approx(expected, rel=0.02)  # two digits given
    assert descent.rise <= ROUNDING


def test_bounds_are_entropic_costs_of_the_policies():
    """V^(k) = F(pi^k), and F(pi^k) >= N(pi^{k+1}) >= F(pi^{k+1}), with F by the sum over all trajectories."""
    mdp, log_rho = random_problem(4, stages=3, states=3, actions=2)
    descent = posterior_policy_iteration(mdp, 1.5, baseline=log_rho, tolerance=0.0, max_iterations=6)
    log_pi, costs = log_rho, []
    for bound in descent.bound:
        F = [entropic(mdp, log_pi, 1.5, x) for x in range(3)]
        np.testing.assert_allclose(bound, F, rtol=0, atol=ROUNDING)
        np.testing.assert_allclose(entropic_cost(mdp, log_pi, 1.5)[0], F, rtol=0, atol=ROUNDING)
        costs.append(F)
        log_pi = solve(mdp, 1.5, 1.5, log_pi).log_policy
    assert (np.array(costs) >= descent.cost[1:] - ROUNDING).all()
    assert (descent.cost[1:-1] >= np.array(costs)[1:] - ROUNDING).all()


def test_policies_are_posteriors_given_success():
    """pi_0(u | x) ~ E[exp(-l C); u_0 = u] under the last policy, summed over all trajectories."""
    from tables import trajectories

    mdp, log_rho = random_problem(5, stages=3, states=3, actions=2)
    policy = posterior_policy_iteration(mdp, 2.0, baseline=log_rho, max_iterations=1).solution.policy
    for start in range(3):
        mass = np.zeros(2)
        for p, cost, first in trajectories(mdp, log_rho, start):
            mass[first] += p * math.exp(-2.0 * cost)
        np.testing.assert_allclose(policy[0, start], mass / mass.sum(), rtol=0, atol=ROUNDING)


# -- relatives ---------------------------------------------------------------------------------------------------------


def test_psi_iteration_and_dynamic_policy_programming_are_the_neutral_case():
    """Psi_t = log pi - eta c + E[Psibar_{t+1}], Psibar = log sum exp Psi, pi = exp(Psi - Psibar), by plain loops."""
    mdp, log_rho = random_problem(6)
    log_pi, eta = log_rho, 1.7
    for k in range(1, 8):
        following, found = -eta * mdp.terminal, np.empty_like(log_rho)
        for t in reversed(range(6)):
            psi = log_pi[t] - eta * mdp.at(t)[1] + mdp.dense(t) @ following
            following = np.log(np.exp(psi).sum(axis=1))
            found[t] = psi - following[:, None]
        log_pi = found
        descent = majorize(mdp, eta, 0.0, log_rho, tolerance=0.0, max_iterations=k)
        np.testing.assert_allclose(descent.solution.log_policy, log_pi, rtol=0, atol=1e-11)
        np.testing.assert_allclose(descent.bound[-1], -following / eta, rtol=0, atol=ROUNDING)


def test_small_steps_are_natural_gradients():
    """log pi' - log pi = -eta A + O(eta^2), where A is the Fisher metric's inverse times the gradient of J."""
    mdp, log_rho = random_problem(7, stages=2, states=3, actions=3)
    start, eta, h = np.array([0.2, 0.5, 0.3]), 1e-6, 1e-5

    def J(theta):
        log_pi = theta - np.log(np.exp(theta).sum(axis=2, keepdims=True))
        return start @ evaluate_policy(mdp, log_pi)[0]

    gradient = np.empty(log_rho.size)
    for i in range(log_rho.size):
        move = np.zeros(log_rho.size)
        move[i] = h
        move = move.reshape(log_rho.shape)
        gradient[i] = (J(log_rho + move) - J(log_rho - move)) / (2 * h)
    pi, mass, blocks = np.exp(log_rho), start, []
    for t in range(2):
        blocks += [mass[x] * (np.diag(pi[t, x]) - np.outer(pi[t, x], pi[t, x])) for x in range(3)]
        mass = np.einsum("x,xu,xuy->y", mass, pi[t], mdp.dense(t))
    natural = np.concatenate(
        [np.linalg.pinv(F) @ g for F, g in zip(blocks, gradient.reshape(-1, 3), strict=True)]
    ).reshape(log_rho.shape)
    score = natural - (pi * natural).sum(axis=2, keepdims=True)  # the direction's change of log pi
    step = (solve(mdp, eta, 0.0, log_rho).log_policy - log_rho) / -eta
    np.testing.assert_allclose(step, score, rtol=0, atol=1e-5)  # O(eta), and differences of digits at 1e-16 / eta


def test_a_bound_on_the_divergence_sets_the_weight():
    mdp, log_rho = random_problem(8)
    start = np.array([0.1, 0.2, 0.3, 0.3, 0.1])
    for bound in (0.01, 0.5, 2.0):
        solution, found = weight_of_bound(mdp, bound, log_rho, start)
        assert found == pytest.approx(bound, rel=1e-9)
        assert divergence(mdp, solution.log_policy, log_rho, start) == found
        # the dual function E[V] - bound / lambda is largest there
        dual = [
            start @ solve(mdp, weight, 0.0, log_rho).value[0] - bound / weight
            for weight in solution.lambda_policy * np.array([0.99, 1.0, 1.01])
        ]
        assert dual[1] == max(dual)
        assert dual[1] == pytest.approx(start @ evaluate_policy(mdp, solution.log_policy)[0], abs=1e-9)


def test_no_policy_within_the_bound_is_cheaper():
    mdp, log_rho = random_problem(9, stages=3, states=4, actions=3)
    rng, start = np.random.default_rng(0), np.full(4, 0.25)
    solution, found = weight_of_bound(mdp, 0.3, log_rho)
    cheapest, inside = start @ evaluate_policy(mdp, solution.log_policy)[0], 0
    for scale in np.repeat([0.01, 0.1, 0.5], 100):
        log_pi = solution.log_policy + scale * rng.standard_normal(log_rho.shape)
        log_pi -= np.log(np.exp(log_pi).sum(axis=2, keepdims=True))
        if divergence(mdp, log_pi, log_rho, start) <= found:
            inside += 1
            assert start @ evaluate_policy(mdp, log_pi)[0] >= cheapest - ROUNDING
    assert inside > 50


def test_one_stage_has_the_temperature_of_relative_entropy_policy_search():
    """One state, one stage: eta minimizes eta bound + eta log E_rho exp(-c / eta), found on a fine grid."""
    rng = np.random.default_rng(1)
    cost, rho = rng.uniform(size=4), rng.dirichlet(np.ones(4))
    mdp = FiniteMDP(np.ones((1, 4, 1)), cost[None])
    solution, _ = weight_of_bound(mdp, 0.2, np.log(rho)[None], horizon=1)
    eta = np.exp(np.linspace(-4, 2, 60_001))
    dual = eta * 0.2 + eta * np.log(np.exp(-cost / eta[:, None]) @ rho)
    assert 1.0 / solution.lambda_policy == pytest.approx(eta[np.argmin(dual)], rel=2e-4)  # the grid's step


def test_a_wide_bound_gives_the_hard_minimum():
    mdp, log_rho = random_problem()
    solution, found = weight_of_bound(mdp, 1e3, log_rho)
    assert math.isinf(solution.lambda_policy)
    assert found < 1e3


def test_infinite_costs_stay_out_of_the_descent():
    cost = np.array([[0.0, np.inf], [np.inf, np.inf]])
    mdp = FiniteMDP(np.array([[[1.0, 0.0], [0.0, 1.0]]] * 2), cost, [0.5, 0.0])
    descent = majorize(mdp, 1.0, horizon=2)
    assert descent.status is ppi.Status.CONVERGED
    assert descent.cost[-1].tolist() == [0.5, math.inf]


BAD = {
    "still": (lambda mdp: majorize(mdp, 0.0), "lambda_policy is 0, at which policies never move"),
    "count": (lambda mdp: majorize(mdp, 1.0, max_iterations=0), "max_iterations is 0"),
    "bound": (lambda mdp: weight_of_bound(mdp, -1.0), "bound is -1.0; expected a positive"),
    "start": (lambda mdp: weight_of_bound(mdp, 1.0, start=np.ones(5)), "start has entries of sum 5"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_says_what_is_wrong(case):
    make, message = BAD[case]
    with pytest.raises(ppi.ProblemError, match=message):
        make(random_problem()[0])
