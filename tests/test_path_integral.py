"""Path integrals: exact values and controls on linear plants, errors that keep their promise, sums against formulas."""

from dataclasses import replace

import numpy as np
import pytest

import ppi_robotics as ppi
from ppi_robotics.composition import path_integrals
from ppi_robotics.linearize import taylor
from ppi_robotics.recursion import Baseline, backward
from tests.oracles import close

T, WEIGHT, FAR = 5, 0.2, 4.0  # no z-value of the few dozen below is beyond 4 but once in a thousand seeds


class Linear(ppi.SymbolicPlant):
    """A stable random linear plant with correlated noise."""

    dt = 0.1

    def __init__(self, seed, n, limit=None):
        rng = np.random.default_rng(seed)
        self.state_names, self.control_names = tuple("ab"[:n]), tuple("uv"[:n])
        self.A, self.B = 0.8 * np.linalg.qr(rng.normal(size=(n, n)))[0], rng.normal(size=(n, n))
        factor = rng.normal(size=(n, n))
        self.noise = 0.05 * factor @ factor.T + 0.05 * np.eye(n)
        self.control_limits = None if limit is None else [(-limit, limit)] * n

    def transition(self, x, u):
        n = len(self.A)
        return ppi.vertcat(*(sum(self.A[i, j] * x[j] + self.B[i, j] * u[j] for j in range(n)) for i in range(n)))


class Runaway(ppi.SymbolicPlant):
    """Escapes to infinity from outside |x| = 1 or so."""

    state_names, control_names, dt, noise = ("x",), ("u",), 0.1, (0.05,)

    def transition(self, x, u):
        return 0.5 * x + 0.5 * x * x * x + u


def make_problem(seed=0, n=2, **plant):
    cost = ppi.Quadratic(state=[1.0, 0.3][:n], control=[0.2, 0.5][:n], terminal=[2.0, 1.0][:n], goal=[0.5, -0.2][:n])
    return ppi.Problem(Linear(seed, n, **plant), cost, [0.6, -0.4][:n], T)


def make_baseline(problem, seed=0):
    """A policy with feedback, a reference, and full covariances."""
    rng, n, T = np.random.default_rng([seed, 7]), problem.plant.nx, problem.horizon
    factor = rng.normal(size=(T, n, n))
    cov = 0.2 * factor @ factor.transpose(0, 2, 1) + 0.2 * np.eye(n)
    reference, K = 0.2 * rng.normal(size=(2, T, n)), 0.2 * rng.normal(size=(T, n, n))
    return ppi.LinearGaussianPolicy(*reference, K, cov, 0.1)


def runaway(start):
    """The plant that escapes, and a baseline that lets it go."""
    problem = ppi.Problem(Runaway(), ppi.Quadratic(state=[1.0], control=[0.1], terminal=[1.0]), [start], 12)
    still = np.zeros((12, 1))
    return problem, ppi.LinearGaussianPolicy(still, still, np.zeros((12, 1, 1)), np.full((12, 1, 1), 0.05), 0.1)


def exact(problem, baseline, weight, t, x):
    """Value, first control and its covariance by the backward sweep."""
    T, n = problem.horizon, problem.plant.nx
    model = taylor(problem, np.zeros((T + 1, n)), np.zeros((T, n)))
    k = baseline.u_ref - np.einsum("tij,tj->ti", baseline.K, baseline.x_ref)
    sweep = backward(model, weight, weight, Baseline(baseline.K, k, baseline.cov))
    V = sweep.value
    return 0.5 * x @ V.P[t] @ x + V.p[t] @ x + V.p0[t], sweep.K[t] @ x + sweep.k[t], sweep.cov[t]


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("t", [0, 3])
def test_value_and_control_are_those_of_the_recursion(seed, n, t):
    problem = make_problem(seed, n)
    baseline, x = make_baseline(problem, seed), np.array([-0.3, 0.8])[:n]
    found = ppi.path_integral(problem, baseline, WEIGHT, x, t, samples=40_000, seed=seed)
    value, control, cov = exact(problem, baseline, WEIGHT, t, x)
    assert found.reliable
    assert found.ess > 2000
    assert abs(found.value - value) < FAR * found.standard_error
    assert (np.abs(found.control - control) < FAR * found.control_standard_error).all()
    close(found.cov, cov, 0.05)  # of 2000 effective samples a variance has an error of 3 %


def test_starts_from_the_mean_initial_state_without_its_spread():
    problem = make_problem()
    spread = ppi.Problem(problem.plant, problem.cost, ppi.Gaussian(problem.initial.mean, np.eye(2)), T)
    here, there = (ppi.path_integral(p, make_baseline(p), WEIGHT, samples=1000) for p in (problem, spread))
    assert here.value == there.value
    np.testing.assert_array_equal(here.state, problem.initial.mean)


def test_errors_fall_with_the_root_of_the_number_of_samples():
    problem, sizes = make_problem(1), np.array([250, 1000, 4000, 16_000])
    baseline, x = make_baseline(problem, 1), problem.initial.mean
    value, control, _ = exact(problem, baseline, WEIGHT, 0, x)
    errors = np.empty((len(sizes), 48, 3))
    for i, samples in enumerate(sizes):
        for seed in range(48):
            found = ppi.path_integral(problem, baseline, WEIGHT, samples=int(samples), seed=seed)
            errors[i, seed] = found.value - value, *(found.control - control)
    root_mean_square = np.sqrt((errors**2).mean(axis=1))
    slopes = np.polyfit(np.log(sizes), np.log(root_mean_square), 1)[0]
    assert np.abs(slopes + 0.5).max() < 0.12  # 3.5 standard errors of a slope: each point has 1 / sqrt(2 48)


def test_standard_errors_are_calibrated():
    problem, count = make_problem(2), 400
    baseline = make_baseline(problem, 2)
    value, control, _ = exact(problem, baseline, WEIGHT, 0, problem.initial.mean)
    z = np.empty((count, 3))
    for seed in range(count):
        found = ppi.path_integral(problem, baseline, WEIGHT, samples=1000, seed=seed)
        z[seed, 0] = (found.value - value) / found.standard_error
        z[seed, 1:] = (found.control - control) / found.control_standard_error
    assert np.abs((z**2).mean(axis=0) - 1.0).max() < 0.28  # 4 sqrt(2 / 400)
    assert np.abs(z.mean(axis=0)).max() < 0.2  # 4 / sqrt(400)


def test_parts_and_threads_do_not_matter(monkeypatch):
    problem = make_problem()
    baseline = make_baseline(problem)

    def found(threads=None):
        return ppi.path_integral(problem, baseline, WEIGHT, samples=3001, seed=3, threads=threads)

    whole, one = found(), found(threads=1)
    monkeypatch.setattr(path_integrals, "ROOM", 5000)
    parts = found()
    names = "value", "standard_error", "control", "control_standard_error", "cov", "ess"
    for name in names:
        np.testing.assert_array_equal(getattr(whole, name), getattr(one, name))
        close(getattr(parts, name), getattr(whole, name), 1e-12)


def test_sums_are_the_weighted_moments_of_rollouts():
    problem = make_problem()
    baseline = make_baseline(problem)
    found = ppi.path_integral(problem, baseline, WEIGHT, samples=5000, seed=4)
    runs = ppi.rollout(problem, baseline, 5000, seed=4, stochastic=True)
    w = np.exp(-WEIGHT * (runs.cost - runs.cost.min()))
    w, u = w / w.sum(), runs.u[:, 0]
    mean = w @ u
    close(found.ess, 1 / (w**2).sum())
    close(found.control, mean)
    close(found.cov, np.einsum("n,ni,nj->ij", w, u - mean, u - mean))
    close(found.control_standard_error, np.sqrt(w**2 @ (u - mean) ** 2))


@pytest.mark.parametrize("weight", [0.3, 300.0])
def test_diverged_rollouts_weigh_nothing(weight):
    problem, baseline = runaway(0.9)
    found = ppi.path_integral(problem, baseline, weight, samples=4000, seed=1)
    evaluation = ppi.evaluate(problem, baseline, samples=4000, seed=1, stochastic=True)
    assert 100 < found.diverged == evaluation.diverged < 3900
    close(found.value, evaluation.entropic(weight), 1e-12)
    close(found.standard_error, evaluation.entropic_standard_error(weight), 1e-9)
    assert f"at weight 0: {found.diverged}" in str(found)
    assert found.reliable == ("not to be trusted" not in str(found)) == (weight < 1.0)


def test_controls_are_the_clipped_ones():
    problem = make_problem(0, 1, limit=0.5)
    problem = replace(problem, horizon=1)
    baseline = ppi.LinearGaussianPolicy([[0.0]], [[0.2]], [[[0.0]]], [[[0.6]]], 0.1)
    found = ppi.path_integral(problem, baseline, 2.0, samples=40_000)
    # one stage in closed form: draws v by quadrature, the noise by the value of a quadratic in a Gaussian
    v = np.linspace(-8.0, 8.0, 200_001)
    u, (W,), plant, x = np.clip(v, -0.5, 0.5), problem.plant.noise.process[0], problem.plant, 0.6
    error = plant.A[0, 0] * x + plant.B[0, 0] * u - 0.5
    stage = (x - 0.5) ** 2 + 0.2 * u**2
    ahead = 2.0 * error**2 / (1 + 8.0 * W) + np.log(1 + 8.0 * W) / 4
    density = np.exp(-((v - 0.2) ** 2) / 1.2 - 2.0 * (stage + ahead)) / np.sqrt(1.2 * np.pi)
    z = density.sum() * (v[1] - v[0])
    assert abs(found.value + np.log(z) / 2.0) < FAR * found.standard_error
    assert abs(found.control[0] - (density @ u) / density.sum()) < FAR * found.control_standard_error[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": 0.0}, "weight is 0; expected a positive number"),
        ({"weight": -1.0}, "weight is -1"),
        ({"samples": 1}, "samples is 1; expected a whole number, at least 2"),
        ({"t": T}, f"t is {T}; expected a whole number, at least 0 and at most {T - 1}"),
        ({"x": [0.0]}, r"x has shape \(1,\); expected \(2,\)"),
        ({"threads": 0}, "threads is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"baseline": None}, "policy is None"),
        ({"problem": None}, "problem is None"),
    ],
)
def test_bad_arguments_are_refused(changes, message):
    problem = make_problem()
    arguments = {"problem": problem, "baseline": make_baseline(problem), "weight": 1.0} | changes
    with pytest.raises(ppi.ProblemError, match=message):
        ppi.path_integral(**arguments)


def test_a_baseline_without_spread_is_refused():
    problem = make_problem()
    policy = make_baseline(problem)
    with pytest.raises(ppi.ProblemError, match="no policy leaves a baseline of zero variance"):
        ppi.path_integral(problem, replace(policy, cov=0 * policy.cov), 1.0)


def test_losing_every_rollout_is_an_error():
    problem, baseline = runaway(30.0)
    with pytest.raises(ppi.ProblemError, match="all 50 rollouts diverged"):
        ppi.path_integral(problem, baseline, 1.0, samples=50)
