"""Continuous problems on a grid: interpolation, convergence to closed forms, and composition of goals."""

import math

import numpy as np
import pytest

import ppi_robotics as ppi
from plants import Pendulum
from ppi_robotics.discrete import Grid, compose_tables, discretize, sample_integral, soft_minimum, solve, solve_linear

DECAY, PUSH, SPREAD, STAGES = 0.95, 0.3, 0.15, 8  # x' = 0.95 x + 0.3 u + w, std of w


class Line(ppi.SymbolicPlant):
    """A point that decays, is pushed, and jitters."""

    name, state_names, control_names, dt = "line", ("place",), ("push",), 1.0
    noise = np.array([SPREAD**2])

    def transition(self, x, u):
        """Next place."""
        return ppi.vertcat(DECAY * x[0] + PUSH * u[0])


@pytest.fixture(scope="module")
def line():
    return ppi.Problem(Line(), ppi.Quadratic(state=[0.5], control=[0.2], terminal=[2.0]), [1.0], STAGES)


def riccati(risk):
    """V_0(1) of the line by the scalar recursion: V = P x^2 + p, R_l of which over N(m, W) is known."""
    P, p, W = 2.0, 0.0, SPREAD**2
    for _ in range(STAGES):
        if risk:
            M = 1.0 + 2.0 * risk * W * P
            p, P = p + math.log(M) / (2.0 * risk), P / M
        else:
            p += P * W
        P = 0.5 + P * DECAY**2 - (P * DECAY * PUSH) ** 2 / (0.2 + P * PUSH**2)
    return P + p


# -- grids -------------------------------------------------------------------------------------------------------------


def test_interpolation_is_exact_for_multilinear_functions():
    grid = Grid((np.array([0.0, 0.5, 2.0]), np.linspace(-1, 1, 4)))
    assert (grid.shape, grid.size) == ((3, 4), 12)
    x = np.random.default_rng(0).uniform((0, -1), (2, 1), (50, 2))
    for f in (lambda x: 2.0 + x[:, 0] - 3.0 * x[:, 1], lambda x: x[:, 0] * x[:, 1]):
        np.testing.assert_allclose(grid.interpolate(f(grid.points), x), f(x), rtol=0, atol=1e-14)
    indices, weights, inside = grid.corners(x)
    assert inside.all()
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose((weights[..., None] * grid.points[indices]).sum(axis=1), x, rtol=0, atol=1e-14)


def test_states_outside_are_moved_to_the_edge():
    grid = Grid.regular((0.0,), (1.0,), (5,))
    indices, weights, inside = grid.corners(np.array([[-3.0], [1.5], [1.0]]))
    assert inside.tolist() == [False, False, True]
    assert (weights * grid.points[indices, 0]).sum(axis=1).tolist() == [0.0, 1.0, 1.0]


def test_angles_wrap():
    grid = Grid.regular((0.0, -1.0), (0.0, 1.0), (8, 3), (2 * math.pi, None))
    assert grid.axes[0][-1] == pytest.approx(2 * math.pi * 7 / 8)
    x = np.array(
        [[0.3, 0.2], [0.3 + 2 * math.pi, 0.2], [0.3 - 6 * math.pi, 0.2], [-0.1, 0.0], [2 * math.pi - 0.1, 0.0]]
    )
    values = np.cos(grid.points[:, 0]) + grid.points[:, 1]
    found = grid.interpolate(values, x)
    np.testing.assert_allclose(found[[1, 2, 4]], found[[0, 0, 3]], rtol=0, atol=1e-13)
    assert found[3] == pytest.approx(1 - 0.1 / (math.pi / 4) * (1 - math.cos(math.pi / 4)))


# -- convergence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("risk", [0.0, -0.5, 0.5])
def test_values_converge_to_the_linear_quadratic_ones(line, risk):
    """Errors fall with the square of the width, of cells and between controls: by 4 with every halving."""
    errors = []
    for n in (40, 80, 160):
        grid = Grid.regular((-4.0,), (4.0,), (2 * n + 1,))
        found = discretize(line, grid, np.linspace(-3, 3, n + 1)[:, None], noise_points=9)
        errors.append(found.at_start(found.values(math.inf, risk)) - riccati(risk))
    assert errors[0] > errors[1] > errors[2] > 0.0
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.15)
    assert errors[2] < 2e-3 * riccati(risk)


def test_lean_values_are_those_of_the_recursion(line):
    found = discretize(line, Grid.regular((-3.0,), (3.0,), (21,)), np.linspace(-2, 2, 5)[:, None])
    for weights in ((math.inf, 0.0), (2.0, 1.0), (0.0, -1.0)):
        full = solve(found.mdp, *weights, horizon=STAGES).value
        np.testing.assert_array_equal(found.values(*weights), full)


def test_swing_up_by_dynamic_programming_agrees_with_ilqg():
    """Two grids extrapolate to a global optimum that the policies of iLQG and PPI attain within 3 %."""
    plant = Pendulum(dt=0.05)
    problem = ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 80)
    values = []
    for n in (60, 120):
        grid = Grid.regular((0.0, -6.0), (0.0, 6.0), (n, n + 1), (2 * math.pi, None))
        found = discretize(problem, grid, np.linspace(-5, 5, 9)[:, None])
        V = found.values()
        values.append(found.at_start(V))
    optimum = values[1] + (values[1] - values[0]) / 3.0  # errors fall with the square of the cells' width
    for method in (ppi.ILQG(), ppi.PPI(0.1)):
        result = ppi.evaluate(problem, ppi.solve(problem, method, seed=0).policy, 1000, seed=0)
        assert result.mean == pytest.approx(optimum, rel=0.03)
    x, total = plant.hanging[None].copy(), 0.0
    for t in range(80):
        u = found.controls_at(V[t + 1], x)
        total += problem.cost.stage(x, u)[0]
        x = plant.step(x, u)
    assert plant.success(x)[0]
    assert total + problem.cost.terminal(x)[0] == pytest.approx(optimum, rel=0.03)


def test_two_goals_composed_are_the_direct_solution():
    """Upright with either sign of the angular velocity: pi and values of the composite terminal cost, exactly."""
    plant = Pendulum(dt=0.1)
    problem = ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 25)
    grid = Grid.regular((0.0, -7.0), (0.0, 7.0), (24, 25), (2 * math.pi, None))
    found = discretize(problem, grid, np.linspace(-5, 5, 5)[:, None])
    near = 20.0 * (1.0 - np.cos(found.grid.points[:, 0]))
    goals = np.stack([near + (found.grid.points[:, 1] - rate) ** 2 for rate in (-3.0, 3.0)])
    shares = [0.3, 0.7]
    mixed = compose_tables(solve_linear(found.mdp, 0.5, horizon=25, terminals=goals), shares)
    (direct,) = solve_linear(found.mdp, 0.5, horizon=25, terminals=soft_minimum(goals, shares, 0.5)[None])
    np.testing.assert_allclose(mixed.value, direct.value, rtol=1e-12)
    np.testing.assert_allclose(mixed.policy, direct.policy, rtol=0, atol=1e-12)


def test_path_integrals_meet_the_exact_table(line):
    """At four sample sizes value and first control are within their errors, which fall with the root of the size.

    Rollouts of the plant itself meet the value and the control of the continuous problem, which a fine grid has to 1e-3
    of its value: cells of 0.02 add at most 5e-3 to the variance of the noise.
    """
    weight, gains = 1.5, np.full((STAGES, 1, 1), -0.8)
    rho = ppi.LinearGaussianPolicy(np.zeros((STAGES, 1)), np.zeros((STAGES, 1)), gains, np.full_like(gains, 0.25), 1.0)
    grid = Grid.regular((-4.0,), (4.0,), (401,))
    found = discretize(line, grid, np.linspace(-4, 4, 81)[:, None], noise_points=9)
    log_rho = found.baseline(rho)
    direct = solve_linear(found.mdp, weight, log_rho, STAGES)
    state, u = 250, found.controls[:, 0]
    assert grid.points[state, 0] == pytest.approx(1.0)
    value, control = direct.value[0, state], direct.policy[0, state] @ u
    assert found.values(weight, weight, log_rho)[0, state] == pytest.approx(value, rel=1e-12)
    sizes, errors = (500, 2000, 8000, 32_000), []
    spread = math.sqrt(direct.policy[0, state] @ (u - control) ** 2)
    for samples in sizes:
        table = sample_integral(found.mdp, weight, state, 0, samples, 1, log_rho, STAGES)
        plant = ppi.path_integral(line, rho, weight, samples=samples, seed=2)
        errors.append((table.standard_error, plant.standard_error))
        assert abs(table.value - value) < 4 * table.standard_error
        assert abs(plant.value - value) < 4 * plant.standard_error + 1e-3 * value
        assert abs(table.policy @ u - control) < 4 * spread / math.sqrt(table.ess)
        assert abs(plant.control[0] - control) < 4 * plant.control_standard_error[0] + 1e-2
    slopes = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    np.testing.assert_allclose(slopes, -0.5, atol=0.1)  # the estimated errors scatter by some percent


def test_baseline_on_a_grid_is_the_clipped_policy_rounded():
    plant = Pendulum(dt=0.05)
    problem = ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 2)
    K = np.array([[[-1.0, -0.5]]] * 2)
    rho = ppi.LinearGaussianPolicy(np.tile([math.pi, 0.0], (2, 1)), np.full((2, 1), 0.3), K, np.ones((2, 1, 1)), 0.05)
    grid = Grid.regular((0.0, -1.0), (0.0, 1.0), (8, 3), (2 * math.pi, None))
    found = discretize(problem, grid, np.linspace(-5, 5, 11)[:, None])
    log_rho = found.baseline(rho)
    np.testing.assert_allclose(np.exp(log_rho).sum(axis=2), 1.0, rtol=1e-12)
    rng = np.random.default_rng(0)
    for s in (0, 7, 23):
        x = grid.points[s].copy()
        x[0] += 2 * math.pi * (x[0] - math.pi < -math.pi)
        drawn = np.clip(rho.mean(0, x)[0] + rng.standard_normal(200_000), -5, 5)
        counts = np.bincount(np.round(drawn).astype(int) + 5, minlength=11) / len(drawn)
        np.testing.assert_allclose(counts, np.exp(log_rho[0, s]), atol=5 * math.sqrt(0.25 / len(drawn)))
    still = ppi.LinearGaussianPolicy(rho.x_ref, rho.u_ref, K, np.zeros((2, 1, 1)), 0.05)
    with pytest.raises(ppi.ProblemError, match="variance 0"):
        found.baseline(still)
    with pytest.raises(ppi.ProblemError, match="no increasing values of one control"):
        discretize(problem, grid, [[1.0], [0.0]]).baseline(rho)


def test_leaving_the_grid_can_be_forbidden(line):
    grid, controls = Grid.regular((-1.0,), (1.0,), (11,)), np.linspace(-3, 3, 13)[:, None]
    free, strict = (discretize(line, grid, controls, 1, outside) for outside in ("clamp", "forbid"))
    assert free.clipped == strict.clipped > 0.0
    assert np.isinf(strict.mdp.cost).mean() == pytest.approx(strict.clipped)
    assert np.isfinite(free.mdp.cost).all()
    moved = DECAY * grid.points + PUSH * controls[:, 0]
    np.testing.assert_array_equal(np.isinf(strict.mdp.cost), np.abs(moved) > 1.0)


def test_noise_that_grows_with_the_control():
    """Means and variances of next states are those of the noise, and what interpolation adds."""

    class Jittery(Line):
        name = "jittery"
        noise = ppi.Noise([0.02**2], control=[0.5])

    problem = ppi.Problem(Jittery(), ppi.Quadratic(state=[1.0], control=[0.1]), [0.0], 2)
    grid = Grid.regular((-3.0,), (3.0,), (1201,))
    found = discretize(problem, grid, np.array([[0.0], [2.0]]), noise_points=5)
    place = grid.points[:, 0]
    P = found.mdp.dense()[600]
    for row, control in zip(P, (0.0, 2.0), strict=True):
        mean, variance = row @ place, 0.02**2 + (0.5 * PUSH * control) ** 2
        assert mean == pytest.approx(PUSH * control, abs=1e-9)
        assert row @ (place - mean) ** 2 == pytest.approx(variance, abs=0.005**2 / 4)


GRID = Grid.regular((-1.0,), (1.0,), (3,))
BAD = {
    "plane": (lambda p: discretize(p, Grid.regular((0, 0), (1, 1), (2, 2)), [[0.0]]), "the grid has 2 axes"),
    "controls": (lambda p: discretize(p, GRID, [0.0]), r"controls has shape \(1,\); expected \(any, 1\)"),
    "points": (lambda p: discretize(p, GRID, [[0.0]], 0), "noise_points is 0"),
    "outside": (lambda p: discretize(p, GRID, [[0.0]], outside="bounce"), "outside is 'bounce'"),
    "problem": (lambda p: discretize(p.plant, GRID, [[0.0]]), "expected a Problem"),
    "order": (lambda _: Grid(([1.0, 0.0],)), "axis 0 does not increase"),
    "period": (lambda _: Grid(([0.0, 7.0],), (2 * math.pi,)), "axis 0 spans 7, its period is 6.28319"),
    "size": (lambda p: discretize(p, Grid.regular((0,), (1,), (10**7,)), np.zeros((20, 1))), "1.2e"),
    "limits": (
        lambda _: discretize(
            ppi.Problem(Pendulum(), Pendulum().swing_up_cost(), np.zeros(2), 5),
            Grid.regular((0, -1), (0, 1), (4, 4), (2 * math.pi, None)),
            [[6.0]],
        ),
        "beyond the plant's limits",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_says_what_is_wrong(line, case):
    make, message = BAD[case]
    with pytest.raises(ppi.ProblemError, match=message):
        make(line)
