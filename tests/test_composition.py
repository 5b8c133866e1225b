"""Composition: mixtures against dynamic programming by quadrature, where it is exact, and where it is not."""

import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ppi_robotics as ppi
from ppi_robotics import plotting
from ppi_robotics.recursion import backward
from tests.oracles import close, dynamic_program, random_model, value_at

T, WEIGHT = 3, 0.8
GOALS, CURVATURES, SHARES = (-1.0, 0.4, 1.5), (3.0, 1.0, 5.0), (1.0, 0.3, 2.0)


class Slope(ppi.SymbolicPlant):
    """x' = x + pull sin(x) + 0.7 u + w: linear without pull."""

    state_names, control_names, dt, noise = ("x",), ("u",), 0.1, (0.05,)

    def __init__(self, pull=0.0, variance=0.05):
        self.pull, self.noise = pull, (variance,)

    def transition(self, x, u):
        return x + self.pull * ppi.sin(x) + 0.7 * u


class Plane(ppi.SymbolicPlant):
    """A point with inertia, pushed along a line."""

    state_names, control_names, dt, noise = ("place", "speed"), ("push",), 0.1, (1e-4, 0.02)

    def transition(self, x, u):
        return ppi.vertcat(x[0] + 0.1 * x[1], 0.95 * x[1] + 0.1 * u)


def toward(goal, curvature=2.0, plant=None, horizon=T, control=0.4):
    """Reach a goal: control cost along the way, squared distance at the end."""
    cost = ppi.Quadratic(state=[0.0], control=[control], terminal=[curvature], goal=[goal])
    return ppi.Problem(plant or Slope(), cost, [0.2], horizon)


def solved(problems, method=None):
    return [ppi.solve(problem, method or ppi.PPI(WEIGHT), starts=1) for problem in problems]


def components(plant=None):
    plant = plant or Slope()
    return [toward(goal, curvature, plant) for goal, curvature in zip(GOALS, CURVATURES, strict=True)]


def normal(x, mean, variance):
    return np.exp(-((x - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)


def soft_terminal(x):
    """exp(-l C_T) of the composed cost."""
    ends = [w * np.exp(-WEIGHT * c * (x - g) ** 2) for w, g, c in zip(SHARES, GOALS, CURVATURES, strict=True)]
    return np.sum(ends, axis=0)


def direct(plant, x, base):
    """z at stage 0 and state x, and pi_0(u | x) on a grid of u, by quadrature over u and w; base(u) is rho(u)."""
    grid, u, variance = np.linspace(-7.0, 7.0, 281), np.linspace(-7.0, 7.0, 281), plant.noise.process[0, 0]
    z, du, dx = soft_terminal(grid), u[1] - u[0], grid[1] - grid[0]
    for states in [grid] * (T - 1) + [np.array([x])]:
        nexts = states[:, None] + plant.pull * np.sin(states)[:, None] + 0.7 * u
        ahead = np.stack([normal(grid, mean[:, None], variance) @ z * dx for mean in nexts])
        joint = base(u) * np.exp(-WEIGHT * 0.4 * u**2) * ahead
        z = joint.sum(axis=1) * du
    return z[0], u, joint[0] / z[0]


def density(mixture, t, x, u):
    """pi_t(u | x) of a mixture of one control, at controls (N,)."""
    means = [policy.mean(t, x)[0] for policy in mixture.policies]
    parts = [normal(u, mean, policy.cov[t, 0, 0]) for mean, policy in zip(means, mixture.policies, strict=True)]
    return mixture.responsibilities(t, x) @ parts


# -- exact -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [ppi.PPI(WEIGHT), ppi.KLControl(WEIGHT, WEIGHT, "flat")])
@pytest.mark.parametrize("x", [-1.5, 0.2, 1.1])
def test_mixture_is_the_optimum_of_the_composed_problem(method, x):
    mixture = ppi.compose(solved(components(), method), SHARES)
    z, u, wanted = direct(Slope(), x, np.ones_like)  # the trapezoidal rule is exact for smooth functions that vanish
    close(mixture.value(0, [x]), -np.log(z) / WEIGHT, 1e-8)
    close(density(mixture, 0, np.array([x]), u), wanted, 1e-8)
    close(mixture.mean(0, [x])[0], wanted @ u * (u[1] - u[0]), 1e-8)


@pytest.mark.parametrize("seed", [0, 1])
def test_values_and_policies_compose_in_many_dimensions(seed):
    """Three random models that share all but the terminal cost, against the joint sums over all their forms."""
    models = [random_model(seed) for _ in range(3)]
    rng = np.random.default_rng([seed, 3])
    for model in models:
        model.cx[-1], model.c0[-1] = rng.normal(size=3), rng.normal()
        model.Cxx[-1] *= rng.uniform(0.5, 2.0)
    sweeps = [backward(model, WEIGHT, WEIGHT) for model in models]
    programs = [dynamic_program(model, WEIGHT, WEIGHT) for model in models]
    zero = np.zeros((4, 3)), np.zeros((4, 2))
    policies = tuple(ppi.LinearGaussianPolicy(zero[0], s.k, s.K, s.cov, 0.1) for s in sweeps)
    weights = np.array([0.2, 1.0, 3.0])
    mixture = ppi.MixturePolicy(policies, tuple(s.value for s in sweeps), weights, WEIGHT)
    x = rng.normal(size=(5, 3))
    for t in range(4):
        z = weights * np.exp(-WEIGHT * np.stack([value_at(p.V[t], x) for p in programs], axis=1))
        close(mixture.value(t, x), -np.log(z.sum(axis=1)) / WEIGHT, 1e-9)
        close(mixture.responsibilities(t, x), z / z.sum(axis=1, keepdims=True), 1e-9)


@pytest.mark.parametrize("transition", [WEIGHT, 0.0, 0.4, 2.0, -0.4])
def test_a_mixture_is_optimal_only_where_both_weights_are_equal(transition):
    """One stage, by hand: risk over the noise of the soft minimum of two goals, and then the soft minimum over u."""
    goals, variance, x = np.array([-1.0, 1.0]), 0.3, 0.2
    u, w = np.linspace(-8.0, 8.0, 1601), np.linspace(-4.5, 4.5, 1201)

    def entropic(cost, weight, density):
        if weight == 0.0:
            return density @ cost
        return -np.log(density @ np.exp(-weight * cost)) / weight

    def stage(terminal):
        """Q(u) and V, the latter relative to the flat baseline."""
        ahead = terminal(x + 0.7 * u + w[:, None])
        Q = 0.4 * u**2 + entropic(ahead, transition, normal(w, 0.0, variance) * (w[1] - w[0]))
        return Q, entropic(Q, WEIGHT, np.full(len(u), u[1] - u[0]))

    def squared(goal):
        return lambda end: 1.0 * (end - goal) ** 2

    def composed(end):
        return -np.log(sum(0.5 * np.exp(-WEIGHT * squared(goal)(end)) for goal in goals)) / WEIGHT

    Q, V = stage(composed)
    optimum, parts = np.exp(-WEIGHT * (Q - V)), [stage(squared(goal)) for goal in goals]
    z = np.array([0.5 * np.exp(-WEIGHT * v) for _, v in parts])
    mixed = sum(s * np.exp(-WEIGHT * (q - v)) for s, (q, v) in zip(z / z.sum(), parts, strict=True))
    gap, distance = abs(-np.log(z.sum()) / WEIGHT - V), 0.5 * np.abs(mixed - optimum).sum() * (u[1] - u[0])
    if transition == WEIGHT:
        assert max(gap, distance) < 1e-9
    else:
        assert min(gap, distance) > 0.004  # a million times the error of the quadrature
        solutions = solved([toward(goal) for goal in goals], ppi.KLControl(WEIGHT, transition, "flat"))
        with pytest.raises(ppi.ProblemError, match=f"lambda_policy 0.8 and lambda_transition {transition:g}"):
            ppi.compose(solutions, [0.5, 0.5])


# -- the policy --------------------------------------------------------------------------------------------------------


def test_far_states_keep_shares_that_sum_to_one():
    mixture = ppi.compose(solved(components()), SHARES)
    x = np.array([-1e8, -1e3, 0.0, 1e3, 1e8])[:, None]
    shares = mixture.responsibilities(1, x)
    close(shares.sum(axis=1), np.ones(5), 1e-15)
    assert np.isfinite(mixture.value(1, x)).all()
    assert np.isfinite(mixture.mean(1, x)).all()
    assert shares[0, 1] == shares[-1, 1] == 1.0  # far away the goal of the smallest curvature costs least
    assert np.ptp(shares[2]) > 0.01


def test_samples_follow_the_density():
    mixture, x = ppi.compose(solved(components()), SHARES), np.full((200_000, 1), 0.3)
    draws = mixture.sample(0, x, np.random.default_rng(0))[:, 0]
    edges = np.linspace(-3.0, 3.0, 41)
    fine = np.linspace(-3.0, 3.0, 40 * 50 + 1)
    centers = (fine[1:] + fine[:-1]) / 2
    share = density(mixture, 0, x[0], centers).reshape(40, 50).sum(axis=1) * (fine[1] - fine[0])
    counts = np.histogram(draws, edges)[0]
    z = (counts - len(x) * share) / np.sqrt(len(x) * share + 1.0)
    assert np.abs(z).max() < 4.5
    assert abs(draws.mean() - mixture.mean(0, x[0])[0]) < 4 * draws.std() / np.sqrt(len(x))


def test_one_component_is_its_own_policy_and_weight_zero_takes_no_part():
    solutions, x = solved(components()), np.array([[0.1], [-2.0]])
    alone, among = ppi.compose(solutions[1:2], [1.0]), ppi.compose(solutions, [0.0, 1.0, 0.0])
    for mixture in (alone, among):
        close(mixture.mean(1, x), solutions[1].policy.mean(1, x), 1e-14)
    close(among.responsibilities(0, x), np.array([[0.0, 1.0, 0.0]] * 2), 1e-15)
    close(alone.value(0, x), among.value(0, x), 1e-14)


def plane(goal, speed=0.0):
    cost = ppi.Quadratic(state=[0.0, 0.1], control=[0.01], terminal=[4.0, 1.0], goal=[goal, speed])
    return ppi.Problem(Plane(), cost, ppi.Gaussian(np.zeros(2), 0.01 * np.eye(2)), 20)


def test_rollouts_meet_the_same_noise_under_every_mixture():
    problems = [plane(-1.0), plane(1.0)]
    solutions = solved(problems, ppi.PPI(2.0))
    one, other = ppi.compose(solutions, [1.0, 1.0]), ppi.compose(solutions, [1.0, 9.0])

    def disturbances(mixture, samples):
        runs = mixture.rollout(problems[0], samples, seed=5)
        close(runs.cost, problems[0].cost.stages(runs.x, runs.u).sum(axis=1), 1e-12)
        moved = problems[0].plant.step(runs.x[:, :-1].reshape(-1, 2), runs.u.reshape(-1, 1))
        return runs.x[:, 0], runs.x[:, 1:] - moved.reshape(samples, 20, 2)

    start, w = disturbances(one, 2000)
    for again in (disturbances(other, 2000), disturbances(one, 50)):
        count = len(again[0])
        np.testing.assert_array_equal(again[0], start[:count])
        close(again[1], w[:count], 1e-12)
    close(np.cov(w.reshape(-1, 2).T), np.diag([1e-4, 0.02]), 1e-3)  # 3 standard errors
    close(start.var(axis=0), [0.01, 0.01], 1e-3)  # 3 standard errors


def test_final_shares_average_to_the_first_ones():
    """Without noise of the plant the shares are a martingale along rollouts of the mixture."""
    problems = components(Slope(variance=0.0))
    mixture = ppi.compose(solved(problems), SHARES)
    end = mixture.rollout(problems[0], 20_000, seed=1).x[:, -1]
    z = np.stack([w * np.exp(-WEIGHT * p.cost.terminal(end)) for w, p in zip(SHARES, problems, strict=True)], axis=1)
    shares = z / z.sum(axis=1, keepdims=True)
    error = shares.std(axis=0) / np.sqrt(len(end))
    assert (np.abs(shares.mean(axis=0) - mixture.responsibilities(0, [0.2])) < 4 * error).all()


def test_figure_shows_every_path_and_goal():
    problems = [plane(-1.0), plane(1.0)]
    mixture = ppi.compose(solved(problems, ppi.PPI(2.0)), [1.0, 3.0])
    runs, goals = mixture.rollout(problems[0], 30), [(-1.0, 0.0), (1.0, 0.0)]
    paths, shares = plotting.goals.commitment(problems[0].plant, mixture, runs, goals, t=5)
    assert len(paths.lines) == 30 + 2
    assert sum(len(dots.get_offsets()) for dots in shares.collections) == 30
    counts = [int(text.get_text().split()[2]) for text in paths.get_legend().get_texts()]
    assert abs(sum(counts) - 100) <= 1
    with pytest.raises(ppi.ProblemError, match=r"goals has shape \(1, 2\); expected \(2, 2\)"):
        plotting.goals.commitment(problems[0].plant, mixture, runs, goals[:1])
    with pytest.raises(ppi.ProblemError, match="t is 20"):
        plotting.goals.commitment(problems[0].plant, mixture, runs, goals, t=20)


def test_demo_runs(capsys, tmp_path):
    demo = Path(__file__).parent.parent / "demos" / "composition.py"
    runpy.run_path(str(demo))["main"](tmp_path / "demo", samples=1000)
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["composition.png"]
    assert "exact: value 21.087, shares [0.227 0.258 0.515]" in capsys.readouterr().out


# -- sampled -----------------------------------------------------------------------------------------------------------


def gaussian_baseline(spread=0.8):
    still = np.zeros((T, 1))
    return ppi.LinearGaussianPolicy(still, still, np.zeros((T, 1, 1)), np.full((T, 1, 1), spread**2), 0.1)


@pytest.mark.parametrize("pull", [0.0, 0.5])
@pytest.mark.parametrize("x", [-0.8, 0.2])
def test_sampled_mixture_is_the_optimum_also_of_nonlinear_problems(pull, x):
    plant = Slope(pull)
    sampled = ppi.compose(components(plant), SHARES, weight=WEIGHT, baseline=gaussian_baseline(), samples=100_000)
    found = sampled.estimate(0, [x])
    z, u, wanted = direct(plant, x, lambda u: normal(u, 0.0, 0.64))
    assert found.composite.reliable
    assert abs(found.composite.value + np.log(z) / WEIGHT) < 4 * found.composite.standard_error
    control = wanted @ u * (u[1] - u[0])
    assert abs(found.composite.control[0] - control) < 4 * found.composite.control_standard_error[0]
    # components by the same rollouts add up to the composite exactly
    parts = [w * np.exp(-WEIGHT * part.value) for w, part in zip(SHARES, found.components, strict=True)]
    close(np.sum(parts), np.exp(-WEIGHT * found.composite.value), 1e-12)
    close(found.responsibilities, parts / np.sum(parts), 1e-12)
    assert len(str(found).splitlines()) == len(str(found.composite).splitlines()) + 2 + len(SHARES)


def test_sampled_components_are_path_integrals_and_their_errors_calibrated():
    problems, x, count = components(), np.array([0.2]), 300
    alone = ppi.path_integral(problems[2], gaussian_baseline(), WEIGHT, x, 1, samples=3000, seed=2)
    among = ppi.compose(problems, SHARES, WEIGHT, gaussian_baseline(), 3000, seed=2).estimate(1, x).components[2]
    close(among.value, alone.value, 1e-12)
    close(among.standard_error, alone.standard_error, 1e-12)
    close(among.control, alone.control, 1e-12)
    # the prior N(0, s^2) and the control cost u^2 / (2 l s^2) are the same thing to the shares of linear problems
    priced = [toward(g, c, control=0.4 + 1 / (2 * WEIGHT * 0.64)) for g, c in zip(GOALS, CURVATURES, strict=True)]
    wanted, z = ppi.compose(solved(priced), SHARES).responsibilities(0, x), []
    for seed in range(count):
        found = ppi.compose(problems, SHARES, WEIGHT, gaussian_baseline(), 1000, seed=seed).estimate(0, x)
        z.append((found.responsibilities - wanted) / found.responsibilities_standard_error)
    assert np.abs(np.mean(np.square(z), axis=0) - 1.0).max() < 0.33  # 4 sqrt(2 / 300)


# -- refusals ----------------------------------------------------------------------------------------------------------


def refuse(message, *arguments, **more):
    with pytest.raises(ppi.ProblemError, match=message):
        ppi.compose(*arguments, **more)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: toward(1.0, horizon=T + 1), "component 1 has 4 stages"),
        (lambda: toward(1.0, control=0.40001), "stage cost"),
        (lambda: toward(1.0, plant=Slope(variance=0.051)), "noise"),
        (lambda: toward(1.0, plant=Slope(pull=0.001)), "dynamics"),
    ],
)
def test_solutions_that_differ_in_more_than_the_goal_are_refused(other, message):
    refuse(message, solved([toward(0.0), other()]), [1.0, 1.0])


def test_goals_that_enter_the_stage_cost_are_refused():
    refuse("stage cost", solved([plane(0.0), plane(1.0, speed=0.3)]), [1.0, 1.0])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: toward(1.0, horizon=T + 1), "differs from component 0 in its plant or horizon"),
        (lambda: toward(1.0, control=0.40001), "stage cost"),
        (lambda: toward(1.0, plant=Slope(variance=0.051)), "noise"),
        (lambda: toward(1.0, plant=Slope(pull=0.001)), "dynamics"),
    ],
)
def test_problems_that_differ_in_more_than_the_goal_are_refused(other, message):
    refuse(message, [toward(0.0), other()], [1.0, 1.0], 1.0, gaussian_baseline())


def test_solutions_without_a_common_baseline_or_weight_are_refused():
    problems = [toward(0.0), toward(1.0)]
    refuse("lambda_policy inf and lambda_transition 0", solved(problems, ppi.ILQG()), [1.0, 1.0])
    refuse("lambda_policy 0.1 and lambda_transition -0.1", solved(problems, ppi.PPI(-0.1)), [1.0, 1.0])
    refuse("baseline 'mean_only'", solved(problems, ppi.PPI(WEIGHT, "mean_only")), [1.0, 1.0])
    mixed = solved(problems[:1]) + solved(problems[1:], ppi.PPI(0.5))
    refuse("component 1 was solved with weight 0.5, component 0 with 0.8", mixed, [1.0, 1.0])


def test_nonlinear_solutions_are_sent_to_rollouts():
    plant = Slope(pull=0.5)
    solutions = solved([toward(0.0, plant=plant), toward(1.0, plant=plant)])
    refuse("For nonlinear ones, compose problems", solutions, [1.0, 1.0])


def test_solutions_with_limits_or_growing_noise_are_sent_to_rollouts():
    solution = solved([toward(0.0)])[0]
    walled = replace(solution, trace=(replace(solution.trace[-1], barrier=0.1),))  # as the interior point leaves it
    growing = replace(solution, model=replace(solution.model, E=np.ones((T, 1, 1, 2))))
    for other in (walled, growing):
        refuse("component 1 is not linear-quadratic", [solution, other], [1.0, 1.0])


def test_bad_arguments_are_refused():
    problems = [toward(0.0), toward(1.0)]
    solutions = solved(problems)
    refuse("at least one", [], [])
    refuse("at least one", None, [1.0])
    refuse("at least one", [problems[0], solutions[1]], [1.0, 1.0])
    refuse(r"weights has shape \(1,\); expected \(2,\)", solutions, [1.0])
    refuse("expected none below 0, and one above", solutions, [1.0, -1.0])
    refuse("expected none below 0, and one above", solutions, [0.0, 0.0])
    refuse("weight and baseline of their own", solutions, [1.0, 1.0], weight=1.0)
    refuse("give weight and baseline", problems, [1.0, 1.0])
    refuse("samples is 0", problems, [1.0, 1.0], 1.0, gaussian_baseline(), 0)
    refuse("weight is -1", problems, [1.0, 1.0], -1.0, gaussian_baseline())
    mixture = ppi.compose(solutions, [1.0, 1.0])
    for call, message in (
        (lambda: mixture.value(T, [0.0]), "t is 3; expected a whole number, at least 0 and at most 2"),
        (lambda: mixture.mean(0, [0.0, 1.0]), r"x has shape \(2,\); expected \(..., 1\)"),
        (lambda: mixture.rollout(problems[0], 0), "samples is 0"),
        (lambda: mixture.rollout(plane(0.0)), "made for plant 'Slope'"),
    ):
        with pytest.raises(ppi.ProblemError, match=message):
            call()
