"""Damping of single shooting: sums of squares are never called indefinite, and replans keep the damping."""

from dataclasses import replace

import numpy as np
import pytest
from bodies import PENDULUM

import ppi_robotics as ppi
from ppi_robotics import recursion
from ppi_robotics.linearize import taylor
from ppi_robotics.mpc.replanning import damping_after
from ppi_robotics.recursion import backward

T = 8


class Steep(ppi.SymbolicPlant):
    """A linear map that grows 3,000-fold a stage, whose values ahead rounding makes indefinite."""

    state_names, control_names, dt = tuple("abcd"), ("u", "v"), 1.0
    rng = np.random.default_rng(1)
    A, B = rng.normal(size=(4, 4)), np.random.default_rng(101).normal(size=(4, 2))
    A = A * 3000.0 / np.abs(np.linalg.eigvals(A)).max()

    def transition(self, x, u):
        rows = zip(self.A, self.B, strict=True)
        return ppi.vertcat(*(sum(a * x[j] for j, a in enumerate(A)) + B[0] * u[0] + B[1] * u[1] for A, B in rows))


@pytest.fixture(scope="module")
def problem():
    return ppi.Problem(Steep(), ppi.Quadratic(np.zeros(4), [1e-9, 1e-9], np.ones(4)), 1e-6 * np.ones(4), T)


def test_a_sum_of_squares_is_not_indefinite_where_rounding_makes_it_so(problem, monkeypatch):
    model = taylor(problem, np.zeros((T + 1, 4)), np.zeros((T, 2)))
    assert np.linalg.eigvalsh(model.Cxx).min() >= 0.0
    assert np.linalg.eigvalsh(model.Cuu).min() > 0.0
    assert backward(model).breakdown is None
    monkeypatch.setattr(recursion, "sweep_squares", lambda *_: None)
    assert backward(model).breakdown.kind == "indefinite"


@pytest.mark.parametrize("fresh", [True, False])
def test_one_iteration_on_a_sum_of_squares_leads_to_a_policy(problem, fresh):
    still = None, np.zeros((T, 2))
    x = [problem.initial.mean]
    for _ in range(T):
        x.append(problem.plant.A @ x[-1])
    method = ppi.ILQG(max_iterations=1, damping=0.0, fresh_gains=fresh)
    solution = ppi.solve(problem, method, trajectory=still)
    assert solution.status is ppi.Status.MAX_ITERATIONS
    assert solution.breakdown is None
    assert solution.trace[0].step > 0
    assert np.isfinite(solution.policy.K).all()
    assert np.abs(solution.policy.K).max() > 0
    assert solution.nominal_cost < problem.cost.trajectory(np.array(x), still[1])


def test_replans_of_one_iteration_do_not_fail_and_keep_their_damping(problem):
    mpc = ppi.RecedingHorizon(problem, ppi.ILQG(max_iterations=1, damping=0.0), first=ppi.ILQG(max_iterations=3))
    damping = []
    for k in range(6):
        before = mpc.solution
        mpc.command(1e-6 * np.random.default_rng(k).normal(size=4))
        if before is not None:
            assert mpc.solution.method.damping == damping_after(before)
            damping.append(mpc.solution.method.damping)
    report = mpc.report()
    assert (report.replans, report.failures) == (5, 0), report.message
    assert max(damping) > 0.0


def test_damping_goes_on_where_a_solve_left_it():
    """Raised by 1.6 where no step was accepted, lowered by it else, and none after convergence or another method."""
    plant = ppi.MujocoPlant(PENDULUM)
    problem = ppi.Problem(plant, ppi.Quadratic([1.0, 0.1], [0.1]), [2.0, 0.0], 10)
    solution = ppi.solve(problem, ppi.ILQG(max_iterations=1), starts=1)
    row = solution.trace[-1]
    assert row.step > 0
    assert damping_after(solution) == row.damping / 1.6
    refused = replace(solution, trace=(replace(row, step=0.0),))
    assert damping_after(refused) == 1.6 * row.damping
    assert damping_after(replace(refused, trace=(replace(row, step=0.0, damping=0.0),))) == 1e-6
    assert damping_after(replace(refused, status=ppi.Status.CONVERGED)) == 0.0
    assert damping_after(ppi.solve(problem, ppi.MPPI(16, max_iterations=2))) == 0.0
