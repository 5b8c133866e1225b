"""Closed-loop rollouts against plain loops with the same noise, and what holds for indices, threads and chunks."""

import functools
import gc
import math
import threading
import weakref

import numpy as np
import pytest
from oracles import close, integrate

import ppi_robotics as ppi
from ppi_robotics import rollouts
from ppi_robotics.gaussian import covariance_factor
from ppi_robotics.kernels.lanes import normals
from ppi_robotics.parallel import in_threads
from ppi_robotics.rollouts import no_limits, nominal_rollout, shooting

T = 12
PROCESS, INITIAL, CONTROL = 0, 1, 2  # streams
START = ppi.Gaussian([2.0, -0.5], [[0.3, 0.1], [0.1, 0.2]])


class Free(ppi.SymbolicPlant):
    """A pendulum with two motors, the second geared by its rate, and noise on both states."""

    state_names, control_names, dt = ("angle", "rate"), ("torque", "brake"), 0.05
    noise = ((0.02, 0.005), (0.005, 0.01))

    def derivative(self, x, u):
        return ppi.vertcat(x[1], u[0] - u[1] * x[1] - 9.81 * ppi.sin(x[0]))


class Limited(Free):
    """The same with weak motors."""

    control_limits = ((-0.8, 0.6), (-0.3, 0.5))


class Calm(Free):
    """The same without noise."""

    noise = None


def derivative(x, u):
    return np.array([x[1], u[0] - u[1] * x[1] - 9.81 * math.sin(x[0])])


def residual(x, u):
    return ppi.vertcat(ppi.sin(x[0]), 1.0 - ppi.cos(x[0]), 0.3 * x[1], 0.1 * u[0], 0.2 * u[1])


COST = ppi.LeastSquares(residual, lambda x: ppi.vertcat(x[0], 0.5 * x[1]))
LIMITS = np.array(Limited.control_limits)
COV = np.array([[0.3, 0.1], [0.1, 0.2]])


def stage_cost(x, u):
    return math.sin(x[0]) ** 2 + (1 - math.cos(x[0])) ** 2 + 0.09 * x[1] ** 2 + 0.01 * u[0] ** 2 + 0.04 * u[1] ** 2


def end_cost(x):
    return x[0] ** 2 + 0.25 * x[1] ** 2


def problem(plant=None, initial=START):
    return ppi.Problem(plant or Limited(), COST, initial, T)


def policy(cov=COV):
    rng = np.random.default_rng(0)
    x_ref, u_ref, K = rng.normal(size=(T, 2)), 0.5 * rng.normal(size=(T, 2)), 0.5 * rng.normal(size=(T, 2, 2))
    return ppi.LinearGaussianPolicy(x_ref, u_ref, K, np.tile(cov, (T, 1, 1)), dt=0.05)


def open_loop(u, K=0.0):
    """A policy about the origin with constant controls and gains."""
    return ppi.LinearGaussianPolicy(
        np.zeros((T, 2)), np.full((T, 2), u), np.full((T, 2, 2), K), np.zeros((T, 2, 2)), dt=0.05
    )


def factor(cov):
    """The symmetric factor that drawn controls use: eigenvectors times roots of eigenvalues."""
    eigenvalues, vectors = np.linalg.eigh(cov)
    return vectors * np.sqrt(eigenvalues)


def noise_of(seed, stream, sample, draw, rows):
    z = np.empty((rows, 1))
    normals(np.uint64(seed), np.uint64(stream), sample, draw, z)
    return z[:, 0]


def loop(problem, policy, seed, sample, stochastic=False):
    """One closed-loop trajectory in plain Python."""
    plant, cost = problem.plant, 0.0
    x, u, lowest, highest = problem.initial.mean, None, *plant.control_limits.T
    spread, G = covariance_factor(problem.initial.cov), plant.noise.factor
    if spread.shape[1]:
        x = x + spread @ noise_of(seed, INITIAL, sample, 0, spread.shape[1])
    xs, us = [x], []
    for t in range(T):
        u = policy.mean(t, x)
        if stochastic:
            u = u + factor(policy.cov[t]) @ noise_of(seed, CONTROL, sample, t, 2)
        u = np.clip(u, lowest, highest)
        cost += stage_cost(x, u)
        x = integrate(derivative, x, u, plant.dt, plant.integrator)
        if G.shape[1]:
            x = x + G @ noise_of(seed, PROCESS, sample, t, G.shape[1])
        xs.append(x)
        us.append(u)
    return np.array(xs), np.array(us), cost + end_cost(x)


def same(a, b):
    """Equal to the last bit."""
    for name in ("x", "u", "cost"):
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes()


# -- against the loop --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize(
    "initial", [START, START.mean, ppi.Gaussian(START.mean, [[0.4, 0.0], [0.0, 0.0]])], ids=["spread", "point", "flat"]
)
def test_rollouts_are_the_plain_loop(stochastic, initial):
    given, n = problem(initial=initial), 70
    rolled = ppi.rollout(given, policy(), samples=n, seed=5, stochastic=stochastic)
    for i in range(n):
        for actual, expected in zip(
            (rolled.x[i], rolled.u[i], rolled.cost[i]), loop(given, policy(), 5, i, stochastic), strict=True
        ):
            close(actual, expected, 1e-12)


def test_controls_are_clipped_to_the_limits():
    u = ppi.rollout(problem(), policy(), samples=200, stochastic=True).u
    np.testing.assert_array_equal(u.min(axis=(0, 1)), LIMITS[:, 0])
    np.testing.assert_array_equal(u.max(axis=(0, 1)), LIMITS[:, 1])
    assert ((u > LIMITS[:, 0]) & (u < LIMITS[:, 1])).any()


def test_without_noise_all_samples_are_the_nominal_trajectory():
    given = problem(Calm(), START.mean)
    rolled, (x, u, cost) = ppi.rollout(given, policy(), samples=3), nominal_rollout(given, policy())
    for i in range(3):
        close(rolled.x[i], x, 1e-13)
        close(rolled.u[i], u, 1e-13)
        close(rolled.cost[i], cost, 1e-13)


def test_nominal_trajectory_is_the_loop_from_the_mean_with_limits():
    quiet = type("Quiet", (Limited,), {"noise": None})()
    for actual, expected in zip(
        nominal_rollout(problem(), policy()), loop(problem(quiet, START.mean), policy(), 0, 0), strict=True
    ):
        close(actual, expected, 1e-13)


def standard_error(cov, n):
    """Of the entries of a sample covariance."""
    variances = np.diag(cov)
    return np.sqrt((np.outer(variances, variances) + cov**2) / n)


def test_start_and_drawn_controls_have_the_given_moments():
    n = 40_000
    rolled = ppi.rollout(problem(Calm()), policy(), samples=n, stochastic=True)
    start, extra = rolled.x[:, 0], rolled.u[:, 3] - policy().mean(3, rolled.x[:, 3])
    assert (np.abs(start.mean(axis=0) - START.mean) < 4 * np.sqrt(np.diag(START.cov) / n)).all()
    assert (np.abs(extra.mean(axis=0)) < 4 * np.sqrt(np.diag(COV) / n)).all()
    assert (np.abs(np.cov(start.T) - START.cov) < 4 * standard_error(START.cov, n)).all()
    assert (np.abs(np.cov(extra.T) - COV) < 4 * standard_error(COV, n)).all()
    assert np.abs(np.corrcoef(extra.T, start.T)[:2, 2:]).max() < 4 / np.sqrt(n)


def test_process_noise_has_the_given_covariance():
    n, given = 40_000, problem(initial=START.mean)
    rolled = ppi.rollout(given, policy(), samples=n)
    w = rolled.x[:, 5] - given.plant.step(rolled.x[:, 4], rolled.u[:, 4])
    W = given.plant.noise.process
    assert (np.abs(w.mean(axis=0)) < 4 * np.sqrt(np.diag(W) / n)).all()
    assert (np.abs(np.cov(w.T) - W) < 4 * standard_error(W, n)).all()


# -- promises ----------------------------------------------------------------------------------------------------------


def test_samples_are_replayed_by_their_index():
    whole = ppi.rollout(problem(), policy(), samples=200, seed=9, stochastic=True)
    for first, n in ((0, 1), (1, 1), (63, 3), (100, 100), (199, 1)):
        part = ppi.rollout(problem(), policy(), samples=n, seed=9, first=first, stochastic=True)
        for name in ("x", "u", "cost"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[first : first + n])
        assert part.first == first


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("chunk", [64, 128, 1000])
def test_threads_and_chunks_do_not_change_a_bit(threads, chunk, monkeypatch):
    whole = ppi.rollout(problem(), policy(), samples=700, seed=1, threads=1)
    monkeypatch.setattr(rollouts, "CHUNK", chunk)
    same(ppi.rollout(problem(), policy(), samples=700, seed=1, threads=threads), whole)


def test_every_policy_meets_the_same_noise():
    given = problem(Free())
    noises = []
    for chosen in (policy(), open_loop(1.0)):
        rolled = ppi.rollout(given, chosen, samples=50, seed=4)
        noises.append([rolled.x[:, t + 1] - given.plant.step(rolled.x[:, t], rolled.u[:, t]) for t in range(T)])
        close(rolled.x[:, 0], ppi.rollout(given, policy(), samples=50, seed=4).x[:, 0], 0.0)
    close(noises[0], noises[1], 1e-13)


def test_drawing_controls_leaves_the_other_noise_alone():
    mean, drawn = (
        ppi.rollout(problem(), policy(np.zeros((2, 2))), samples=20, seed=4, stochastic=flag) for flag in (False, True)
    )
    same(mean, drawn)


def test_seeds_differ():
    costs = [ppi.rollout(problem(), policy(), samples=50, seed=seed).cost for seed in (0, 1, 2**64 - 1)]
    assert len(np.unique(costs)) == 150


def test_results_cannot_be_changed():
    rolled = ppi.rollout(problem(), policy(), samples=2)
    for array in (rolled.x, rolled.u, rolled.cost):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0.0


def test_divergence_is_a_cost_that_is_not_finite():
    assert not np.isfinite(ppi.rollout(problem(Free()), open_loop(0.0, 1e30), samples=3).cost).any()


def test_threads_keep_the_order_of_the_results():
    assert list(in_threads(lambda i: i * i, range(100), 4)) == [i * i for i in range(100)]


def test_threads_let_go_of_what_they_ran():
    """Arrays that a function writes to are free as soon as it is done, not when the garbage collector comes by."""
    function, gone = functools.partial(pow, 2), threading.Event()
    weakref.finalize(function, gone.set)
    gc.disable()
    try:
        assert list(in_threads(function, range(20), 4)) == [2**i for i in range(20)]
        del function
        assert gone.wait(10.0)  # a thread may be returning from its last item
    finally:
        gc.enable()


def test_an_error_in_a_thread_reaches_the_caller():
    def fail(i):
        if i == 7:
            raise ValueError("seven")
        return i

    with pytest.raises(ValueError, match="seven"):
        list(in_threads(fail, range(100), 2))


WRONG = {
    "no samples": ({"samples": 0}, "samples is 0; expected a whole number, at least 1"),
    "fractional samples": ({"samples": 1.5}, "samples is 1.5"),
    "samples as truth": ({"samples": True}, "samples is True"),
    "negative first": ({"first": -1}, "first is -1"),
    "negative seed": ({"seed": -1}, "seed is -1"),
    "large seed": ({"seed": 2**64}, "seed is 18446744073709551616"),
    "seed as text": ({"seed": "0"}, "seed is '0'"),
    "more samples than fit": ({"samples": 10**12}, r"samples is 1000000000000, which takes .* GB .*; give at most \d+"),
    "no threads": ({"threads": 0}, "threads is 0"),
    "negative threads": ({"threads": -2}, "threads is -2"),
}


@pytest.mark.parametrize(("options", "message"), WRONG.values(), ids=WRONG)
def test_numbers_out_of_range_are_refused_in_one_line(options, message):
    with pytest.raises(ppi.ProblemError, match=message) as caught:
        ppi.rollout(problem(), policy(), **options)
    assert "\n" not in str(caught.value)


# -- line search -------------------------------------------------------------------------------------------------------


def shoot(x0, a, limits, path, disturbance=None, price=0.0, noise_price=None):
    """Merit and trajectory of one trial of the line search in plain Python."""
    x_ref, u_ref, K, k = path
    x, xs, us, ws, merit = x0, [x0], [], [], 0.0
    for t in range(T):
        dx = x - x_ref[t]
        u = np.clip(u_ref[t] + a * k[t] + K[t] @ dx, *limits.T)
        merit += stage_cost(x, u)
        if noise_price is not None:
            z = np.concatenate((x, u))
            merit += 0.5 * z @ noise_price[t] @ z
        x, w = integrate(derivative, x, u, 0.05, "rk4"), np.empty(0)
        if disturbance is not None:
            w_ref, h, D, G = disturbance
            w = w_ref[t] + a * h[t] + D[t] @ dx
            x, merit = x + G[t] @ w, merit + 0.5 * price * w @ w
        xs.append(x)
        us.append(u)
        ws.append(w)
    return merit + end_cost(x), np.array(xs), np.array(us), np.array(ws)


def line_search(seed):
    rng = np.random.default_rng(seed)
    given = policy()
    path = given.x_ref, given.u_ref, given.K, rng.normal(size=(T, 2))
    sizes = (T, 3), (T, 3), (T, 3, 2), (T, 2, 3)
    price = rng.normal(size=(T, 4, 4))
    return path, tuple(0.3 * rng.normal(size=size) for size in sizes), price @ price.transpose(0, 2, 1)


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("disturbed", [False, True])
def test_line_search_takes_the_first_acceptable_step_of_the_loop(limited, disturbed):
    steps, indices = np.array([2.0, 1.0, 0.5, 0.1, 0.01]), set()
    limits = LIMITS if limited else no_limits(2)
    for seed in range(10):
        path, disturbance, noise_price = line_search(seed)
        more = (disturbance, noise_price) if disturbed else ()
        trials = [shoot(START.mean, a, limits, path, more[0] if more else None, 3.0, *more[1:]) for a in steps]
        line = shooting(problem(), limits, 3.0)
        for merit, slope, curvature, ratio in (
            (trials[2][0] + 1e-9, 0.0, 0.0, 0.0),
            (trials[0][0], -1.0, 3.0, 0.3),
            (0.0, 0.0, 0.0, 0.0),
        ):
            bound = merit + ratio * (steps * slope + 0.5 * steps**2 * curvature)
            expected = next((n for n, trial in enumerate(trials) if trial[0] <= bound[n]), -1)
            index, value, *found = line.search(steps, merit, slope, curvature, ratio, *path, *more)
            assert index == expected
            indices.add(index)
            if index >= 0:
                found = found if disturbed else found[:2]
                for actual, wanted in zip((value, *found), trials[index], strict=False):
                    close(actual, wanted, 1e-12)
            else:
                assert value == merit
    assert {-1, 0} < indices


def test_line_search_refuses_steps_that_diverge():
    path, _, _ = line_search(0)
    line = shooting(problem(Free()), no_limits(2))
    x_ref, u_ref, K, k = path
    index, merit, x, u, _ = line.search(np.array([1e200, 1e-3]), 1e6, 0.0, 0.0, 0.0, x_ref, u_ref, K, k)
    assert index == 1
    assert np.isfinite(merit)
    assert np.isfinite(x).all()
    assert np.isfinite(u).all()


def test_work_in_threads_may_ask_for_more_of_it():
    """With as many waiting as there are threads."""

    def nested(i):
        return sum(in_threads(lambda j: i * j, range(4), threads=2))

    assert list(in_threads(nested, range(6), threads=2)) == [6 * i for i in range(6)]
