"""The loop: arguments, warm starts, statuses, callback, determinism; and reductions on linear-quadratic problems."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg

import ppi_robotics as ppi
from plants import CartPole, Pendulum


class Slider(ppi.SymbolicPlant):
    """A mass on a line with noise on its velocity."""

    state_names, control_names, dt = ("position", "velocity"), ("force",), 0.1
    noise = (0.0, 0.01)

    def transition(self, x, u):
        return ppi.vertcat(x[0] + self.dt * x[1], x[1] + self.dt * u[0])


T = 30
Q, R, QT = np.diag([1.0, 0.1]), np.array([[0.1]]), np.diag([10.0, 1.0])


@pytest.fixture(scope="module")
def problem():
    return ppi.Problem(Slider(), ppi.Quadratic(Q, R, QT), np.array([1.0, 0.0]), T)


def riccati(theta=0.0):
    """Gains (T, 1, 2) and cost matrix at stage 0 of the risk-sensitive regulator, cost x'Px (no 1/2)."""
    A, B = np.array([[1.0, 0.1], [0.0, 1.0]]), np.array([[0.0], [0.1]])
    W, P, gains = np.diag([0.0, 0.01]), QT, []
    for _ in range(T):
        P = np.linalg.solve(np.eye(2) - 2 * theta * P @ W, P)
        K = -np.linalg.solve(R + B.T @ P @ B, B.T @ P @ A)
        P = Q + A.T @ P @ A + A.T @ P @ B @ K
        gains.append(K)
    return np.array(gains[::-1]), P


@pytest.mark.parametrize(
    ("method", "theta"),
    [
        (ppi.ILQG(), 0.0),
        (ppi.LEQG(0.3), 0.3),
        (ppi.LEQG(-0.3), -0.3),
        (ppi.PPI(0.3), -0.3),
        (ppi.PPI(-0.3), 0.3),
        (ppi.PPI(0), 0.0),
    ],
)
def test_linear_quadratic_gains_are_riccatis(problem, method, theta):
    solution = ppi.solve(problem, method)
    gains, P = riccati(theta)
    assert solution.status is ppi.Status.CONVERGED
    np.testing.assert_allclose(solution.policy.K, gains, atol=1e-9)
    if theta == 0.0:
        assert solution.nominal_cost == pytest.approx(P[0, 0], rel=1e-8)


def test_infinite_horizon_gain_is_approached(problem):
    long = ppi.Problem(problem.plant, ppi.Quadratic(Q, R, QT), problem.initial, 400)
    A, B = np.array([[1.0, 0.1], [0.0, 1.0]]), np.array([[0.0], [0.1]])
    P = scipy.linalg.solve_discrete_are(A, B, Q, R)
    K = -np.linalg.solve(R + B.T @ P @ B, B.T @ P @ A)
    np.testing.assert_allclose(ppi.solve(long, ppi.ILQG(), starts=1).policy.K[0], K, atol=1e-9)


def test_same_seed_gives_the_same_bits():
    plant = CartPole()
    swing = ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 150)
    first, second = (ppi.solve(swing, ppi.PPI(0.1), seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.policy.K, second.policy.K)
    np.testing.assert_array_equal(first.x, second.x)


def test_belief_without_risk_is_the_closed_loop_covariance(problem):
    solution = ppi.solve(problem, ppi.ILQG())
    rollouts = ppi.rollout(problem, solution.policy, samples=4000, seed=3)
    sampled = rollouts.x[:, -1].var(axis=0)
    np.testing.assert_allclose(np.diag(solution.belief.cov[-1]), sampled, rtol=4 * np.sqrt(2 / 4000))


def test_policy_and_trajectory_warm_starts_take_few_iterations():
    plant = CartPole()
    swing = ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 150)
    cold = ppi.solve(swing, ppi.PPI(0.1))
    for warm in ({"policy": cold.policy}, {"trajectory": (cold.x, cold.u)}, {"trajectory": (None, cold.u)}):
        again = ppi.solve(swing, ppi.PPI(0.12), **warm)
        assert again.status is ppi.Status.CONVERGED
        assert again.iterations <= 10
        assert len(again.starts) == 1


def test_infeasible_interpolation_is_a_legal_start():
    plant = CartPole()
    swing = ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 150)
    line = np.linspace(plant.hanging, plant.upright, 151), np.zeros((150, 1))
    assert ppi.solve(swing, ppi.PPI(0.01), trajectory=line).cost == pytest.approx(264.50, abs=0.006)


def test_all_starts_are_reported_and_the_best_is_returned():
    plant = Pendulum(torque_limit=3.0)
    swing = ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 250)
    solution = ppi.solve(swing, ppi.ILQG(), seed=1, starts=4)
    assert [start.index for start in solution.starts] == [0, 1, 2, 3]
    assert solution.nominal_cost <= min(start.nominal_cost for start in solution.starts) * (1 + 1e-6)


def test_callback_sees_every_iteration_and_can_stop():
    plant = CartPole()
    swing = ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 150)
    rows = []
    solution = ppi.solve(swing, ppi.PPI(0.1), callback=lambda row: rows.append(row) or len(rows) == 5)
    assert solution.status is ppi.Status.INTERRUPTED
    assert [row.index for row in rows] == [1, 2, 3, 4, 5]
    assert solution.trace == tuple(rows)
    with pytest.raises(ppi.SolveError, match="interrupted"):
        solution.raise_for_status()


def test_iteration_limit_is_a_status():
    plant = CartPole()
    swing = ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 150)
    solution = ppi.solve(swing, ppi.ILQG(max_iterations=3), starts=1)
    assert solution.status is ppi.Status.MAX_ITERATIONS
    assert np.isfinite(solution.policy.K).all()


class Runaway(ppi.SymbolicPlant):
    """A state that leaves the number range from any start but 0, whatever the control does."""

    state_names, control_names, dt = ("size",), ("push",), 1.0

    def transition(self, x, u):
        return ppi.vertcat(1e3 * x[0] ** 3)


@pytest.mark.parametrize("method", [ppi.PPI(0.1), ppi.ILQG(), ppi.LEQG(0.1)])
def test_divergence_is_a_status_with_a_finite_policy(method):
    runaway = ppi.Problem(Runaway(), ppi.Quadratic([1.0], [1.0], [1.0]), [2.0], 50)
    solution = ppi.solve(runaway, method, starts=2)
    assert not solution.status.solved
    assert np.isfinite(solution.policy.K).all()
    with pytest.raises(ppi.SolveError):
        solution.raise_for_status()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: ppi.solve("cartpole", ppi.ILQG()), "problem is 'cartpole'"),
        (lambda p: ppi.solve(p, "ilqg"), "choose from PPI, ILQG, LEQG"),
        (lambda p: ppi.solve(p, ppi.ILQG(), starts=0), "starts is 0"),
        (lambda p: ppi.solve(p, ppi.ILQG(), seed=-1), "seed is -1"),
        (lambda p: ppi.solve(p, ppi.ILQG(), policy=3), "policy is 3"),
        (lambda p: ppi.solve(p, ppi.ILQG(), trajectory=np.zeros(3)), "pair"),
        (
            lambda p: ppi.solve(p, ppi.ILQG(), trajectory=(None, np.zeros((3, 1)))),
            "trajectory controls has shape (3, 1)",
        ),
        (lambda p: ppi.PPI(eta=float("nan")), "eta is nan"),
        (lambda p: ppi.PPI(eta="0.1"), "eta is '0.1'"),
        (lambda p: ppi.LEQG(theta=float("inf")), "theta is inf"),
        (lambda p: ppi.ILQG(hessian="newton"), "choose from auto, gauss_newton, exact"),
        (lambda p: ppi.ILQG(limits="clip"), "choose from auto, interior_point, box"),
        (lambda p: ppi.ILQG(max_iterations=0), "max_iterations is 0"),
        (lambda p: ppi.ILQG(tolerance=0.0), "tolerance is 0.0"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(problem, make, message):
    with pytest.raises(ppi.ProblemError) as caught:
        make(problem)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cost", [np.nan, np.inf, -np.inf])
def test_nothing_is_solved_at_a_cost_that_is_not_finite(problem, cost):
    """Whatever led there, the solution says that it diverged."""
    solution = ppi.solve(problem, ppi.ILQG(), starts=1)
    assert solution.status.solved
    for name in ("cost", "nominal_cost"):
        lost = replace(solution, **{name: cost})
        assert lost.status is ppi.Status.DIVERGED
        with pytest.raises(ppi.SolveError):
            lost.raise_for_status()
        assert replace(solution.starts[0], **{name: cost}).status is ppi.Status.DIVERGED
    assert replace(solution, status=ppi.Status.MAX_ITERATIONS, cost=cost).status is ppi.Status.MAX_ITERATIONS


@pytest.mark.parametrize("order", [2, 3])
def test_sigma_points_of_singular_noise_cost_what_derivatives_do(problem, order):
    """On affine dynamics with a quadratic cost both models are the same, so the objectives are, too."""
    expected = ppi.solve(problem, ppi.PPI(0.1), starts=1)
    for _ in range(3):
        solution = ppi.solve(problem, ppi.PPI(0.1, expansion=ppi.SigmaPoints("gauss_hermite", order=order)), starts=1)
        assert solution.status is ppi.Status.CONVERGED
        assert solution.cost == pytest.approx(expected.cost, rel=1e-8)
