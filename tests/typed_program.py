"""A user's program with the names of the README, which `make lint` checks strictly: never run, but for its syntax."""

from pathlib import Path

import casadi as ca
import numpy as np
from numpy.typing import NDArray

import plants
import ppi_robotics as ppi
from ppi_robotics import discrete, plotting

Floats = NDArray[np.float64]


class Slider(ppi.SymbolicPlant):
    """A mass on a rail."""

    state_names = ("position", "velocity")
    control_names = ("force",)
    units = ("m", "m/s", "N")
    dt = 0.02
    control_limits = [(-5.0, 5.0)]
    noise = ppi.Noise(process=[0.0, 1e-4], control=[0.2])

    def derivative(self, x: ca.SX, u: ca.SX) -> ca.SX:
        return ppi.vertcat(x[1], u[0] - 0.1 * ppi.sin(x[1]))


class Cart:
    """A plant in plain Python."""

    name, nx, ndx, nu, dt = "cart", 2, 2, 1, 0.05
    state_names, control_names, units = ("position", "velocity"), ("force",), ("m", "m/s", "N")
    control_limits, state_limits = np.array([[-1.0, 1.0]]), np.tile([-np.inf, np.inf], (2, 1))
    noise = ppi.Noise([0.0, 1e-4])

    def step(self, x: Floats, u: Floats) -> Floats:
        return np.stack((x[:, 0] + self.dt * x[:, 1], x[:, 1] + self.dt * u[:, 0]), axis=1)


class Cautious:
    """A method of one's own."""

    name = "cautious"

    def plan(self, problem: ppi.Problem) -> object:
        return ppi.LEQG(theta=0.1).plan(problem)


def solve_all(problem: ppi.Problem) -> dict[str, ppi.Solution]:
    methods = {
        "PPI": ppi.PPI(eta=0.1, expansion=ppi.SigmaPoints("cubature")),
        "iLQG": ppi.ILQG(limits="box", max_iterations=10),
        "LEQG": ppi.LEQG(theta=0.1),
        "AICO": ppi.AICO(),
        "KL control": ppi.KLControl(lambda_policy=1.0, lambda_transition=0.0),
        "Psi-iteration": ppi.PsiIteration(eta=1),
        "MPPI": ppi.MPPI(1024, ppi.TargetESS(20), smoothing=ppi.Splines(25), feedback="samples", noise_draws=4),
        "CEM": ppi.CEM(temperature=ppi.Elite(0.1), smoothing=ppi.Colored(1.0)),
        "predictive sampling": ppi.PredictiveSampling(samples=64, draws="sobol"),
    }
    return {name: ppi.solve(problem, method, seed=0, starts=1) for name, method in methods.items()}


def report(problem: ppi.Problem, solution: ppi.Solution) -> list[float]:
    solution.raise_for_status()
    policy = solution.policy
    policy.save(Path("policy.npz"))
    again = ppi.LinearGaussianPolicy.load("policy.npz")
    u: Floats = again.mean(0, solution.x[:1])
    feedforward: Floats = policy.u_ref + policy.K[:, :, 0] * 0.0
    result = ppi.evaluate(problem, policy, samples=1000, seed=0)
    tail: float = result.quantile(0.95) + result.cvar(0.9) + result.entropic(0.1)
    runs = ppi.rollout(problem, policy, samples=3, seed=1, stochastic=True)
    comparison = ppi.compare(problem, {"one": policy, "other": again}, samples=1000)
    difference = comparison.differences["other"]
    print(solution.explain(), result, comparison, difference.mean, [row.cost for row in solution.trace])
    spread = float(runs.cost.std() + u.max() + feedforward.sum() + runs.x[0, -1, 0])
    if solution.status is ppi.Status.CONVERGED and solution.status.solved and result.success_rate is not None:
        return [result.mean, result.standard_error, tail, result.success_rate, spread]
    return [solution.cost, solution.nominal_cost, solution.seconds, ppi.critical_theta(solution)]


def swing_up() -> None:
    plant = plants.CartPole(force_limit=10.0)
    problem = ppi.Problem(plant, cost=plant.swing_up_cost(), initial=plant.hanging, horizon=150)
    solutions = solve_all(problem)
    print(report(problem, solutions["PPI"]))
    weights = [-0.3, 0.0, 0.1]
    curve = ppi.risk_sweep(problem, ppi.PPI(eta=0.0), eta=weights, seed=0)
    print(
        ppi.risk_profile(problem, solutions["iLQG"], eta=dict(zip(weights, curve, strict=True)), samples=5_000, seed=0)
    )
    fan = plotting.sampling.fan(problem, solutions["MPPI"])
    print(len(fan), ppi.fan(problem, solutions["MPPI"], samples=100).weights.max())
    print(ppi.path_integral(problem, solutions["iLQG"].policy, weight=1.0, samples=1000, seed=0).value)


def slide() -> Floats:
    plant = Slider()
    cost = ppi.Quadratic(state=[1.0, 0.1], control=[0.01], terminal=[10.0, 1.0], goal=[1.0, 0.0])
    soft = ppi.LeastSquares(stage=lambda x, u: ppi.vertcat(x[0] - 1, 0.1 * u[0]), terminal=lambda x: x)
    rough = ppi.SymbolicCost(stage=lambda x, u: ppi.sumsqr(x) + u[0] ** 2, terminal=lambda x: ppi.dot(x, x))
    for each in (cost, soft, rough):
        ppi.Problem(plant, each, initial=ppi.Gaussian([0.0, 0.0], np.eye(2)), horizon=100)
    problem = ppi.Problem(plant, cost, initial=[0.0, 0.0], horizon=100)
    mpc = ppi.RecedingHorizon(problem, ppi.ILQG(), replan_every=2, budget_ms=20.0)
    x = problem.initial.mean
    for _ in range(10):
        x = plant.step(x[None], mpc.command(x)[None])[0]
    print(mpc.report(), "" if mpc.solution is None else mpc.solution.explain())
    return x


def push() -> float:
    cost = ppi.FunctionCost(lambda x, u: x[:, 0] ** 2 + 0.1 * u[:, 0] ** 2, terminal=lambda x: 10.0 * x[:, 0] ** 2)
    problem = ppi.Problem(Cart(), cost, initial=[1.0, 0.0], horizon=20)
    same = ppi.FunctionPlant(Cart().step, dt=0.05, state_names=("position", "velocity"), control_names=("force",))
    other = ppi.Problem(same, cost, initial=np.ones(2), horizon=20, success=lambda x: np.abs(x[:, 0]) < 0.1)
    return ppi.solve(problem, Cautious(), starts=1).cost - ppi.solve(other, ppi.CEM(64), starts=1).cost


def reach(xml: str, data: object) -> None:
    plant = ppi.MujocoPlant(xml, substeps=4, noise=ppi.Noise(process=[0, 0, 1e-5, 1e-5], control=[0.05, 0.05]))
    goal = (0.3, 0.5, 0.0)
    cost = ppi.TaskCost(
        stage=[ppi.SitePosition("tip", goal), ppi.StateDeviation(weight=(0, 0, 0.01, 0.01)), ppi.Effort(1e-3)],
        terminal=[ppi.SitePosition("tip", goal, weight=1000), ppi.JointVelocity("shoulder")],
    )
    solution = ppi.solve(ppi.Problem(plant, cost, initial=plant.state(), horizon=60), ppi.PPI(eta=0.01))
    controller = ppi.Controller(solution.policy, plant)
    print(ppi.run(controller, plant.model, data, seconds=1.2))


def tables() -> None:
    world = plants.GridWorld("rooms")
    exact = discrete.iterate(world.mdp)
    learned = discrete.learn(world.mdp, "psi", behavior="online", eta=0.5, step=2000, transitions=200_000, trials=10)
    print(exact.status.value, exact.value.max(), learned.mean[-1], learned.standard_error[-1])


if __name__ == "__main__":
    swing_up()
    slide()
    push()
    tables()
