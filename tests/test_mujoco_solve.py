"""Solving on MuJoCo plants: all methods reach one optimum, which for a pendulum is that of its own equations."""

import bodies
import numpy as np
import pytest
from oracles import close

import ppi_robotics as ppi
from ppi_robotics.mujoco.simulation import Simulations

FREE = bodies.mjcf(
    "<body name='box'><freejoint name='free'/><geom type='box' size='0.1 0.08 0.12' mass='2'/></body>",
    "".join(f"<motor joint='free' gear='{' '.join(str(int(i == j)) for j in range(6))}' LIMIT/>" for i in range(6)),
    "gravity='0 0 0'",
)
# the weights of the risk are small, and so is the noise: what they change of the optimum is below the tolerances
METHODS = {
    "iLQG": ppi.ILQG(),
    "PPI": ppi.PPI(0.01),
    "AICO": ppi.AICO(),
    "LEQG": ppi.LEQG(0.01),
    "KL": ppi.KLControl(1000.0),
    "Psi": ppi.PsiIteration(1000.0),
}
LIMITED = {
    "box": ppi.ILQG(limits="box"),
    "interior point": ppi.ILQG(limits="interior_point"),
    "PPI": ppi.PPI(0.01),
}


class Pendulum(ppi.SymbolicPlant):
    """The map that MuJoCo's Euler integrator is on `bodies.PENDULUM`: semi-implicit, without damping."""

    state_names, control_names, dt = ("swing", "swing velocity"), ("torque",), 0.01
    noise = (0.0, 1e-4)

    def transition(self, x, u):
        inertia = 0.5**2 + 0.4 * 0.05**2  # of a ball of 1 kg about the hinge
        rate = x[1] + self.dt * (u[0] - 9.81 * 0.5 * ppi.sin(x[0])) / inertia
        return ppi.vertcat(x[0] + self.dt * rate, rate)


def pendulum():
    return ppi.MujocoPlant(bodies.PENDULUM, noise=(0.0, 1e-4), name="pendulum")


def swing(plant, horizon=60):
    cost = ppi.Quadratic([0.1, 0.01], [0.01], [20.0, 2.0], [1.2, 0.0])
    return ppi.Problem(plant, cost, [0.1, 0.0], horizon)


def reach(limited):
    xml = bodies.ARM if limited else bodies.ARM.replace("ctrllimited='true'", "ctrllimited='false'")
    limits = [(-0.5, 0.5)] * 2 if limited else None
    plant = ppi.MujocoPlant(xml, substeps=4, noise=np.full(4, 1e-7), control_limits=limits, name="arm")
    rest = [ppi.JointVelocity("elbow"), ppi.JointVelocity("shoulder")]
    stage = [ppi.Effort(0.1), ppi.StateDeviation(None, 0.01)]
    cost = ppi.TaskCost(stage, [ppi.SitePosition("tip", (0.35, 0.0, -0.5), 100.0), *rest])
    return ppi.Problem(plant, cost, plant.state("bent"), 15)


def fly(limited):
    limit = "ctrllimited='true' ctrlrange='-3 3'" if limited else ""
    plant = ppi.MujocoPlant(FREE.replace("LIMIT", limit), substeps=4, noise=np.full(12, 1e-7), name="box")
    goal = plant.retract(plant.state(), np.r_[0.3, -0.2, 0.1, 0.8, -0.5, 0.4, np.zeros(6)])
    end = np.r_[np.full(6, 100.0), np.full(6, 10.0)]
    return ppi.Problem(plant, ppi.Quadratic(np.full(12, 0.1), np.full(6, 0.02), end, goal), plant.state(), 15)


def same_policies(one, other, tolerance):
    for name in ("x_ref", "u_ref", "K", "cov"):
        close(getattr(one, name), getattr(other, name), tolerance)


# -- against the pendulum's own equations ------------------------------------------------------------------------------


def test_steps_and_derivatives_of_a_pendulum_are_those_of_its_equations():
    plant, symbolic = pendulum(), Pendulum()
    x, u = bodies.pairs(plant, 20)
    close(plant.step(x, u), symbolic.step(x, u), 1e-14)
    for given, expected in zip(plant.linearize(x, u), symbolic.linearize(x, u), strict=True):
        close(given, expected, 1e-9)  # central differences of 1e-6


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_policies_for_a_pendulum_are_those_for_its_equations(method):
    by_engine, by_equations = (ppi.solve(swing(plant), method, starts=1) for plant in (pendulum(), Pendulum()))
    assert by_engine.status.solved
    assert by_equations.status.solved
    assert by_engine.nominal_cost == pytest.approx(by_equations.nominal_cost, rel=1e-8)
    same_policies(by_engine.policy, by_equations.policy, 1e-4)  # the methods' own tolerances, amplified along the path


def test_evaluations_of_a_pendulum_are_those_of_its_equations():
    problems = swing(pendulum()), swing(Pendulum())
    policy = ppi.solve(problems[1], ppi.ILQG(), starts=1).policy
    policies = [ppi.LinearGaussianPolicy(policy.x_ref, policy.u_ref, policy.K, policy.cov, 0.01) for _ in problems]
    ours, theirs = (ppi.evaluate(*pair, samples=200, seed=3) for pair in zip(problems, policies, strict=True))
    close(ours.cost, theirs.cost, 1e-10)  # sample i meets the same noise in both


# -- all methods, one optimum ------------------------------------------------------------------------------------------


def let_go(problem, method):
    """Solution from the path without controls; from where the arm is held the methods part for different optima."""
    still = np.zeros((problem.horizon, problem.plant.nu))
    return ppi.solve(problem, method, trajectory=(None, still))


@pytest.mark.parametrize("task", [reach, fly])
def test_methods_reach_one_optimum(task):
    problem = task(False)
    solutions = {name: let_go(problem, method) for name, method in METHODS.items()}
    best = solutions["iLQG"]
    for name, solution in solutions.items():
        assert solution.status.solved, f"{name}: {solution.status}"
        assert solution.nominal_cost == pytest.approx(best.nominal_cost, rel=1e-6), name
        close(solution.policy.u_ref, best.policy.u_ref, 1e-2)  # flat about the optimum
        close(solution.policy.K, best.policy.K, 1e-2)
        assert solution.policy.quaternions == problem.plant.quaternions
        assert solution.policy.K.shape == (15, problem.plant.nu, problem.plant.ndx)


@pytest.mark.parametrize("task", [reach, fly])
def test_methods_reach_one_optimum_within_limits(task):
    problem, free = task(True), let_go(task(False), ppi.ILQG())
    solutions = {name: let_go(problem, method) for name, method in LIMITED.items()}
    low, high = problem.plant.control_limits.T
    for name, solution in solutions.items():
        u = ppi.rollout(ppi.Problem(problem.plant, problem.cost, problem.initial.mean, 15), solution.policy).u
        assert solution.status.solved, f"{name}: {solution.status}"
        assert solution.nominal_cost == pytest.approx(solutions["box"].nominal_cost, rel=1e-5), name
        assert (u >= low).all()
        assert (u <= high).all()
    box = solutions["box"].policy.u_ref
    assert ((box == low) | (box == high)).any()
    assert solutions["box"].nominal_cost > free.nominal_cost * (1 + 1e-4)


def test_exact_hessians_are_refused():
    with pytest.raises(ppi.ProblemError, match="has no second derivatives; choose 'auto'"):
        ppi.solve(swing(pendulum()), ppi.ILQG(hessian="exact"))


def test_gains_of_the_last_step_save_a_set_of_derivatives(monkeypatch):
    """They are those about the path before, which the last step hardly moves once the solve has converged."""
    calls, plain = [], Simulations.linearize

    def counted(self, *args, **kwargs):
        calls.append(1)
        return plain(self, *args, **kwargs)

    plant = ppi.MujocoPlant(bodies.ARM, substeps=2)
    cost = ppi.Quadratic(np.array([1.0, 1.0, 0.1, 0.1]), np.array([0.1, 0.1]), np.full(4, 10.0), [0.5, 0.5, 0.0, 0.0])
    problem = ppi.Problem(plant, cost, plant.state(), 20)
    settled = ppi.solve(problem, ppi.ILQG(), starts=1)
    monkeypatch.setattr(Simulations, "linearize", counted)
    counts, policies = [], []
    for fresh in (True, False):
        calls.clear()
        method = ppi.ILQG(max_iterations=1, damping=0.0, fresh_gains=fresh)
        policies.append(ppi.solve(problem, method, starts=1, policy=settled.policy).policy)
        counts.append(len(calls))
    assert counts == [2, 1]
    np.testing.assert_allclose(policies[1].K, policies[0].K, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(policies[1].u_ref, policies[0].u_ref, rtol=1e-9, atol=1e-9)
