"""MPPI and its kin against exact integrals over control sequences, plain loops, and what must not matter."""

import dataclasses

import bodies
import mujoco
import numpy as np
import pytest
from oracles import Joint, close, entropic, tilt

import ppi_robotics as ppi
from plants import CartPole, mujoco_bodies
from ppi_robotics import parallel
from ppi_robotics.kernels.lanes import normals
from ppi_robotics.linearize import taylor
from ppi_robotics.recursion import Baseline, backward
from ppi_robotics.sampling import proposal as proposals
from ppi_robotics.sampling.rounds import SamplingSteps

T, START, SPREAD = 4, np.array([1.0, -1.0]), np.array([0.6, 0.4])
WEIGHTS, GOAL = ((1.0, 0.5), (0.1, 0.2), (2.0, 1.0)), (0.5, -0.3)
TEMPERATURE = 2.0
LAMBDA = 1.0 / TEMPERATURE
A, B, D = np.array([[0.9, 0.2], [-0.1, 0.8]]), np.array([[0.3, 0.0], [0.1, 0.4]]), np.array([0.1, -0.05])
NOISE = np.array([0.2, 0.1])  # variances a stage
PROCESS = np.uint64(0)  # random stream
ELSEWHERE = np.tile([0.25, -0.2], (T, 1))
OF_U = np.arange(3, 3 + 4 * T).reshape(T, 4)[:, :2].ravel()  # entries of a `Joint` that the controls are made of


class Linear(ppi.SymbolicPlant):
    """Two coupled states, two controls, and noise on both states."""

    state_names, control_names, dt = ("a", "b"), ("u", "v"), 0.1

    def __init__(self, limits=None):
        self.noise, self.control_limits = NOISE, limits

    def transition(self, x, u):
        return ppi.vertcat(
            0.9 * x[0] + 0.2 * x[1] + 0.3 * u[0] + 0.1, -0.1 * x[0] + 0.8 * x[1] + 0.1 * u[0] + 0.4 * u[1] - 0.05
        )


def problem_of(initial=START, limits=None):
    return ppi.Problem(Linear(limits), ppi.Quadratic(*WEIGHTS, GOAL), initial, T)


PROBLEM = problem_of()


def spied(rule):
    """A rule that keeps what it is given and what it answers, as (costs, log_ratio, weighting) of every round."""
    seen = []

    class Spy(type(rule)):
        def weights(self, costs, log_ratio):
            seen.append((costs, log_ratio, super().weights(costs, log_ratio)))
            return seen[-1][2]

    return Spy(*dataclasses.astuple(rule)), seen


def rounds(problem, controls, seed=0, count=1, kind=ppi.MPPI, **options):
    """Solution after some rounds from given controls, and what the rule of the temperature saw."""
    rule, seen = spied(options.pop("temperature", ppi.Fixed(TEMPERATURE)))
    options = {"spread": tuple(SPREAD), "feedback": "none", **options}
    method = kind(temperature=rule, max_iterations=count, **options)
    return ppi.solve(problem, method, seed, trajectory=(None, controls)), seen


def linear_model(problem):
    """The problem about the origin, which is all of it, and the baseline of zero controls."""
    model = taylor(problem, np.zeros((T + 1, 2)), np.zeros((T, 2)))
    return model, Baseline(np.zeros((T, 2, 2)), np.zeros((T, 2)), np.tile(np.diag(SPREAD**2), (T, 1, 1)))


def sequences(problem, lambda_policy, lambda_transition, noisy=True, factor=None):
    """Free energy, and posterior mean (T, 2) of the controls, of open-loop sequences from zero controls.

    -(1/lP) log E_u exp(-lP R(u)) with R(u) = R_lS[C(u, w)] over the noise of the whole trajectory; `factor` L ties the
    stages of u together.
    """
    model, baseline = linear_model(problem)
    if not noisy:
        model = dataclasses.replace(model, G=0 * model.G)
    joint = Joint(model, baseline).started(problem.initial.mean, problem.initial.cov)
    chance = np.setdiff1d(np.arange(3 + 4 * T), np.r_[0, OF_U])
    order = np.r_[0, OF_U, chance]
    F = entropic(joint.cost[np.ix_(order, order)], 2 * T + 2, lambda_transition)
    act = np.eye(1 + 2 * T)
    if factor is not None:
        act[1:, 1:] = np.kron(factor, np.eye(2))
    L, _ = tilt(act.T @ F @ act, 2 * T, lambda_policy)
    mean = np.vstack(joint.u)[:, OF_U] @ act[1:, 1:] @ L[:, 0]
    return 0.5 * entropic(act.T @ F @ act, 2 * T, lambda_policy)[0, 0], mean.reshape(T, 2)


def agrees(samples, exact, biases=0.0):
    """Assert that independent estimates (seeds, ...) have the exact mean, to four standard errors."""
    samples = np.asarray(samples)
    error = np.abs(samples.mean(axis=0) - exact)
    assert (error <= 4.0 * samples.std(axis=0, ddof=1) / np.sqrt(len(samples)) + biases).all()


def slope(sizes, estimates, exact):
    """Exponent of the root-mean-square error of estimates (sizes, seeds, ...) in the number of samples."""
    error = np.asarray(estimates) - exact
    rms = np.sqrt((error.reshape(len(sizes), -1) ** 2).mean(axis=1))
    return np.polyfit(np.log(sizes), np.log(rms), 1)[0]


# -- exact answers of linear-quadratic problems ------------------------------------------------------------------------


def test_the_oracle_of_sequences_is_the_sweep_where_both_apply():
    """Without noise, and with it for equal weights, nothing is to be gained from feedback on the free energy."""
    model, baseline = linear_model(PROBLEM)
    for weight, noisy in ((0.0, False), (LAMBDA, True)):
        used = model if noisy else dataclasses.replace(model, G=0 * model.G)
        value = backward(used, LAMBDA, weight, baseline).value
        expected = 0.5 * START @ value.P[0] @ START + value.p[0] @ START + value.p0[0]
        close(sequences(PROBLEM, LAMBDA, weight, noisy)[0], expected, 1e-12)


# With 40 seeds the logarithm of an rms error of one number has a standard error of 1 / sqrt(80), which over these sizes
# makes one of 0.036 for the slope.
SIZES, SEEDS, RATE = (250, 1000, 4000, 16000), range(40), pytest.approx(-0.5, abs=0.12)


@pytest.mark.parametrize("noise_draws", [0, 1])
def test_mean_and_free_energy_converge_at_the_rate_of_monte_carlo(noise_draws):
    """Without noise; and with one draw of it, where the risk weight is that of the policy."""
    weight = LAMBDA * noise_draws
    exact, mean = sequences(PROBLEM, LAMBDA, weight, noise_draws > 0)
    energy, controls = [], []
    for samples in SIZES:
        options = {"samples": samples, "baseline": "fixed", "noise_draws": noise_draws}
        found = [rounds(PROBLEM, np.zeros((T, 2)), seed, **options) for seed in SEEDS]
        energy.append([seen[0][2].free_energy for _, seen in found])
        controls.append([solution.u for solution, _ in found])
    assert slope(SIZES, energy, exact) == RATE
    assert slope(SIZES, controls, mean) == RATE
    agrees(energy[-1], exact)
    agrees(controls[-1], mean)


def test_gains_from_samples_converge_to_those_of_the_sweep():
    """Shrinkage and ridge of the regression fall with the inverse of the samples, faster than the error."""
    problem, sizes = problem_of(ppi.Gaussian(START, 0.2 * np.eye(2))), (500, 2000, 8000, 32000)
    model, baseline = linear_model(problem)
    sweep = backward(model, LAMBDA, LAMBDA, baseline)
    options = {"baseline": "fixed", "noise_draws": 1, "feedback": "samples"}
    found = [[rounds(problem, np.zeros((T, 2)), s, samples=n, **options)[0] for s in range(12)] for n in sizes]
    assert not any(solution.samples.kept.any() for row in found for solution in row)
    assert slope(sizes, [[solution.policy.K for solution in row] for row in found], sweep.K) == RATE
    assert slope(sizes, [[solution.policy.cov for solution in row] for row in found], sweep.cov) == RATE
    close(np.mean([solution.policy.K for solution in found[-1]], axis=0), sweep.K, 0.01)


def test_gains_of_correlated_samples_are_those_of_the_joint_posterior():
    """Controls that hang together over time tell of costs already paid: u_t given x_t by all of the costs."""
    problem, smoothing = problem_of(ppi.Gaussian(START, 0.2 * np.eye(2))), ppi.AR1(0.8)
    model, baseline = linear_model(problem)
    joint = Joint(model, baseline).started(problem.initial.mean, problem.initial.cov)
    act = np.eye(1 + joint.n)
    act[np.ix_(OF_U, OF_U)] = np.kron(smoothing.factor(T, 0.1), np.eye(2))
    _, S = tilt(act.T @ joint.cost @ act, joint.n, LAMBDA)
    expected = []
    for x, u in zip(joint.x[:-1], joint.u, strict=True):
        x, u = (x @ act)[:, 1:], (u @ act)[:, 1:]
        expected.append(u @ S @ x.T @ np.linalg.inv(x @ S @ x.T))
    for how in ("fixed", "moving"):  # from zero controls one round of both is the same
        options = {"baseline": how, "noise_draws": 1, "feedback": "samples", "samples": 20_000, "smoothing": smoothing}
        found = [rounds(problem, np.zeros((T, 2)), seed, **options)[0].policy.K for seed in range(8)]
        agrees(found, np.array(expected), 0.003)  # shrinkage and ridge


def test_a_round_about_the_mean_is_a_levenberg_marquardt_step():
    """argmin S(v) + (temperature / 2) |v - u|^2 in units of the spread, and a fixed point at the optimum alone."""
    model, baseline = linear_model(PROBLEM)
    joint = Joint(dataclasses.replace(model, G=0 * model.G), dataclasses.replace(baseline, k=ELSEWHERE))
    F, h = joint.cost, np.r_[1.0, START]
    e = -np.linalg.solve(F[np.ix_(OF_U, OF_U)] + TEMPERATURE * np.eye(2 * T), F[OF_U, :3] @ h)
    expected = ELSEWHERE + (np.vstack(joint.u)[:, OF_U] @ e).reshape(T, 2)
    agrees([rounds(PROBLEM, ELSEWHERE, seed, samples=4000)[0].u for seed in range(24)], expected)


# -- what the free energy does not depend on ---------------------------------------------------------------------------


def feedback_policy(problem):
    rng = np.random.default_rng(3)
    x_ref, K = START + 0.2 * rng.normal(size=(T, 2)), 0.2 * rng.normal(size=(T, 2, 2))
    return ppi.LinearGaussianPolicy(x_ref, 0.1 * rng.normal(size=(T, 2)), K, np.zeros((T, 2, 2)), problem.plant.dt)


PROPOSALS = {
    "about the baseline": {},
    "elsewhere": {"controls": ELSEWHERE},
    "antithetic": {"controls": ELSEWHERE, "draws": "antithetic"},
    "sobol": {"controls": ELSEWHERE, "draws": "sobol", "samples": 1000},
    "with gains": {"proposal": feedback_policy(PROBLEM)},
    "correlated": {"controls": ELSEWHERE, "smoothing": ppi.AR1(0.7)},
}


@pytest.mark.parametrize("noise_draws", [0, 1])
@pytest.mark.parametrize("name", PROPOSALS)
def test_free_energy_and_mean_do_not_depend_on_the_proposal(name, noise_draws):
    options = {"samples": 2000, "controls": np.zeros((T, 2)), **PROPOSALS[name]}
    smoothing = options.get("smoothing", ppi.White())
    exact, mean = sequences(PROBLEM, LAMBDA, LAMBDA * noise_draws, noise_draws > 0, smoothing.factor(T, 0.1))
    found = [rounds(PROBLEM, seed=s, baseline="fixed", noise_draws=noise_draws, **options) for s in range(24)]
    agrees([seen[0][2].free_energy for _, seen in found], exact)
    if "proposal" not in options:  # whose mean is a push, to which its feedback adds
        agrees([solution.u for solution, _ in found], mean)


# -- risk --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("noise_draws", "weight"), [(1, 0.0), (4, 0.0), (64, 0.0), (200, -0.05), (200, 0.7)])
def test_draws_of_the_noise_and_the_weight_of_transitions(noise_draws, weight):
    """The mean of M costs enters as if lS were lP / M: E exp(-lP mean C) = (E exp(-(lP / M) C))^M.

    For other weights the same holds to first order, lS = weight + (lP - weight) / M.
    """
    effective = weight + (LAMBDA - weight) / noise_draws
    exact, mean = sequences(PROBLEM, LAMBDA, effective)
    bias = (0.03, 0.003) if weight else (0.0, 0.0)  # of second order; the energy is 0.2 or more from that of weight 0
    options = {"samples": 1000, "baseline": "fixed", "noise_draws": noise_draws, "lambda_transition": weight}
    found = [rounds(PROBLEM, np.zeros((T, 2)), seed, **options) for seed in range(16)]
    agrees([seen[0][2].free_energy for _, seen in found], exact, bias[0])
    agrees([solution.u for solution, _ in found], mean, bias[1])
    if weight:
        assert abs(exact - sequences(PROBLEM, LAMBDA, 0.0)[0]) > 0.2
    if noise_draws == 1:
        close(exact, sequences(PROBLEM, LAMBDA, LAMBDA)[0], 1e-14)
        assert abs(exact - sequences(PROBLEM, LAMBDA, 0.0)[0]) > 0.1  # luck passes for merit


# -- weights and draws inside the rounds -------------------------------------------------------------------------------


def test_effective_samples_fall_with_the_inverse_temperature():
    ess = [
        rounds(PROBLEM, ELSEWHERE, samples=500, temperature=ppi.Fixed(temperature))[0].trace[0].ess
        for temperature in np.geomspace(100.0, 0.01, 15)
    ]
    assert (np.diff(ess) < 0).all()
    assert ess[0] > 450
    assert ess[-1] < 5


def test_rules_attain_their_targets_inside_the_rounds():
    _, seen = rounds(PROBLEM, ELSEWHERE, samples=500, temperature=ppi.REPS(0.7), count=3)
    for _, _, weighting in seen:
        assert weighting.weights @ np.log(500 * weighting.weights) == pytest.approx(0.7, rel=1e-9)
    solution, _ = rounds(PROBLEM, ELSEWHERE, samples=500, temperature=ppi.TargetESS(40), count=3)
    assert [row.ess for row in solution.trace] == pytest.approx([40.0] * 3, rel=1e-9)


def test_sampled_controls_have_the_correlation_and_variance_of_their_smoothing():
    options = {"samples": 20_000, "smoothing": ppi.AR1(0.7), "feedback": "samples"}
    u = rounds(PROBLEM, ELSEWHERE, **options)[0].samples.u
    z = (u - ELSEWHERE) / SPREAD
    assert z.mean(axis=0) == pytest.approx(0.0, abs=4 / np.sqrt(20_000))
    assert (z**2).mean(axis=0) == pytest.approx(1.0, abs=4 * np.sqrt(2 / 20_000))
    lagged = (z[:, 1:] * z[:, :-1]).mean(axis=0)
    assert lagged == pytest.approx(0.7, abs=4 * np.sqrt(1.49 / 20_000))  # E e^2 f^2 - c^2 = 1 + c^2
    assert (z[..., 0] * z[..., 1]).mean(axis=0) == pytest.approx(0.0, abs=4 / np.sqrt(20_000))


# -- samples that fail -------------------------------------------------------------------------------------------------


class Rooted(ppi.SymbolicPlant):
    """A state that is no number once it falls below the push."""

    state_names, control_names, dt = ("level",), ("flow",), 0.1

    def transition(self, x, u):
        return ppi.sqrt(x[0] + u[0])


def tube(width, start=1.0):
    """A cost of which the logarithm is no number further than `width` from 1."""

    def wall(x):
        return (x[0] - 1.0) ** 2 - 0.001 * ppi.log(width - (x[0] - 1.0) ** 2)

    return ppi.Problem(Rooted(), ppi.SymbolicCost(lambda x, u: wall(x) + 0.1 * u[0] ** 2, wall), [start], T)


def plain_tube(width, controls):
    x, cost = 1.0, 0.0
    with np.errstate(invalid="ignore"):
        for u in [*controls[:, 0], None]:
            cost += (x - 1.0) ** 2 - 0.001 * np.log(width - (x - 1.0) ** 2)
            if u is not None:
                cost, x = cost + 0.1 * u**2, np.sqrt(x + u)
    return cost


STILL = np.zeros((T, 1))
GAINS = ppi.LinearGaussianPolicy(np.ones((T, 1)), STILL, np.full((T, 1, 1), -0.2), np.zeros((T, 1, 1)), 0.1)


@pytest.mark.parametrize("feedback", ["none", "samples"])
def test_samples_that_fail_change_nothing_but_themselves(feedback):
    options = {"baseline": "fixed", "samples": 200, "spread": 0.8, "feedback": feedback}
    solution, seen = rounds(tube(0.5), STILL, **options)
    push = proposals.latents("normal", 200, run_seed(), 0, np.full((T, 1), 0.8))
    costs = np.array([plain_tube(0.5, u) for u in push])
    good = np.isfinite(costs)
    assert 5 < good.sum() < 150
    assert (np.isfinite(seen[0][0]) == good).all()
    weights = np.exp(-LAMBDA * costs[good])
    close(seen[0][2].weights[good], weights / weights.sum(), 1e-12)
    assert not seen[0][2].weights[~good].any()
    if feedback == "none":  # else the regression says where the policy stands
        close(solution.policy.u_ref, np.einsum("n,nti->ti", weights / weights.sum(), push[good]), 1e-12)
    assert np.isfinite(solution.policy.u_ref).all()
    close(solution.trace[0].ess, weights.sum() ** 2 / (weights**2).sum(), 1e-12)


@pytest.mark.parametrize("options", [{"baseline": "fixed"}, {"baseline": "fixed", "feedback": "samples"}], ids=str)
def test_samples_that_fail_do_not_hurt_the_ratios_of_others(options):
    solution, seen = rounds(tube(0.5), STILL, samples=200, spread=0.8, proposal=GAINS, **options)
    costs, ratio, weighting = seen[0]
    assert 5 < np.isfinite(costs).sum() < 150
    assert weighting.weights.sum() == pytest.approx(1.0)
    assert np.isfinite(solution.policy.K).all()
    assert solution.nominal_cost < np.inf
    assert (ratio[np.isfinite(costs)] != 0.0).all()


@pytest.mark.parametrize("options", [{"feedback": "sweep"}, {"feedback": "samples"}, {"baseline": "fixed"}], ids=str)
@pytest.mark.parametrize(
    ("width", "start", "rule"),
    [
        (1e-14, 1.0, ppi.Fixed(1.0)),  # all but the guess fail
        (1e-14, 1.0, ppi.TargetESS(0.1)),
        (0.5, 3.0, ppi.Fixed(1.0)),  # and the guess
        (0.5, 3.0, ppi.TargetESS(0.1)),
        (0.5, 3.0, ppi.Elite(3)),
    ],
)
def test_without_a_finite_cost_the_guess_stays_without_feedback(width, start, rule, options):
    solution, seen = rounds(tube(width, start), STILL, count=5, samples=50, spread=0.8, temperature=rule, **options)
    assert solution.status is ppi.Status.NO_SAMPLES
    assert len(seen) == 1
    assert seen[0][2].valid == 0
    close(solution.policy.u_ref, STILL, 0.0)
    assert not solution.policy.K.any()
    assert solution.trace[0].ess == 0.0
    assert "no sampled rollout has a finite cost" in solution.explain()
    with pytest.raises(ppi.SolveError, match="no sampled rollout"):
        solution.raise_for_status()


def test_rounds_go_on_from_a_guess_that_costs_infinity():
    guess, options = np.r_[2.0, np.zeros(T - 1)][:, None], {"samples": 500, "temperature": ppi.TargetESS(0.05)}
    solution, _ = rounds(tube(0.5), guess, spread=1.0, count=30, **options)
    assert solution.nominal_cost < 0.02


def test_a_replan_without_samples_is_refused_and_the_last_policy_goes_on():
    still = ppi.LinearGaussianPolicy(np.ones((T, 1)), STILL, np.zeros((T, 1, 1)), np.zeros((T, 1, 1)), 0.1)
    method = ppi.MPPI(samples=200, temperature=1.0, spread=2.0, max_iterations=3)
    mpc, x = ppi.RecedingHorizon(tube(0.5), method, policy=still), np.ones(1)
    mpc.command(x)
    planned = mpc.policy
    assert planned.K.any()
    mpc.retarget(tube(1e-4))
    u = mpc.command(x)
    report = mpc.report()
    assert report.failures == 1
    assert "no sampled rollout has a finite cost" in report.message
    assert mpc.policy is planned
    close(u, planned.mean(1, x), 0.0)


def run_seed(seed=0, start=0):
    """Seed of a start of a solve."""
    return int(np.random.SeedSequence([seed, start]).generate_state(1, np.uint64)[0])


# -- the same numbers --------------------------------------------------------------------------------------------------

NOISY = {"noise_draws": 3, "baseline": "fixed", "feedback": "samples", "count": 2}


def numbers(seed=0, samples=500, **options):
    solution, seen = rounds(PROBLEM, ELSEWHERE, seed, samples=samples, **{**NOISY, **options})
    return seen[0][0], seen[1][0], solution.policy.u_ref, solution.policy.K


@pytest.mark.parametrize("draws", ["normal", "antithetic", "sobol"])
def test_numbers_do_not_depend_on_processors_but_on_the_seed(draws, monkeypatch):
    first = numbers(draws=draws)
    for count in (1, 3, 7):
        for module in (parallel, proposals):
            monkeypatch.setattr(module, "processors", lambda count=count: count)
        for actual, expected in zip(numbers(draws=draws), first, strict=True):
            close(actual, expected, 0.0)
    for actual, expected in zip(numbers(seed=1, draws=draws), first, strict=True):
        assert (actual != expected).any()


def test_a_sample_is_the_same_among_fewer_or_more():
    few, many = numbers(samples=101)[0], numbers(samples=500)[0]
    close(few, many[:101], 0.0)


def test_antithetic_samples_are_pairs_of_opposite_signs():
    push = proposals.latents("antithetic", 7, 3, 0, np.tile(SPREAD, (T, 1)))
    close(push[4:], -push[:3], 0.0)
    close(push[:4], proposals.latents("normal", 4, 3, 0, np.tile(SPREAD, (T, 1))), 0.0)


def test_rounds_draw_anew():
    first, second = numbers(count=2, baseline="moving")[:2]
    assert not np.isin(first, second).any()


# -- plain loops -------------------------------------------------------------------------------------------------------

LIMITS = np.array([[-0.5, 0.4], [-0.3, 0.6]])


def noise_of(seed, sample):
    z = np.empty((T, 2))
    for t in range(T):
        lanes = np.empty((2, 1))
        normals(np.uint64(seed), PROCESS, sample, t, lanes)
        z[t] = lanes[:, 0]
    return z


def plain_cost(x, controls, noise):
    stage, effort, last = (np.array(w) for w in WEIGHTS)
    total = 0.0
    for u, w in zip(controls, noise, strict=True):
        u = np.clip(u, *LIMITS.T)
        total += np.sum(stage * (x - GOAL) ** 2) + np.sum(effort * u**2)
        x = A @ x + B @ u + D + np.sqrt(NOISE) * w
    return total + np.sum(last * (x - GOAL) ** 2)


def plain_rounds(mean, samples, noise_draws, follow, weight, count):
    """Rounds of MPPI as they are usually written; returns the mean of every round, and the costs of its samples."""
    seed, means, costs = run_seed(), [], []
    for index in range(count):
        first = index * samples
        push = proposals.latents("normal", samples, seed, first, np.tile(SPREAD, (T, 1)))
        cost = np.empty(samples)
        for n in range(samples):
            numbered = range((first + n) * noise_draws, (first + n + 1) * noise_draws)
            noises = [noise_of(seed, i) for i in numbered] or [np.zeros((T, 2))]
            each = np.array([plain_cost(START, mean + push[n], noise) for noise in noises])
            cost[n] = each.mean() if weight == 0.0 else -np.log(np.mean(np.exp(-weight * each))) / weight
        baseline = push + (1.0 - follow) * mean  # deviations from its mean
        log_w = -LAMBDA * cost - 0.5 * ((baseline / SPREAD) ** 2 - (push / SPREAD) ** 2).sum(axis=(1, 2))
        w = np.exp(log_w - log_w.max())
        mean = np.clip(mean + np.einsum("n,nti->ti", w / w.sum(), push), *LIMITS.T)
        means.append(mean)
        costs.append(cost)
    return means, costs


@pytest.mark.parametrize(
    ("noise_draws", "baseline", "weight"), [(0, "fixed", 0.0), (1, "moving", 0.0), (2, 0.3, 0.0), (3, "moving", -0.1)]
)
def test_rounds_are_those_of_a_plain_loop_with_limits(noise_draws, baseline, weight):
    options = {"samples": 40, "noise_draws": noise_draws, "baseline": baseline, "lambda_transition": weight, "count": 3}
    solution, seen = rounds(problem_of(limits=LIMITS), np.clip(2 * ELSEWHERE, *LIMITS.T), **options)
    start = np.clip(2 * ELSEWHERE, *LIMITS.T)
    means, costs = plain_rounds(
        start, 40, noise_draws, {"fixed": 0.0, "moving": 1.0}.get(baseline, baseline), weight, 3
    )
    assert (np.isclose(means, LIMITS[:, 0]) | np.isclose(means, LIMITS[:, 1])).any()
    close([found[0] for found in seen], costs, 1e-12)
    close(solution.policy.u_ref, means[-1], 1e-11)
    nominal = [plain_cost(START, mean, np.zeros((T, 2))) for mean in means]
    close([row.cost for row in solution.trace], nominal, 1e-11)


def test_the_baseline_is_about_the_control_within_limits_that_is_nearest_to_zero():
    limits = np.array([[0.2, 1.0], [-1.0, -0.1]])
    _, seen = rounds(problem_of(limits=limits), np.tile([0.2, -0.1], (T, 1)), samples=20, baseline="fixed")
    assert not seen[0][1].any()  # ratios of the baseline to itself


def test_a_round_on_a_body_is_that_of_a_plain_loop_of_mj_step():
    plant, horizon = mujoco_bodies.plant("cartpole"), 6
    start, spread = plant.state() + np.array([0.1, 2.9, -0.2, 0.3]), 0.6
    weights = np.array([1.0, 2.0, 0.1, 0.2]), np.array([0.05]), np.array([5.0, 5.0, 1.0, 1.0])
    problem = ppi.Problem(plant, ppi.Quadratic(*weights), start, horizon)
    guess = np.linspace(-0.5, 0.5, horizon)[:, None]
    solution, seen = rounds(problem, guess, samples=24, spread=spread, baseline="fixed")
    push = proposals.latents("normal", 24, run_seed(), 0, np.full((horizon, 1), spread))
    costs, goal = np.zeros(24), plant.state()
    low, high = plant.control_limits.T
    for n in range(24):
        data = mujoco.MjData(plant.model)
        bodies.set_state(data, start, np.zeros(1))
        x = start
        for t in range(horizon):
            u = np.clip(guess[t] + push[n, t], low, high)
            costs[n] += weights[0] @ bodies.apart(plant.model, x, goal) ** 2 + weights[1] @ u**2
            data.ctrl = u
            for _ in range(plant.substeps):
                mujoco.mj_step(plant.model, data)
            x = np.r_[data.qpos, data.qvel, data.act]
        costs[n] += weights[2] @ bodies.apart(plant.model, x, goal) ** 2
    close(seen[0][0], costs, 1e-11)
    log_w = -LAMBDA * costs - (guess * (guess + push) / spread**2).sum(axis=(1, 2))
    w = np.exp(log_w - log_w.max())
    close(solution.policy.u_ref, np.clip(guess + np.einsum("n,nti->ti", w / w.sum(), push), low, high), 1e-11)


@pytest.mark.parametrize("body", [False, True], ids=["symbolic", "body"])
def test_draws_of_a_sequence_are_rollouts_of_consecutive_numbers(body):
    """Also more of them than a body runs at a time."""
    problem = PROBLEM
    if body:
        plant = mujoco_bodies.plant("cartpole", noise=0.3)
        start = ppi.Gaussian(plant.state(), 0.01 * np.eye(4))
        problem = ppi.Problem(plant, ppi.Quadratic(np.ones(4), [0.1]), start, T)
    plant, draws = problem.plant, 20
    nu, ndx = plant.nu, plant.ndx
    _, seen = rounds(problem, np.zeros((T, nu)), samples=5, spread=0.5, noise_draws=draws, lambda_transition=-0.1)
    push = proposals.latents("normal", 5, run_seed(), 0, np.full((T, nu), 0.5))
    for n in range(5):
        K, cov = np.zeros((T, nu, ndx)), np.zeros((T, nu, nu))
        policy = ppi.LinearGaussianPolicy(np.tile(problem.initial.mean, (T, 1)), push[n], K, cov, plant.dt)
        cost = ppi.rollout(problem, policy, draws, run_seed(), first=n * draws).cost
        assert cost.std() > 0.0
        close(seen[0][0][n], np.log(np.mean(np.exp(0.1 * cost))) / 0.1, 1e-12)


def test_ratios_along_gains_on_quaternions_have_the_mean_1():
    """A baseline that follows most of the way bounds the ratios: their mean has a standard error to speak of."""
    bare = ppi.MujocoPlant(bodies.MODELS["ball"])
    plant = ppi.MujocoPlant(bodies.MODELS["ball"], noise=np.full(bare.ndx, 1e-4))
    problem = ppi.Problem(plant, ppi.Quadratic(np.ones(plant.ndx), np.ones(plant.nu)), plant.state(), T)
    options = {"proposal": bodies.policy(plant, T), "noise_draws": 1, "baseline": 0.7}
    found = [rounds(problem, np.zeros((T, 4)), s, samples=200, spread=0.5, **options)[1] for s in range(12)]
    agrees([np.exp(seen[0][1]).mean() for seen in found], 1.0)


# -- covariances -------------------------------------------------------------------------------------------------------


def one_step(**options):
    """The proposal before and after a round, its draws, and the weights."""
    rule, seen = spied(options.pop("temperature", ppi.Fixed(TEMPERATURE)))
    method = ppi.MPPI(temperature=rule, spread=tuple(SPREAD), feedback="none", samples=300, **options)
    steps = SamplingSteps(method, 5)
    begun = steps.begin(PROBLEM, np.zeros((T + 1, 2)), ELSEWHERE)
    ended, _ = steps.advance(PROBLEM, begun, 1)
    before = begun.proposal
    draws = before.sample("normal", 300, 5, 0)
    if method.draws_mean:
        draws.push[0] = 0.0
    return before, ended.proposal, draws.push, seen[0][2].weights


def test_standard_deviations_go_half_way_to_those_of_the_elites():
    before, after, push, weights = one_step(temperature=ppi.Elite(20), covariance="diagonal")
    elites = push[weights > 0]
    assert len(elites) == 20
    close(after.scale**2, 0.5 * elites.var(axis=0) + 0.5 * before.scale**2, 1e-12)
    close(after.u_ref, ELSEWHERE + elites.mean(axis=0), 1e-12)


@pytest.mark.parametrize("smoothing", [ppi.White(), ppi.AR1(0.6), ppi.Splines(3, degree=1)], ids=repr)
def test_the_covariance_over_time_goes_half_way_to_the_projection_of_the_weighted_samples(smoothing):
    """sum w (U - M) diag(Sigma)^-1 (U - M)' / nu, the likeliest covariance over the stages for the given controls'."""
    before, after, push, weights = one_step(covariance="time", smoothing=smoothing)
    M = np.einsum("n,nti->ti", weights, push)
    expected = sum(w * (U - M) @ np.diag(SPREAD**-2) @ (U - M).T for w, U in zip(weights, push, strict=True)) / 2
    close(after.correlation, 0.5 * (before.correlation + expected), 3e-6)  # a millionth of the first one stays
    close(after.u_ref, before.u_ref + M, 1e-12)
    assert after.sample("normal", 10, 0, 0).push.shape == (10, T, 2)


# -- bad arguments -----------------------------------------------------------------------------------------------------

POLICY = feedback_policy(PROBLEM)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 1}, "samples is 1; expected a whole number, at least 2"),
        ({"samples": 10.0}, "samples is 10.0"),
        ({"temperature": 0.0}, "temperature is 0.0; expected a positive"),
        ({"temperature": -1}, "temperature is -1; expected a positive"),
        ({"temperature": np.nan}, "temperature"),
        ({"temperature": "hot"}, "temperature is 'hot'; expected a positive number or Fixed, TargetESS"),
        ({"temperature": True}, "temperature is True"),
        ({"smoothing": "ar1"}, "smoothing is 'ar1'; choose from White, AR1"),
        ({"spread": 0.0}, "spread is 0.0; expected a positive"),
        ({"spread": (1.0, -1.0)}, "spread is"),
        ({"spread": np.ones((2, 2))}, "spread is"),
        ({"spread": ()}, "spread is"),
        ({"spread": "wide"}, "spread"),
        ({"baseline": "flat"}, "baseline is 'flat'; choose from fixed, moving"),
        ({"baseline": 1.5}, "baseline is 1.5; expected"),
        ({"baseline": None}, "baseline is None"),
        ({"noise_draws": -1}, "noise_draws is -1"),
        ({"noise_draws": 1, "lambda_transition": 0.1}, "noise_draws 1; risk over the noise takes two draws or more"),
        ({"lambda_transition": np.inf}, "lambda_transition is inf"),
        ({"draws": "halton"}, "draws is 'halton'; choose from normal, antithetic, sobol"),
        ({"feedback": True}, "feedback is True; choose from sweep, samples, none"),
        ({"covariance": "full"}, "covariance is 'full'; choose from fixed, diagonal, time"),
        ({"proposal": ELSEWHERE}, "proposal is of type ndarray; expected a LinearGaussianPolicy"),
        ({"baseline": "fixed", "covariance": "time"}, "covariance is 'time' and the baseline stays"),
        ({"baseline": "fixed", "proposal": POLICY, "smoothing": ppi.AR1(0.5)}, "a proposal with gains take W"),
        ({"baseline": 0.5, "proposal": POLICY, "noise_draws": 2}, "with one draw of the noise at most"),
        ({"max_iterations": 0}, "max_iterations is 0"),
        ({"tolerance": 0.0}, "tolerance is 0.0"),
    ],
)
def test_bad_settings_are_refused_in_one_line(options, message):
    with pytest.raises(ppi.ProblemError, match=message) as error:
        ppi.MPPI(**options)
    assert "\n" not in str(error.value)


OTHER = ppi.LinearGaussianPolicy(np.ones((T, 1)), STILL, np.zeros((T, 1, 1)), np.zeros((T, 1, 1)), 0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spread": (1.0, 1.0, 1.0)}, "spread has 3 entries; the plant has 2 controls"),
        ({"proposal": OTHER}, "polic"),
        ({"smoothing": ppi.Splines(10)}, "knots is 10 for a horizon of 4 stages"),
    ],
)
def test_settings_that_do_not_fit_the_problem_are_refused_before_any_work(options, message):
    with pytest.raises(ppi.ProblemError, match=message) as error:
        ppi.solve(PROBLEM, ppi.MPPI(**options))
    assert "\n" not in str(error.value)


def test_more_numbers_than_sobol_points_have_are_refused():
    problem = ppi.Problem(Linear(), ppi.Quadratic(*WEIGHTS), START, 10_601)
    with pytest.raises(ppi.ProblemError, match="at most 21201 numbers a sample; these have 21202"):
        ppi.solve(problem, ppi.MPPI(draws="sobol"))
    ppi.MPPI(draws="sobol", smoothing=ppi.Splines(10)).plan(problem)


# -- renewal of the gains ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def swing_up():
    plant = CartPole(force_limit=10.0)
    return ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 40)


def test_gains_are_renewed_every_so_many_rounds(swing_up):
    options = {"samples": 64, "temperature": ppi.TargetESS(10), "spread": 3.0}
    for count, renewed in ((9, False), (10, True), (14, True)):
        solution = ppi.solve(swing_up, ppi.MPPI(**options, max_iterations=count), seed=1, starts=1)
        assert solution.proposal.K.any() == renewed
    never = ppi.solve(swing_up, ppi.MPPI(**options, renewal=0, max_iterations=14), seed=1, starts=1)
    assert [row.cost for row in solution.trace[:10]] == [row.cost for row in never.trace[:10]]
    assert solution.trace[11].cost != never.trace[11].cost
    assert not never.proposal.K.any()


def test_renewals_that_gain_nothing_sample_less_far_and_end_the_search(swing_up):
    method = ppi.MPPI(64, ppi.TargetESS(10), 3.0, max_iterations=1000)
    solution = ppi.solve(swing_up, method, starts=1)
    assert solution.status is ppi.Status.CONVERGED
    assert solution.iterations % 10 == 0
    assert solution.proposal.scale.max() <= 3.0 / 2**3
    # no optimum is below that of the derivatives' methods here
    optimum = ppi.solve(swing_up, ppi.ILQG())
    assert optimum.nominal_cost * (1 - 1e-6) < solution.nominal_cost < 1.1 * optimum.nominal_cost
