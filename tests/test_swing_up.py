"""Whole solves: reference numbers of the cart-pole, and limited swing-ups against independent optima.

The cart-pole's constants and all its reference values are this project's own choices; the published figure that they
follow states neither.
"""

import functools

import numpy as np
import pytest
from direct import solve_directly

import ppi_robotics as ppi
from plants import Acrobot, CartPole, DoubleCartPole, Pendulum
from ppi_robotics.guesses import cold_guess

OPTIMUM = 264.6117  # confirmed by IPOPT and fatrop

# eta: mean, its standard error, variance, its standard error, over 200,000 rollouts of the mean policy
REFERENCE = {
    0.0: (266.769, 0.011, 24.41, 0.09),
    0.01: (266.775, 0.011, 24.72, 0.09),
    0.03: (266.789, 0.011, 25.34, 0.10),
    0.1: (266.884, 0.012, 27.78, 0.11),
    0.2: (267.136, 0.013, 31.99, 0.13),
    0.3: (267.530, 0.014, 37.22, 0.16),
    0.5: (268.765, 0.016, 51.66, 0.23),
    0.7: (270.641, 0.019, 73.60, 0.35),
    1.0: (274.821, 0.026, 130.86, 0.76),
    -0.02: (266.764, 0.011, 23.90, 0.09),
    -0.05: (266.765, 0.011, 23.16, 0.09),
    -0.1: (266.788, 0.011, 22.03, 0.09),
}
MERIT = {0.01: 264.50, 0.03: 264.29, 0.1: 263.54, 0.2: 262.53, 0.3: 261.55, 0.5: 259.74, 0.7: 258.07, 1.0: 255.80}


@functools.cache
def swing_up(horizon=150, dt=0.02, **weights):
    plant = CartPole(dt=dt)
    return ppi.Problem(plant, plant.swing_up_cost(**weights), plant.hanging, horizon)


@functools.cache
def solved(eta):
    return ppi.solve(swing_up(), ppi.PPI(eta) if eta else ppi.ILQG(), starts=1)


@functools.cache
def evaluated(eta):
    return ppi.evaluate(swing_up(), solved(eta).policy, samples=50_000, seed=0)


def limited(plant, horizon=None, **weights):
    return ppi.Problem(plant, plant.swing_up_cost(**weights), plant.hanging, horizon or plant.default_horizon)


def assert_within_limits(problem, solution):
    plant = problem.plant
    for values, limits in ((solution.u, plant.control_limits), (solution.x, plant.state_limits)):
        assert (values >= limits[:, 0]).all()
        assert (values <= limits[:, 1]).all()


@pytest.mark.parametrize("seed", range(3))
def test_ilqg_reaches_the_optimum(seed):
    solution = ppi.solve(swing_up(), ppi.ILQG(), seed=seed, starts=1)
    assert solution.status is ppi.Status.CONVERGED
    assert solution.nominal_cost == pytest.approx(OPTIMUM, abs=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_ppi_with_little_noise_weight_reaches_the_optimum_in_few_iterations(seed):
    solution = ppi.solve(swing_up(), ppi.PPI(eta=1e-3), seed=seed, starts=1)
    assert solution.status is ppi.Status.CONVERGED
    assert solution.iterations <= 45
    assert solution.nominal_cost == pytest.approx(OPTIMUM, abs=0.1)


def test_exact_second_derivatives_end_at_the_same_optimum():
    solution = ppi.solve(swing_up(), ppi.ILQG(hessian="exact"), starts=1)
    assert solution.nominal_cost == pytest.approx(OPTIMUM, abs=1e-3)


@pytest.mark.parametrize("eta", REFERENCE)
def test_cost_distribution_matches_the_reference(eta):
    mean, mean_error, variance, variance_error = REFERENCE[eta]
    result = evaluated(eta)
    assert abs(result.mean - mean) < 4 * np.hypot(result.standard_error, mean_error)
    assert abs(result.variance - variance) < 4 * np.hypot(result.variance_standard_error, variance_error)


@pytest.mark.parametrize("eta", MERIT)
def test_merit_matches_the_reference(eta):
    assert solved(eta).cost == pytest.approx(MERIT[eta], abs=0.006)  # the references are rounded to 0.01


def test_variance_grows_from_averse_to_seeking():
    variances = [evaluated(eta).variance for eta in sorted(REFERENCE)]
    assert (np.diff(variances) > 0).all()
    assert 3 < evaluated(1.0).variance / evaluated(0.0).variance < 9
    assert evaluated(1.0).mean - evaluated(0.0).mean > 5


# weights, horizon, dt, merit at eta = 0.01 and 0.3 (rounded to 0.01), most iterations of the former
VARIANTS = [
    ({"force": 0.001}, 150, 0.02, (186.88, 186.86), 12),
    ({"force": 0.1}, 150, 0.02, (1359.03, 1321.64), 45),
    ({"angular_velocity": 0.01}, 150, 0.02, (209.58, 206.45), 45),
    ({}, 75, 0.02, (264.40, 261.45), 45),
    ({}, 300, 0.01, (528.78, 516.43), 60),
    ({"angle": 10.0, "angular_velocity": 1.0, "force": 0.001}, 100, 0.02, (1673.93, 1671.79), 80),
]


@pytest.mark.parametrize(("weights", "horizon", "dt", "merits", "most"), VARIANTS)
def test_full_steps_solve_the_variants(weights, horizon, dt, merits, most):
    problem = swing_up(horizon, dt, **weights)
    for eta, merit, limit in zip((0.01, 0.3), merits, (most, 80), strict=True):
        solution = ppi.solve(problem, ppi.PPI(eta), starts=1)
        assert solution.status is ppi.Status.CONVERGED
        assert solution.iterations <= limit
        assert solution.cost == pytest.approx(merit, abs=0.006)
        assert problem.success(solution.x[-1:])[0] == (weights != {"force": 0.1})  # too dear a force to swing up


def test_breakdown_along_the_nominal_names_stage_and_bound():
    solution = ppi.solve(swing_up(), ppi.LEQG(theta=1.2), starts=1)
    assert solution.status is ppi.Status.RISK_BREAKDOWN
    assert solution.breakdown.kind == "risk"
    assert 0 <= solution.breakdown.stage < 150
    assert solution.breakdown.bound >= 1 / 1.2
    assert solution.nominal_cost == pytest.approx(OPTIMUM, abs=1e-3)  # the risk-neutral policy is kept
    with pytest.raises(ppi.RiskBreakdown, match="stage") as caught:
        solution.raise_for_status()
    assert caught.value.stage == solution.breakdown.stage


LIMITED = {
    "pendulum": lambda: limited(Pendulum()),
    "weak pendulum": lambda: limited(Pendulum(torque_limit=2.0), 400),
    "cart-pole, half the force": lambda: limited(CartPole(force_limit=15.0)),
    "cart-pole, a fifth of the force": lambda: limited(CartPole(force_limit=6.1), 200),
    "cart-pole on a short track": lambda: limited(CartPole(track_limit=0.5)),
}


@pytest.mark.parametrize("name", LIMITED)
def test_limited_swing_up_matches_the_best_direct_solution(name):
    problem = LIMITED[name]()
    guesses = [cold_guess(problem, 1000, index) for index in range(20)]
    best, _ = solve_directly(problem, guesses)[0]
    for seed in range(5):
        solution = ppi.solve(problem, ppi.PPI(eta=0.01), seed=seed)
        assert solution.status is ppi.Status.CONVERGED
        assert problem.success(solution.x[-1:])[0]
        assert solution.nominal_cost <= 1.005 * best
        assert_within_limits(problem, solution)


@pytest.mark.parametrize("plant", [Acrobot, DoubleCartPole])
def test_underactuated_double_links_swing_up(plant):
    problem = limited(plant())
    guesses = [cold_guess(problem, 1000, index) for index in range(4)]
    best, _ = solve_directly(problem, guesses)[0]
    solutions = [ppi.solve(problem, ppi.PPI(eta=0.01), seed=seed) for seed in range(3)]
    for solution in solutions:
        assert problem.success(solution.x[-1:])[0]
        assert_within_limits(problem, solution)
    assert min(solution.nominal_cost for solution in solutions) <= 1.02 * best


def test_box_constrained_ddp_ends_where_the_interior_point_does():
    problem = limited(Pendulum())
    box, interior = (ppi.solve(problem, ppi.ILQG(limits=limits), starts=2) for limits in ("box", "interior_point"))
    assert box.nominal_cost == pytest.approx(interior.nominal_cost, rel=1e-6)
    assert_within_limits(problem, box)
    active = np.abs(interior.u[:, 0]) > 5.0 - 1e-6
    assert (
        np.median(np.abs(interior.policy.K[active])) < 1e-4
    )  # no gain on an active limit, but for the stages that touch it


def test_saturated_ppi_keeps_a_policy_that_succeeds_without_noise():
    problem = limited(Pendulum(torque_limit=3.0, sigma=0.2))
    solution = ppi.solve(problem, ppi.PPI(eta=0.1), seed=0)
    assert problem.success(solution.x[-1:])[0]


def test_a_weak_motor_swings_up_over_a_long_horizon():
    # hanging is a saddle: a barrier lowered there is too steep for the way down
    plant = DoubleCartPole(force_limit=12.0, dt=0.01)

    def height(x):
        return ppi.vertcat(0.1 * x[0], *(f for a in (x[1], x[2]) for f in (ppi.sin(a), 1 - ppi.cos(a))), 0.1 * x[3:])

    cost = ppi.LeastSquares(lambda x, u: 0.1 * ppi.vertcat(height(x), 0.03 * u[0]), height, "exact")
    problem = ppi.Problem(plant, cost, plant.hanging, 400)
    solutions = [ppi.solve(problem, ppi.ILQG(), seed=seed, starts=1) for seed in range(2)]
    for solution in solutions:
        assert solution.status is ppi.Status.CONVERGED
        assert problem.success(solution.x[-1:])[0]
        assert_within_limits(problem, solution)
