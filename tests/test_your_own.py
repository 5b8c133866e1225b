"""A plant, a cost and a method of one's own, of 15 lines each, in place of what the package has."""

import copy
import math
import pickle
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from mujoco_models import arm

import plants
import ppi_robotics as ppi
from ppi_robotics import discrete
from ppi_robotics.recursion import backward
from ppi_robotics.rollouts import no_limits, shooting
from ppi_robotics.steps.base import Iterate, Phase

FREE = [[-math.inf, math.inf]]
NEAR_UPRIGHT = np.array([math.pi - 0.3, 0.0])


class Swing:
    """The pendulum of `plants` in numpy, by the same Runge-Kutta steps."""

    name, nx, ndx, nu, dt = "pendulum", 2, 2, 1, 0.02
    state_names, control_names, units = ("angle", "angular velocity"), ("torque",), ("rad", "rad/s", "N m")
    noise = ppi.Noise([0.0, 0.02 * 0.05**2])

    def __init__(self, torque=math.inf, speed=math.inf):
        self.control_limits, self.state_limits = np.array([[-torque, torque]]), np.array([*FREE, [-speed, speed]])

    def rates(self, x, u):
        return np.stack([x[:, 1], 9.81 * np.sin(x[:, 0]) - 0.1 * x[:, 1] + u[:, 0]], axis=1)

    def step(self, x, u):
        a = self.rates(x, u)
        b = self.rates(x + 0.01 * a, u)
        c = self.rates(x + 0.01 * b, u)
        return x + 0.02 / 6 * (a + 2 * b + 2 * c + self.rates(x + 0.02 * c, u))


class Upright:
    """What it costs to stand elsewhere than upright."""

    def state(self, x):
        return 2 - 2 * np.cos(x[:, 0]) + 0.1 * x[:, 1] ** 2

    def stage(self, x, u):
        return self.state(x) + 0.01 * u[:, 0] ** 2

    def terminal(self, x):
        return 100 * self.state(x)


def away(x):
    """`Upright.state` in CasADi."""
    return 2 - 2 * ppi.cos(x[0]) + 0.1 * x[1] ** 2


UPRIGHT = ppi.SymbolicCost(lambda x, u: away(x) + 0.01 * u[0] ** 2, lambda x: 100 * away(x))


class Careful:
    """iLQG with heavy damping, then the averse policy of LEQG about its path."""

    name = "careful"

    def plan(self, problem):
        first = ppi.ILQG(damping=100.0).plan(problem)
        return replace(first, phases=(*first.phases, ppi.LEQG(theta=0.01).plan(problem).phases[-1]), other=None)


class Slow(plants.Pendulum):
    """The pendulum with a limit on its speed."""

    state_limits = [None, (-3.0, 3.0)]


def both(torque=None, slow=False, T=50, cov=None):
    """The same task with the compiled plant and cost, and with those of one's own."""
    compiled = (Slow if slow else plants.Pendulum)(torque_limit=torque)
    own = Swing(torque or math.inf, 3.0 if slow else math.inf)
    start = NEAR_UPRIGHT if cov is None else ppi.Gaussian(NEAR_UPRIGHT, cov * np.eye(2))
    return (
        ppi.Problem(compiled, UPRIGHT, start, T),
        ppi.Problem(own, Upright(), start, T, success=compiled.success),
    )


@pytest.fixture(scope="module")
def tasks():
    return both(cov=1e-3)


@pytest.fixture(scope="module")
def task(tasks):
    return tasks[0]


@pytest.fixture(scope="module")
def solved(tasks):
    return [ppi.solve(problem, ppi.PPI(eta=0.1)) for problem in tasks]


# -- plant and cost ----------------------------------------------------------------------------------------------------


def test_plain_objects_are_what_the_protocols_ask_for():
    for protocol, one in ((ppi.Plant, Swing()), (ppi.Cost, Upright()), (ppi.Method, Careful())):
        assert isinstance(one, protocol)


SOFT = 1e-5  # of the optimum: derivatives by differences, and tolerances of plants without second derivatives
SAME = 1e-9  # of samples that meet the same noise, where gains come from differences
METHODS = {
    "ilqg": (ppi.ILQG(), SOFT),
    "ppi": (ppi.PPI(eta=0.1), SOFT),
    "averse ppi": (ppi.PPI(eta=-0.005), SOFT),
    "posterior": (ppi.PPI(eta=0.1, baseline="posterior"), SOFT),
    "leqg": (ppi.LEQG(theta=0.01), SOFT),
    "aico": (ppi.AICO(), SOFT),
    "psi": (ppi.PsiIteration(eta=0.1), SOFT),
    "kl": (ppi.KLControl(lambda_policy=0.1, lambda_transition=0.0), SOFT),
    "mppi": (ppi.MPPI(samples=128, max_iterations=20), SAME),
    "cem": (ppi.CEM(samples=128, max_iterations=20), SAME),
    "predictive sampling": (ppi.PredictiveSampling(samples=64, max_iterations=20), SAME),
}


@pytest.mark.parametrize(("method", "tolerance"), METHODS.values(), ids=METHODS)
def test_every_method_finds_the_optimum_of_the_compiled_plant(tasks, method, tolerance):
    compiled, own = (ppi.solve(problem, method, starts=2) for problem in tasks)
    assert own.nominal_cost == pytest.approx(compiled.nominal_cost, rel=tolerance)
    assert own.status is compiled.status
    assert pytest.approx(compiled.policy.K, rel=1e-2, abs=1e-2 * np.abs(compiled.policy.K).max()) == own.policy.K


@pytest.mark.parametrize("method", [ppi.ILQG(), ppi.PPI(eta=0.1), ppi.AICO()], ids=lambda method: method.name)
@pytest.mark.parametrize("slow", [False, True], ids=["torque", "torque and speed"])
def test_limits_are_kept_at_the_optimum_of_the_compiled_plant(method, slow):
    compiled, own = (ppi.solve(problem, method, starts=2) for problem in both(8.0, slow))
    assert own.nominal_cost == pytest.approx(compiled.nominal_cost, rel=SOFT)
    assert own.status is compiled.status is ppi.Status.CONVERGED
    assert own.worst is None
    assert np.abs(own.u).max() == pytest.approx(8.0, rel=1e-3)  # limits act
    assert not slow or np.abs(own.x[:, 1]).max() == pytest.approx(3.0, rel=1e-3)


def test_second_derivatives_by_differences_lead_to_the_optimum_to_eight_digits():
    compiled, _ = both(8.0, slow=True)
    smooth = Swing(8.0, 3.0)
    smooth.second_derivatives = True
    exact = ppi.Problem(smooth, Upright(), NEAR_UPRIGHT, 50)
    method = ppi.ILQG(limits="interior_point")
    costs = [ppi.solve(problem, method, starts=2).nominal_cost for problem in (compiled, exact)]
    assert costs[1] == pytest.approx(costs[0], rel=1e-8)
    rng = np.random.default_rng(0)
    x, u, y = rng.standard_normal((7, 2)), rng.standard_normal((7, 1)), rng.standard_normal((7, 2))
    for ours, theirs in zip(exact.plant.expand(x, u, y), compiled.plant.expand(x, u, y), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("stochastic", [False, True])
def test_a_policy_costs_the_same_on_every_sample(tasks, solved, stochastic):
    compiled, own = (ppi.evaluate(p, solved[0].policy, 300, seed=4, stochastic=stochastic) for p in tasks)
    np.testing.assert_allclose(own.cost, compiled.cost, rtol=SAME)
    assert own.mean == pytest.approx(compiled.mean, rel=SAME)
    assert own.success_rate == compiled.success_rate
    assert own.replay(17).cost[0] == own.cost[17]
    np.testing.assert_allclose(own.replay(17).x, compiled.replay(17).x, rtol=0.0, atol=1e-10)


def test_policies_of_both_are_compared_on_the_same_noise(tasks, solved):
    policies = {"compiled": solved[0].policy, "own": solved[1].policy}
    comparison = ppi.compare(tasks[1], policies, 200)
    assert abs(comparison.differences["own"].mean) < 1e-8 * comparison.evaluations["compiled"].mean


def test_a_risk_weight_is_as_critical_and_a_profile_as_steep(tasks, solved):
    np.testing.assert_allclose(*[ppi.critical_theta(solution) for solution in solved], rtol=1e-6)
    profiles = []
    for problem in tasks:
        averse = {0.01: ppi.solve(problem, ppi.LEQG(theta=0.01))}
        profiles.append(ppi.risk_profile(problem, ppi.solve(problem, ppi.ILQG()), theta=averse, samples=100))
    means = [[point.evaluation.mean for point in profile.points] for profile in profiles]
    np.testing.assert_allclose(*means, rtol=SOFT)


def test_values_by_path_integrals_are_the_same(tasks, solved):
    baseline = solved[0].policy
    found = [ppi.path_integral(problem, baseline, 0.05, samples=500) for problem in tasks]
    assert found[0].value == pytest.approx(found[1].value, rel=SAME)
    np.testing.assert_allclose(found[0].control, found[1].control, rtol=1e-7)


def test_problems_of_ones_own_are_composed(tasks, solved):
    own = Upright()
    goals = [
        replace(tasks[1], cost=ppi.FunctionCost(own.stage, end)) for end in (own.terminal, lambda x: 0.0 * x[:, 0])
    ]
    mixed = ppi.compose(goals, [1.0, 1.0], weight=0.05, baseline=solved[0].policy, samples=200)
    assert np.isfinite(mixed.estimate(0, NEAR_UPRIGHT).composite.control).all()
    other = replace(tasks[1], cost=ppi.FunctionCost(lambda x, u: u[:, 0] ** 2))
    with pytest.raises(ppi.ProblemError, match="component 1 differs from component 0 in its stage cost"):
        ppi.compose([goals[0], other], [1.0, 1.0], weight=0.05, baseline=solved[0].policy)


def test_sigma_points_say_what_they_lack(tasks):
    with pytest.raises(ppi.ProblemError, match="no expressions to compile with sigma points") as caught:
        ppi.solve(tasks[1], ppi.PPI(eta=0.1, expansion=ppi.SigmaPoints("cubature")))
    assert len(str(caught.value)) <= 300


def test_a_temperature_that_is_fitted_says_what_it_lacks(tasks):
    with pytest.raises(ppi.ProblemError, match="no sum of squares; give Quadratic or LeastSquares"):
        ppi.solve(tasks[1], ppi.PPI(eta=0.1, temperature="adaptive"))


def test_episodes_in_gymnasium_are_the_same(tasks, solved):
    policy, environments = solved[0].policy, [ppi.gym.Environment(problem) for problem in tasks]
    for environment in environments:
        assert isinstance(environment, gymnasium.Env)
    returns, states = [0.0, 0.0], [environment.reset(seed=3)[0] for environment in environments]
    for t in range(50):
        for i, environment in enumerate(environments):
            states[i], reward, terminated, _, info = environment.step(policy.mean(t, states[i]))
            returns[i] += reward
            assert not terminated
    assert returns[1] == pytest.approx(returns[0], rel=SAME)
    assert info["success"]


def test_a_receding_horizon_gives_the_same_controls(tasks):
    with_compiled, with_own = (ppi.RecedingHorizon(problem, ppi.ILQG(), replan_every=5) for problem in tasks)
    x = NEAR_UPRIGHT
    for _ in range(12):
        u = with_compiled.command(x)
        # to the tolerance of a solve without second derivatives, a millionth of the cost, a root of it in the control
        np.testing.assert_allclose(with_own.command(x), u, rtol=2e-3)
        x = tasks[0].plant.step(x[None], u[None])[0]


# -- functions ---------------------------------------------------------------------------------------------------------


def slide(x, u):
    """A mass on a line, pushed for 0.1 s."""
    return np.stack([x[:, 0] + 0.1 * x[:, 1] + 0.005 * u[:, 0], x[:, 1] + 0.1 * u[:, 0]], axis=1)


def effort(x, u):
    return x[:, 0] ** 2 + 0.1 * x[:, 0] * u[:, 0] + 0.1 * u[:, 0] ** 2


def far_off(x):
    return 10.0 * (x**2).sum(axis=1)


def slider(step=slide, **options):
    return ppi.FunctionPlant(step, 0.1, ("position", "velocity"), ("force",), **options)


def sliding(step=slide, stage=effort, terminal=far_off, **options):
    return ppi.Problem(slider(step, **options), ppi.FunctionCost(stage, terminal), [1.0, 0.0], 30)


def riccati(T=30):
    """Optimal cost of `sliding` from (1, 0), and the first gain, by the textbook's recursion."""
    A, B = np.array([[1.0, 0.1], [0.0, 1.0]]), np.array([[0.005], [0.1]])
    Q, R, S, P = np.diag([1.0, 0.0]), np.array([[0.1]]), np.array([[0.05, 0.0]]), 10.0 * np.eye(2)
    for _ in range(T):
        K = -np.linalg.solve(R + B.T @ P @ B, B.T @ P @ A + S)
        P = Q + A.T @ P @ A + (A.T @ P @ B + S.T) @ K
    return P[0, 0], K


@pytest.mark.parametrize("method", [ppi.ILQG(), ppi.PPI(eta=0.0), ppi.LEQG(theta=0.0)], ids=lambda m: m.name)
def test_linear_quadratic_functions_have_riccatis_answer(method):
    cost, K = riccati()
    solution = ppi.solve(sliding(), method)
    assert solution.nominal_cost == pytest.approx(cost, rel=1e-9)
    np.testing.assert_allclose(solution.policy.K[0], K, rtol=1e-7)


def test_derivatives_of_ones_own_are_taken_and_checked():
    calls = []

    def linearize(x, u):
        calls.append(len(x))
        return np.tile([[1.0, 0.1], [0.0, 1.0]], (len(x), 1, 1)), np.tile([[0.005], [0.1]], (len(x), 1, 1))

    def quadratize(x, u):
        calls.append(len(u))
        T, zero = len(u), np.zeros(len(u))
        c = np.append(effort(x[:-1], u), far_off(x[-1:]))
        cx = np.vstack((np.stack([2 * x[:-1, 0] + 0.1 * u[:, 0], zero], 1), 20.0 * x[-1:]))
        cu = 0.1 * x[:-1, :1] + 0.2 * u
        Cxx = np.concatenate((np.tile(np.diag([2.0, 0.0]), (T, 1, 1)), 20.0 * np.eye(2)[None]))
        return c, cx, cu, Cxx, np.tile([[0.1, 0.0]], (T, 1, 1)), np.tile([[0.2]], (T, 1, 1))

    plant = slider(linearize=linearize)
    problem = ppi.Problem(plant, ppi.FunctionCost(effort, far_off, quadratize), [1.0, 0.0], 30)
    solution = ppi.solve(problem, ppi.ILQG(), starts=1)
    assert calls.count(30) >= 4
    assert solution.nominal_cost == pytest.approx(riccati()[0], rel=1e-12)
    x, u = np.ones((3, 2)), np.ones((3, 1))
    assert plant.check_derivatives(x, u) < 1e-9
    wrong = slider(linearize=lambda x, u: (linearize(x, u)[0], 2.0 * linearize(x, u)[1]))
    assert wrong.check_derivatives(x, u) == pytest.approx(0.1, rel=1e-6)
    with pytest.raises(ppi.ProblemError, match="no linearize of its own to check"):
        slider().check_derivatives(x, u)


def test_differences_know_no_units(tasks):
    """States in micro-units and controls in mega-units are the same problem."""
    x_unit, u_unit = np.array([1e-6, 1e-3]), np.array([1e6])

    class Scaled(Swing):
        noise = ppi.Noise(Swing.noise.process / np.multiply.outer(x_unit, x_unit))

        def step(self, x, u):
            return super().step(x * x_unit, u * u_unit) / x_unit

    own = Upright()
    cost = ppi.FunctionCost(lambda x, u: own.stage(x * x_unit, u * u_unit), lambda x: own.terminal(x * x_unit))
    scaled = ppi.Problem(Scaled(), cost, NEAR_UPRIGHT / x_unit, 50)
    one, other = (ppi.solve(problem, ppi.ILQG(), starts=2) for problem in (scaled, both()[1]))
    assert one.nominal_cost == pytest.approx(other.nominal_cost, rel=1e-9)
    np.testing.assert_allclose(one.policy.K * u_unit / x_unit, other.policy.K, rtol=1e-4, atol=1e-4)


def test_steps_of_differences_are_short_beside_what_a_function_does():
    """Far from the origin, over a long horizon, and with limits that are far away."""

    def bumpy(x, u):
        return np.cos(3.0 * x[:, 0]) + 0.1 * u[:, 0] ** 2

    def gusty(x, u):
        return slide(x, u) + 0.1 * np.sin(3.0 * x[:, :1])

    plant = slider(gusty, state_limits=[(-1e4, 1e4), None])
    problem = ppi.Problem(plant, ppi.FunctionCost(bumpy, hessian="exact"), [300.0, 0.0], 400)
    x = np.array([[300.2, 0.5], [300.2, 0.5]])
    (_, A, _), (_, cx, _, Cxx, _, _) = problem.cost.expand(problem.plant, x, np.zeros((1, 1)))
    assert A[0, 0, 0] == pytest.approx(1.0 + 0.3 * math.cos(900.6), rel=1e-9)
    assert cx[0, 0] == pytest.approx(-3.0 * math.sin(900.6), rel=1e-6)
    assert Cxx[0, 0, 0] == pytest.approx(-9.0 * math.cos(900.6), rel=1e-6)


def test_steps_of_differences_stay_within_the_limits():
    """A function may be undefined beyond them."""
    seen = []

    def bounded(x, u):
        seen.append((np.abs(u).max(), x[:, 1].max()))
        return slide(x, u)

    plant = slider(bounded, control_limits=[(-2.0, 2.0)], state_limits=[None, (-1.0, 1.0)])
    A, B = plant.linearize([[0.5, 1.0], [0.5, -1.0], [0.5, 0.0]], [[2.0], [-2.0], [0.0]])
    assert np.max(seen, axis=0).tolist() == [2.0, 1.0]
    np.testing.assert_allclose(B, np.tile([[0.005], [0.1]], (3, 1, 1)), rtol=1e-10)
    np.testing.assert_allclose(A, np.tile([[1.0, 0.1], [0.0, 1.0]], (3, 1, 1)), atol=1e-10)


def test_costs_that_are_not_convex_are_made_so_unless_they_are_to_stay():
    def wavy(x, u):
        return np.cos(3.0 * x[:, 0]) + u[:, 0] ** 2

    x, u = np.zeros((2, 2)), np.zeros((1, 1))
    models = [
        ppi.Problem(slider(), ppi.FunctionCost(wavy, hessian=hessian), [0.0, 1.0], 30).cost.quadratize(x, u)
        for hessian in ("project", "exact")
    ]
    assert models[1][3][0, 0, 0] == pytest.approx(-9.0, rel=1e-7)
    assert 0.0 < models[0][3][0, 0, 0] < 1e-6
    for model in models:
        np.testing.assert_allclose(model[5], [[[2.0]]], rtol=1e-9)


def turn(x, u):
    """A unit quaternion (w, x, y, z) turned by rates u [rad/s] for 0.1 s, and its norm kept."""
    half = 0.05 * u
    angle = np.linalg.norm(half, axis=1, keepdims=True)
    w, v = np.cos(angle), np.sinc(angle / np.pi) * half
    a, b = x[:, :1], x[:, 1:]
    return np.hstack((a * w - (b * v).sum(axis=1, keepdims=True), a * v + w * b + np.cross(b, v)))


@pytest.mark.parametrize("cost", ["quadratic", "functions"])
def test_states_with_quaternions_turn_the_shortest_way(cost):
    names = ("w", "x", "y", "z"), ("a", "b", "c")
    noise = [1e-4] * 3
    plant = ppi.FunctionPlant(turn, 0.1, *names, name="body", quaternions=(0,), noise=noise)
    assert (plant.nx, plant.ndx, plant.nu) == (4, 3, 3)
    if cost == "quadratic":
        weights = ppi.Quadratic([0.0] * 3, [0.1] * 3, [100.0] * 3)
    else:
        # |log q|^2 = (2 arccos w)^2 is 8 (1 - w) near the goal; both are least at the goal
        weights = ppi.FunctionCost(lambda x, u: 0.1 * (u**2).sum(axis=1), lambda x: 800.0 * (1.0 - x[:, 0]))
    start = [math.cos(0.4), math.sin(0.4), 0.0, 0.0]
    problem = ppi.Problem(plant, weights, start, 10)
    solution = ppi.solve(problem, ppi.ILQG())
    assert solution.status is ppi.Status.CONVERGED
    assert solution.policy.K.shape == (10, 3, 3)
    # constant rate -r: cost 10 * 0.1 r^2 + 100 (0.8 - r)^2 within the horizon of 1 s
    rate = 0.8 * 100.0 / 101.0 if cost == "quadratic" else None
    np.testing.assert_allclose(solution.u[:, 1:], 0.0, atol=1e-4)
    np.testing.assert_allclose(np.diff(solution.u[:, 0]), 0.0, atol=1e-4)
    if rate is not None:
        np.testing.assert_allclose(solution.u[:, 0], -rate, rtol=1e-4)
    evaluation = ppi.evaluate(problem, solution.policy, 50)
    assert np.isfinite(evaluation.cost).all()
    np.testing.assert_allclose(np.linalg.norm(ppi.rollout(problem, solution.policy, 3).x, axis=2), 1.0, rtol=1e-9)


def test_functions_serve_beside_compiled_plants_and_costs(tasks, solved):
    mixed = replace(tasks[1], cost=UPRIGHT), replace(tasks[0], cost=Upright())
    for problem in mixed:
        cost = ppi.evaluate(problem, solved[0].policy, 20, seed=4).cost
        np.testing.assert_allclose(cost, ppi.evaluate(tasks[0], solved[0].policy, 20, seed=4).cost, rtol=SAME)
        assert ppi.solve(problem, ppi.ILQG()).nominal_cost == pytest.approx(solved[0].nominal_cost, rel=SOFT)


def test_functions_price_the_simulations_of_a_mujoco_model():
    plant = arm(noise=[1e-6] * 4)
    quadratic = ppi.Quadratic([1.0] * plant.nx, [0.1] * plant.nu, [10.0] * plant.nx)
    functions = ppi.FunctionCost(
        lambda x, u: (x**2).sum(axis=1) + 0.1 * (u**2).sum(axis=1), lambda x: 10.0 * (x**2).sum(axis=1)
    )
    start = plant.state() + [0.1, 0.1, 0.0, 0.0]
    both = [ppi.Problem(plant, cost, start, 20) for cost in (quadratic, functions)]
    solutions = [ppi.solve(problem, ppi.ILQG(), starts=1) for problem in both]
    assert solutions[1].nominal_cost == pytest.approx(solutions[0].nominal_cost, rel=1e-8)
    costs = [ppi.evaluate(problem, solutions[0].policy, 8).cost for problem in both]
    np.testing.assert_allclose(*costs, rtol=SAME)


def test_a_grid_over_ones_own_plant_is_that_over_the_compiled_one(tasks):
    grid = discrete.Grid.regular([0.0, -6.0], [2.0 * math.pi, 6.0], [12, 9], [2.0 * math.pi, None])
    controls = np.linspace(-5.0, 5.0, 5)[:, None]
    problems = [ppi.Problem(one.plant, one.cost, NEAR_UPRIGHT, 20) for one in tasks]
    compiled, own = (discrete.discretize(problem, grid, controls).mdp for problem in problems)
    np.testing.assert_allclose(own.cost, compiled.cost, rtol=SAME)


def test_a_simulator_may_keep_scratch_of_its_own():
    """It returns the same array every time, and is called by one thread at a time."""
    scratch, inside = np.empty((10_000, 2)), []

    def simulate(x, u):
        assert not inside
        inside.append(True)
        scratch[: len(x)] = slide(x, u)
        inside.pop()
        return scratch[: len(x)]

    problem, plain = sliding(simulate, noise=[0.0, 1e-3]), sliding(noise=[0.0, 1e-3])
    solution = ppi.solve(problem, ppi.ILQG())
    assert solution.nominal_cost == pytest.approx(riccati()[0], rel=1e-9)
    costs = [ppi.evaluate(p, solution.policy, 2000, threads=4).cost for p in (problem, plain)]
    assert (costs[0] == costs[1]).all()


def test_functions_never_see_what_is_not_finite():
    def explosive(x, u):
        assert np.isfinite(x).all()
        assert np.isfinite(u).all()
        return np.stack([x[:, 0] ** 3 + x[:, 0] + u[:, 0], x[:, 1]], axis=1)

    def stage(x, u):
        assert np.isfinite(x).all()
        return x[:, 0] ** 2 + u[:, 0] ** 2

    problem = ppi.Problem(slider(explosive), ppi.FunctionCost(stage, far_off), [2.0, 0.0], 30)
    zeros = np.zeros((30, 1, 2))
    policy = ppi.LinearGaussianPolicy(np.zeros((30, 2)), np.zeros((30, 1)), zeros, np.zeros((30, 1, 1)), 0.1, "plant")
    evaluation = ppi.evaluate(problem, policy, 4)
    assert np.isinf(evaluation.cost).all()
    assert ppi.solve(problem, ppi.ILQG()).policy is not None


def test_what_is_made_of_functions_pickles_if_they_do():
    problem = sliding(noise=[0.0, 1e-3])
    solution = ppi.solve(problem, ppi.ILQG(), starts=1)
    for other in (pickle.loads(pickle.dumps(problem)), copy.deepcopy(problem)):
        assert ppi.solve(other, ppi.ILQG(), starts=1).nominal_cost == solution.nominal_cost
        assert (ppi.evaluate(other, solution.policy, 20).cost == ppi.evaluate(problem, solution.policy, 20).cost).all()
    with pytest.raises(ppi.PlantError, match="cannot be changed"):
        problem.plant.dt = 1.0


def test_a_plant_of_ones_own_keeps_what_else_it_has():
    plant = Swing()
    plant.length = 3.0
    problem = ppi.Problem(plant, Upright(), NEAR_UPRIGHT, 5)
    assert problem.plant.given is plant
    assert problem.plant.length == 3.0
    assert problem.starting_at(np.zeros(2)).plant.length == 3.0
    with pytest.raises(AttributeError):
        problem.plant.width  # noqa: B018


def boom(*arguments):
    raise ValueError("a\nb")


class Bare:
    """A plant that lacks units and noise."""

    name, nx, ndx, nu, dt, state_names, control_names = "bare", 1, 1, 1, 0.1, ("a",), ("b",)
    control_limits = state_limits = np.array(FREE)
    step = boom


MISTAKES = {
    "one row": (lambda: sliding(lambda x, u: np.zeros(2)), "returns shape (2,) for (3, 2) and (3, 1)"),
    "no array": (lambda: sliding(lambda x, u: None), "what step of plant 'plant' returns is None; expected an array"),
    "nan": (lambda: sliding(lambda x, u: x * np.nan), "step of the plant returns nan at the initial state [1.0, 0.0]"),
    "raises": (lambda: sliding(boom), "step of plant 'plant' raises ValueError for arrays (3, 2) and (3, 1): a b"),
    "writes": (lambda: sliding(lambda x, u: x.__iadd__(1.0)), "raises ValueError for arrays (3, 2) and (3, 1): output"),
    "one row, with derivatives": (
        lambda: ppi.Problem(slider(lambda x, u: x[0], linearize=boom), ppi.Quadratic([1, 1], [1]), [1.0, 0.0], 3),
        "returns shape (2,) for (3, 2) and (3, 1)",
    ),
    "no function": (lambda: slider(3), "step is 3; expected a function of states (N, nx) and controls (N, nu)"),
    "no names": (lambda: ppi.FunctionPlant(slide, 0.1, (), ("f",)), "needs state_names and control_names"),
    "dt": (lambda: ppi.FunctionPlant(slide, -1.0, ("a", "b"), ("f",)), "FunctionPlant.dt is -1.0"),
    "noise": (lambda: slider(noise=[1.0]), "FunctionPlant.noise: the process noise is for 1 states; the plant has 2"),
    "half a manifold": (lambda: slider(difference=np.subtract), "difference and retract belong together"),
    "linearize": (
        lambda: sliding(linearize=lambda x, u: x),
        "plant 'plant' returns [[1.0, 0.0]]; expected a pair A",
    ),
    "A": (lambda: sliding(linearize=lambda x, u: (x, u)), "returns A (1, 2) and B (1, 1); expected (1, 2, 2)"),
    "stage": (lambda: sliding(stage=lambda x, u: x), "returns shape (3, 2) for (3, 2) and (3, 1)"),
    "stage nan": (lambda: sliding(stage=lambda x, u: x[:, 0] * np.nan), "stage of the cost returns nan at the initial"),
    "terminal": (lambda: sliding(terminal=boom), "terminal of the cost raises ValueError for arrays (3, 2): a b"),
    "no stage": (lambda: ppi.FunctionCost(3), "stage is 3; expected a function"),
    "hessian": (lambda: ppi.FunctionCost(effort, hessian="none"), "hessian is 'none'; choose from project, exact"),
    "no plant": (lambda: ppi.Problem(3, ppi.FunctionCost(effort), [1.0], 3), "plant is 3; expected a plant such as"),
    "lacks": (lambda: ppi.Problem(Bare(), Upright(), [0.0], 3), "which lacks units, noise"),
    "class": (lambda: ppi.Problem(Swing, Upright(), [0.0, 0.0], 3), "expected a plant such as CartPole()"),
    "no cost": (lambda: ppi.Problem(Swing(), 3, [0.0, 0.0], 3), "cost is 3; expected Quadratic, LeastSquares"),
}


@pytest.mark.parametrize(("make", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_named_in_one_line(make, message):
    with pytest.raises(ppi.PPIError) as caught:
        make()
    text = str(caught.value)
    assert message in text
    assert "\n" not in text
    assert len(text) <= 300


def test_sizes_that_do_not_fit_the_names_are_refused():
    plant = Swing()
    plant.nx = 3
    with pytest.raises(ppi.PlantError, match="plant 'pendulum' has nx 3; expected 2"):
        ppi.Problem(plant, Upright(), NEAR_UPRIGHT, 5)


# -- method ------------------------------------------------------------------------------------------------------------


class PlainSteps(Phase):
    """Full Gauss-Newton steps along the closed loop, without damping or search."""

    def begin(self, problem, x, u):
        x, u, cost = shooting(problem, no_limits(problem.plant.nu)).rollout(x, u)
        return Iterate(x, u, np.zeros((len(u), problem.plant.noise.columns)), cost)

    def expand(self, problem, iterate):
        return self.local_model(problem, iterate), None

    def advance(self, problem, iterate, index):
        found = backward(self.expand(problem, iterate)[0], math.inf, 0.0)
        path = iterate.x, iterate.u, found.K, found.k
        line = shooting(problem, no_limits(problem.plant.nu))
        _, cost, x, u, _ = line.search(np.ones(1), math.inf, 0.0, 0.0, 0.0, *path)
        still = abs(cost - iterate.cost) < 1e-10 * cost
        return replace(
            iterate, x=x, u=u, cost=cost, completed=True, status=ppi.Status.CONVERGED if still else None
        ), None


class Plain:
    name = "plain"

    def plan(self, problem):
        return replace(ppi.ILQG().plan(problem), phases=(PlainSteps(),), other=None)


def test_a_method_of_ones_own_is_solved_by(task):
    assert isinstance(Careful(), ppi.Method)
    averse = ppi.solve(task, ppi.LEQG(theta=0.01), starts=4)
    own = ppi.solve(task, Careful(), starts=4)
    assert own.status is averse.status is ppi.Status.CONVERGED
    assert own.method.name == "careful"
    assert own.nominal_cost == pytest.approx(averse.nominal_cost, rel=1e-6)
    assert np.allclose(own.policy.K, averse.policy.K, rtol=1e-3, atol=1e-3)


def test_a_phase_of_ones_own_finds_the_optimum_that_it_starts_near(task):
    known = ppi.solve(task, ppi.ILQG())
    own = ppi.solve(task, Plain(), policy=known.policy)
    assert own.status is ppi.Status.CONVERGED
    assert own.nominal_cost == pytest.approx(known.nominal_cost, rel=1e-7)


class Named:
    """A method whose plan is what it is given."""

    name = "odd one"

    def __init__(self, plan):
        self._plan = plan

    def plan(self, problem):  # noqa: ARG002
        return self._plan


def nonsense():
    """What is no plan, and what of it the message shows."""
    plan = ppi.ILQG().plan(ppi.Problem(plants.Pendulum(), ppi.Quadratic([1, 1], [1]), [0, 0], 3))
    yield "None", None
    yield "a list", [1, 2]
    yield "phases alone", plan.phases
    yield "no phases", replace(plan, phases=())
    yield "phases that are none", replace(plan, phases=(print,))
    yield "another one that is none", replace(plan, other=3)


@pytest.mark.parametrize("plan", [pytest.param(plan, id=name) for name, plan in nonsense()])
@pytest.mark.parametrize("use", [ppi.solve, ppi.RecedingHorizon], ids=["solve", "receding horizon"])
def test_a_plan_that_is_none_is_named_in_one_line(task, use, plan):
    with pytest.raises(ppi.ProblemError, match=r"plan\(problem\) of method 'odd one' returns") as caught:
        use(task, Named(plan))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize("method", [ppi.ILQG, "ilqg", None, Named], ids=["class", "text", "None", "own class"])
def test_what_is_no_method_is_named_in_one_line(task, method):
    with pytest.raises(ppi.ProblemError, match=r"method is .* an object with `name` and `plan\(problem\)`"):
        ppi.solve(task, method)


def test_a_receding_horizon_replans_by_a_method_of_ones_own(task):
    with ppi.RecedingHorizon(task, Careful(), replan_every=5) as mpc:
        assert np.isfinite(mpc.command(task.initial.mean)).all()
