"""The synchronized mode on tables: the linear equation, sampled trajectories, and mixtures for several goals."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from tables import entropic, trajectories

import ppi_robotics as ppi
from ppi_robotics.discrete import (
    FiniteMDP,
    compose_tables,
    random_problem,
    sample_integral,
    soft_minimum,
    solve,
    solve_linear,
)

ROUNDING = 1e-12
SHARES = np.array([0.2, 0.5, 0.3])


def same(one, other, tolerance=ROUNDING):
    """Whether two solutions have the same values and policies, infinite ones included."""
    for name in ("value", "action_value", "log_policy"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weight", [0.1, 2.0, 30.0])
def test_the_linear_equation_gives_the_recursion(seed, weight):
    mdp, log_rho = random_problem(seed)
    same(solve_linear(mdp, weight, log_rho), solve(mdp, weight, weight, log_rho))


def test_plain_numbers_obey_the_linear_equation():
    mdp, log_rho = random_problem()
    z, rho = np.exp(-2.0 * solve(mdp, 2.0, 2.0, log_rho).value), np.exp(log_rho)
    for t in range(6):
        right = (rho[t] * np.exp(-2.0 * mdp.at(t)[1]) * (mdp.dense(t) @ z[t + 1])).sum(axis=1)
        np.testing.assert_allclose(z[t], right, rtol=1e-14)


def test_values_are_path_integrals_over_all_trajectories():
    mdp, log_rho = random_problem(1, stages=3, states=3, actions=3)
    found = solve_linear(mdp, 2.0, log_rho)
    for start in range(3):
        assert found.value[0, start] == pytest.approx(entropic(mdp, log_rho, 2.0, start), abs=ROUNDING)
        mass = np.zeros(3)
        for p, cost, first in trajectories(mdp, log_rho, start):
            mass[first] += p * math.exp(-2.0 * cost)
        np.testing.assert_allclose(found.policy[0, start], mass / mass.sum(), rtol=0, atol=ROUNDING)


def test_values_far_outside_the_range_of_floats_are_kept():
    """exp(-l V) underflows by thousands of orders of magnitude; the logarithms do not notice."""
    mdp, log_rho = random_problem(2)
    big = replace(mdp, cost=1e4 * mdp.cost, terminal=-1e4 * mdp.terminal)
    # differences of logarithms of size 1e5
    same(solve_linear(big, 3.0, log_rho), solve(big, 3.0, 3.0, log_rho), 1e-10)


def test_forbidden_actions_infinite_costs_and_ends():
    P = np.zeros((3, 2, 3))
    P[0, 0], P[0, 1], P[1, 0], P[1, 1] = [0.5, 0.5, 0.0], [0.0, 0.1, 0.9], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]
    allowed, absorbing = [[True, True], [True, False], [False, False]], [False, False, True]
    mdp = FiniteMDP(P, [[1.0, np.inf], [0.2, 0.3], [0.0, 0.0]], [0.3, np.inf, -1.0], allowed, absorbing=absorbing)
    same(solve_linear(mdp, 1.5, horizon=4), solve(mdp, 1.5, 1.5, horizon=4))
    found = solve(mdp, 1.5, 1.5, horizon=4).value[0, 0]
    estimate = sample_integral(mdp, 1.5, 0, samples=100_000, horizon=4)
    assert estimate.infinite > 0
    assert abs(estimate.value - found) < 4 * estimate.standard_error


def test_many_terminal_costs_in_one_pass():
    mdp, log_rho = random_problem(3)
    terminals = np.random.default_rng(0).uniform(size=(4, 5))
    for terminal, found in zip(terminals, solve_linear(mdp, 2.0, log_rho, terminals=terminals), strict=True):
        same(found, solve(replace(mdp, terminal=terminal), 2.0, 2.0, log_rho))


# -- several goals -----------------------------------------------------------------------------------------------------


def components(seed, lambda_policy=2.0, lambda_transition=2.0):
    """A problem, its baseline, and solutions for three terminal costs."""
    mdp, log_rho = random_problem(seed)
    terminals = np.random.default_rng(100 + seed).uniform(size=(3, 5))
    problems = [replace(mdp, terminal=terminal) for terminal in terminals]
    return mdp, log_rho, terminals, [solve(one, lambda_policy, lambda_transition, log_rho) for one in problems]


@pytest.mark.parametrize("seed", range(5))
def test_mixtures_of_components_are_the_direct_solution(seed):
    mdp, log_rho, terminals, solutions = components(seed)
    direct = solve(replace(mdp, terminal=soft_minimum(terminals, SHARES, 2.0)), 2.0, 2.0, log_rho)
    mixed = compose_tables(solutions, SHARES)
    same(mixed, direct)
    z = np.exp(-2.0 * np.stack([one.value[:-1] for one in solutions])) * SHARES[:, None, None]
    policy = (z[..., None] / z.sum(axis=0)[..., None] * np.stack([one.policy for one in solutions])).sum(axis=0)
    np.testing.assert_allclose(direct.policy, policy, rtol=0, atol=ROUNDING)


def test_a_weight_of_zero_leaves_a_component_out():
    _, _, _, solutions = components(0)
    same(compose_tables(solutions, [0.0, 1.0, 0.0]), solutions[1])


def test_mixtures_fail_for_other_weights():
    """With weights 2 and 1 the same relation of values is wrong by far more than rounding."""
    errors = []
    for seed in range(5):
        mdp, log_rho, terminals, solutions = components(seed, 2.0, 1.0)
        direct = solve(replace(mdp, terminal=soft_minimum(terminals, SHARES, 2.0)), 2.0, 1.0, log_rho)
        mixed = soft_minimum([one.value for one in solutions], SHARES, 2.0)
        errors.append(np.abs(direct.value - mixed).max())
    assert min(errors) > 1e-3
    assert max(errors) > 0.03
    with pytest.raises(ppi.ProblemError, match="component 0 has weights 2 and 1"):
        compose_tables(solutions, SHARES)


def test_different_baselines_are_refused():
    mdp, log_rho, _, _ = components(0)
    with pytest.raises(ppi.ProblemError, match="different baselines"):
        compose_tables([solve(mdp, 2.0, 2.0, log_rho), solve(mdp, 2.0, 2.0)], [1.0, 1.0])


# -- sampled trajectories ----------------------------------------------------------------------------------------------


def test_estimates_agree_with_the_exact_value_over_seeds():
    """20 seeds of 100,000 trajectories: the pooled mean within 3 errors, and errors as large as the spread."""
    mdp, log_rho = random_problem()
    exact = solve(mdp, 2.0, 2.0, log_rho)
    found = [sample_integral(mdp, 2.0, 0, samples=100_000, seed=seed, baseline=log_rho) for seed in range(20)]
    values, errors = np.array([(one.value, one.standard_error) for one in found]).T
    assert exact.value[0, 0] == pytest.approx(2.8049031034, abs=5e-11)
    assert abs(values.mean() - exact.value[0, 0]) < 3 * np.sqrt(np.mean(errors**2) / 20)
    assert 0.002 < errors.mean() < 0.0035  # 0.0027 by an independent implementation
    assert 0.5 < values.std(ddof=1) / errors.mean() < 1.6  # 99.9 % interval of 20 normal numbers
    policy = np.mean([one.policy for one in found], axis=0)
    error = np.sqrt(np.mean([one.policy_standard_error**2 for one in found], axis=0) / 20)
    assert (np.abs(policy - exact.policy[0, 0]) < 4 * error).all()
    assert all(one.reliable for one in found)


def test_later_stages_and_changing_transitions():
    mdp, log_rho = random_problem(4)
    exact = solve(mdp, 1.0, 1.0, log_rho)
    for stage, state in ((3, 2), (5, 4)):
        found = sample_integral(mdp, 1.0, state, stage, 50_000, 1, log_rho)
        assert abs(found.value - exact.value[stage, state]) < 4 * found.standard_error
        assert (np.abs(found.policy - exact.policy[stage, state]) < 4 * found.policy_standard_error).all()


def test_samples_do_not_depend_on_threads():
    mdp, log_rho = random_problem()
    one, two = (sample_integral(mdp, 2.0, 0, samples=200_000, baseline=log_rho, threads=n) for n in (1, 2))
    assert one.value == two.value
    assert one.policy.tolist() == two.policy.tolist()
    assert sample_integral(mdp, 2.0, 0, samples=200_000, seed=1, baseline=log_rho).value != one.value


BAD = {
    "discount": (
        lambda: solve_linear(FiniteMDP(np.ones((1, 1, 1)), [[0.0]], discount=0.9), 1.0, horizon=1),
        "discount",
    ),
    "weight": (lambda: solve_linear(random_problem()[0], -1.0), "weight is -1; expected a positive number"),
    "terminals": (lambda: solve_linear(random_problem()[0], 1.0, terminals=np.ones(5)), r"terminals has shape \(5,\)"),
    "shares": (lambda: soft_minimum(np.ones((2, 3)), [1.0, -1.0], 1.0), r"weights are \[1.0, -1.0\]"),
    "state": (lambda: sample_integral(random_problem()[0], 1.0, 5), "state is 5; expected a whole number"),
    "stage": (lambda: sample_integral(random_problem()[0], 1.0, 0, 6), "stage is 6"),
    "lost": (
        lambda: sample_integral(FiniteMDP(sparse.csr_matrix([[1.0]]), [[np.inf]]), 1.0, 0, horizon=1, samples=10),
        "all 10 trajectories from state 0 have infinite cost",
    ),
    "nothing": (lambda: compose_tables([], []), "give at least one"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_says_what_is_wrong(case):
    make, message = BAD[case]
    with pytest.raises(ppi.ProblemError, match=message):
        make()


def test_intervals_of_sampled_values_cover():
    """95 % of 300 are 285 on average, with a standard deviation of 3.8."""
    mdp, log_rho = random_problem()
    exact = solve(mdp, 2.0, 2.0, log_rho).value[0, 0]
    found = [sample_integral(mdp, 2.0, 0, 0, 1000, seed, log_rho).interval for seed in range(300)]
    assert all(one is not None for one in found)
    assert 272 <= sum(low <= exact <= high for low, high in found) <= 298
    few = sample_integral(mdp, 2.0, 0, 0, 100, 0, log_rho)
    assert not few.reliable
    assert few.interval is None
    assert "[-]" in str(few)
