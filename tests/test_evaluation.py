"""Cost distributions: exact values on a linear plant, statistics against independent formulas, and equal bits."""

import math
import os
import re
import signal
import tracemalloc

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats

import ppi_robotics as ppi
from ppi_robotics import evaluation
from ppi_robotics.evaluation import Difference
from ppi_robotics.statistics import Evaluation

T = 12
A = np.array([[1.0, 0.1], [0.0, 1.0]])
B = np.array([[0.005], [0.1]])
W = np.array([[2e-4, 1e-4], [1e-4, 3e-3]])
START = ppi.Gaussian(np.array([0.6, -0.2]), np.array([[0.02, 0.01], [0.01, 0.03]]))
Q, QT = np.array([[1.0, 0.2], [0.2, 0.5]]), np.diag([4.0, 1.0])
R, GOAL = np.array([[0.05]]), np.array([0.1, 0.0])


class DoubleIntegrator(ppi.SymbolicPlant):
    """A mass pushed by a force, exactly discretised, with correlated noise."""

    state_names = ("position", "velocity")
    control_names = ("force",)
    dt = 0.1
    noise = W

    def transition(self, x, u):
        return ppi.vertcat(x[0] + 0.1 * x[1] + 0.005 * u[0], x[1] + 0.1 * u[0])

    def success(self, x):
        return np.abs(x[:, 0] - GOAL[0]) < 0.25


class Runaway(ppi.SymbolicPlant):
    """Escapes to infinity from outside |x| = 1 or so, within few stages; its second state copies the first."""

    state_names = ("x", "copy")
    control_names = ("u",)
    dt = 0.1
    noise = (0.01, 0.0)

    def transition(self, x, u):
        return ppi.vertcat(0.5 * x[0] + 0.5 * x[0] * x[0] * x[0] + u[0], x[0])


def make_problem(**changes):
    cost = ppi.Quadratic(state=Q, control=R, terminal=QT, goal=GOAL)
    return ppi.Problem(**({"plant": DoubleIntegrator(), "cost": cost, "initial": START, "horizon": T} | changes))


def make_policy(gain=1.0, push=0.0, cov=0.2, horizon=T):
    """Feedback that varies in time, about a moving reference."""
    t = np.arange(horizon)
    x_ref = np.stack([0.6 - 0.03 * t, 0.02 * t], axis=1)
    u_ref = (push - 0.3 + 0.05 * t)[:, None]
    K = -gain * np.stack([2.0 + 0.1 * t, 1.5 + 0 * t], axis=1)[:, None, :]
    return ppi.LinearGaussianPolicy(x_ref, u_ref, K, np.full((horizon, 1, 1), cov), 0.1)


@pytest.fixture(scope="module")
def problem():
    return make_problem()


def exact_form(policy, stochastic):
    """The cost of the closed loop as c + b'e + e'M e of all its noise e ~ N(0, I), by affine propagation."""
    factor = np.linalg.cholesky
    n = 2 + T * 3
    x, x_lin = START.mean.copy(), np.zeros((2, n))
    x_lin[:, :2] = factor(START.cov)
    c, b, M = 0.0, np.zeros(n), np.zeros((n, n))

    def add(weight, value, linear):
        nonlocal c, b, M
        c, b, M = c + value @ weight @ value, b + 2 * linear.T @ weight @ value, M + linear.T @ weight @ linear

    for t in range(T):
        noise = 2 + 3 * t
        u = policy.u_ref[t] + policy.K[t] @ (x - policy.x_ref[t])
        u_lin = policy.K[t] @ x_lin
        if stochastic:
            u_lin[:, noise] = np.sqrt(policy.cov[t, 0])
        add(Q, x - GOAL, x_lin)
        add(R, u, u_lin)
        x, x_lin = A @ x + B @ u, A @ x_lin + B @ u_lin
        x_lin[:, noise + 1 : noise + 3] += factor(W)
    add(QT, x - GOAL, x_lin)
    return c, b, M


def exact_entropic(form, eta):
    """-(1/eta) log E exp(-eta (c + b'e + e'M e)), by completing the square."""
    c, b, M = form
    precision = np.eye(len(b)) + 2 * eta * M
    assert np.linalg.eigvalsh(precision)[0] > 0
    log_mean = -eta * c + eta**2 / 2 * b @ np.linalg.solve(precision, b) - np.linalg.slogdet(precision)[1] / 2
    return -log_mean / eta


# -- against exact values ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stochastic", [False, True])
def test_a_linear_plant_has_its_exact_mean_variance_and_entropic_cost(problem, stochastic):
    """All within 4 standard errors, which themselves are at most a few percent: a sign or factor would show."""
    policy = make_policy()
    result = ppi.evaluate(problem, policy, samples=60_000, seed=3, stochastic=stochastic)
    c, b, M = form = exact_form(policy, stochastic)
    mean, variance = c + np.trace(M), b @ b + 2 * np.trace(M @ M)
    assert abs(result.mean - mean) < 4 * result.standard_error < 0.02 * mean
    assert abs(result.variance - variance) < 4 * result.variance_standard_error < 0.1 * variance
    for eta in (-0.1, -0.01, 1e-6, 0.03, 0.5):
        error = result.entropic_standard_error(eta)
        assert abs(result.entropic(eta) - exact_entropic(form, eta)) < 4 * error < 0.02 * mean
    assert result.diverged == 0
    assert not result.interrupted


def test_drawing_controls_changes_the_distribution(problem):
    """Otherwise the exact values above could not tell the two cases apart."""
    policy = make_policy()
    plain, noisy = exact_form(policy, False), exact_form(policy, True)
    result = ppi.evaluate(problem, policy, samples=60_000, seed=3)
    assert abs(np.trace(plain[2]) - np.trace(noisy[2])) > 8 * result.standard_error


def test_paired_differences_have_the_exact_mean_and_beat_unpaired_ones(problem):
    policies = {"a": make_policy(), "b": make_policy(gain=1.2), "c": make_policy(push=0.2)}
    table = ppi.compare(problem, policies, samples=20_000, seed=5)
    forms = {name: exact_form(policy, False) for name, policy in policies.items()}
    means = {name: c + np.trace(M) for name, (c, _, M) in forms.items()}
    assert table.reference == "a"
    assert list(table.differences) == ["b", "c"]
    for name, difference in table.differences.items():
        low, high = difference.interval
        assert abs(difference.mean - (means[name] - means["a"])) < 4 * difference.standard_error
        assert low < difference.mean < high
        unpaired = math.hypot(table.evaluations[name].standard_error, table.evaluations["a"].standard_error)
        assert difference.standard_error < 0.5 * unpaired


def test_success_is_the_share_that_a_gaussian_final_state_gives(problem):
    policy = make_policy()
    x, cov = START.mean, START.cov
    for t in range(T):
        closed = A + B @ policy.K[t]
        x = closed @ x + B @ (policy.u_ref[t] - policy.K[t] @ policy.x_ref[t])
        cov = closed @ cov @ closed.T + W
    ends = (GOAL[0] + np.array([-0.25, 0.25]) - x[0]) / np.sqrt(cov[0, 0])
    expected = scipy.special.ndtr(ends[1]) - scipy.special.ndtr(ends[0])
    result = ppi.evaluate(problem, policy, samples=20_000, seed=8)
    low, high = result.success_interval(0.9999)
    assert low < expected < high
    assert high - low < 0.03


# -- equal bits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("chunk", "threads"), [(64, 1), (100, 2), (1024, 5), (1, 3)])
def test_costs_do_not_depend_on_chunks_and_threads(problem, monkeypatch, chunk, threads):
    whole = ppi.evaluate(problem, make_policy(), samples=777, seed=11, stochastic=True)
    monkeypatch.setattr(evaluation, "_chunk", lambda _: chunk)
    parts = ppi.evaluate(problem, make_policy(), samples=777, seed=11, stochastic=True, threads=threads)
    np.testing.assert_array_equal(parts.cost, whole.cost)
    np.testing.assert_array_equal(parts.success, whole.success)


@pytest.mark.parametrize("stochastic", [False, True])
def test_replay_reproduces_each_cost_bit_for_bit(problem, stochastic):
    policy = make_policy()
    result = ppi.evaluate(problem, policy, samples=200, seed=2**63, stochastic=stochastic, first=1000)
    for i in (0, 1, 63, 64, 130, 199):
        replay = result.replay(i)
        assert replay.cost[0] == result.cost[i]
        assert replay.first == 1000 + i
        cost = problem.cost.trajectory(replay.x[0], replay.u[0])
        assert cost == pytest.approx(result.cost[i], rel=1e-12)
        assert bool(problem.success(replay.x[:, -1])[0]) == result.success[i]
        acted = [policy.mean(t, replay.x[0, t]) for t in range(T)]
        assert np.allclose(acted, replay.u[0], atol=1e-12) is not stochastic


def test_a_later_first_continues_the_samples_and_joined_puts_them_together(problem):
    policy = make_policy()
    whole = ppi.evaluate(problem, policy, samples=500, seed=4)
    head = ppi.evaluate(problem, policy, samples=130, seed=4)
    tail = ppi.evaluate(problem, policy, samples=370, seed=4, first=130)
    both = head.joined(tail)
    np.testing.assert_array_equal(both.cost, whole.cost)
    np.testing.assert_array_equal(both.success, whole.success)
    assert (both.mean, both.variance, both.first, both.samples) == (whole.mean, whole.variance, 0, 500)
    assert both.replay(499).cost[0] == whole.cost[499]


def test_only_samples_that_follow_on_can_be_joined(problem):
    policy = make_policy()
    head = ppi.evaluate(problem, policy, samples=64, seed=4)
    for other in (
        ppi.evaluate(problem, policy, samples=64, seed=4),
        ppi.evaluate(problem, policy, samples=64, seed=5, first=64),
        ppi.evaluate(problem, policy, samples=64, seed=4, first=64, stochastic=True),
        ppi.evaluate(problem, make_policy(gain=1.1), samples=64, seed=4, first=64),
        ppi.evaluate(make_problem(), policy, samples=64, seed=4, first=64),
    ):
        with pytest.raises(ppi.ProblemError, match="first=64"):
            head.joined(other)


def test_a_comparison_meets_the_noise_of_single_evaluations(problem):
    policies = {"a": make_policy(), "b": make_policy(gain=0.5)}
    table = ppi.compare(problem, policies, samples=2100, seed=6, threads=2)
    for name, policy in policies.items():
        alone = ppi.evaluate(problem, policy, samples=2100, seed=6)
        np.testing.assert_array_equal(table.evaluations[name].cost, alone.cost)
        np.testing.assert_array_equal(table.evaluations[name].success, alone.success)
        assert table.evaluations[name].policy is policy


# -- running -----------------------------------------------------------------------------------------------------------


def test_progress_counts_finished_samples(problem, monkeypatch):
    monkeypatch.setattr(evaluation, "_chunk", lambda _: 1024)
    for run in (
        lambda report: ppi.evaluate(problem, make_policy(), samples=2500, progress=report),
        lambda report: ppi.compare(problem, {"a": make_policy(), "b": make_policy()}, samples=2500, progress=report),
    ):
        calls = []
        run(lambda *call, calls=calls: calls.append(call))
        assert calls == [(1024, 2500), (2048, 2500), (2500, 2500)]


@pytest.fixture
def ctrl_c():
    """Ctrl-C raises KeyboardInterrupt, also in a test process that ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c_after(samples):
    def progress(done, _):
        if done >= samples:
            os.kill(os.getpid(), signal.SIGINT)

    return progress


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_keeps_the_finished_samples_and_the_rest_can_follow(problem):
    policy, samples = make_policy(), 200_000
    part = ppi.evaluate(problem, policy, samples, seed=9, threads=2, progress=press_ctrl_c_after(3000))
    assert part.interrupted
    assert 3000 <= part.samples < samples
    rest = ppi.evaluate(problem, policy, 4000 - part.samples % 1000, seed=9, first=part.samples)
    both = part.joined(rest)
    np.testing.assert_array_equal(both.cost, ppi.evaluate(problem, policy, both.samples, seed=9).cost)
    assert not both.interrupted
    assert "interrupted" in str(part)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_leaves_a_comparison_with_the_same_samples_of_every_policy(problem):
    policies = {"a": make_policy(), "b": make_policy(gain=0.5)}
    table = ppi.compare(problem, policies, samples=200_000, seed=9, progress=press_ctrl_c_after(3000))
    first, second = table.evaluations.values()
    assert table.interrupted
    assert 3000 <= first.samples == second.samples < 200_000
    assert table.differences["b"].mean == pytest.approx(second.mean - first.mean, rel=1e-9)
    assert "interrupted" in str(table)


def test_ctrl_c_between_the_policies_of_a_chunk_drops_the_chunk(problem, monkeypatch):
    """One task after the other, so that the chunk's second policy has not run."""
    policies = {"a": make_policy(), "b": make_policy(gain=0.5)}
    monkeypatch.setattr(evaluation, "_chunk", lambda _: 64)
    finished = []

    def one_by_one(function, items, _):
        for item in items:
            if len(finished) == 5:
                raise KeyboardInterrupt
            finished.append(item)
            yield function(item)

    monkeypatch.setattr(evaluation, "in_threads", one_by_one)
    table = ppi.compare(problem, policies, samples=640, seed=9)
    monkeypatch.undo()
    for name, policy in policies.items():
        alone = ppi.evaluate(problem, policy, samples=128, seed=9)
        np.testing.assert_array_equal(table.evaluations[name].cost, alone.cost)


def test_interruption_before_the_first_chunk_is_raised_and_after_the_last_noted(problem, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    result = ppi.evaluate(problem, make_policy(), samples=100, progress=interrupted)
    assert (result.samples, result.interrupted) == (100, True)
    monkeypatch.setattr(evaluation, "in_threads", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ppi.evaluate(problem, make_policy(), samples=100)


def test_memory_holds_costs_and_no_trajectories(problem):
    """At most 40 bytes a sample: the cost and its copies; states alone would take 16 (T + 1) = 208."""
    samples = 200_000
    ppi.evaluate(problem, make_policy(), samples=2)
    tracemalloc.start()
    ppi.evaluate(problem, make_policy(), samples=samples)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * samples


def test_the_success_criterion_is_the_problem_s_or_none():
    own = make_problem(success=lambda x: x[:, 1] > 0.0)
    result = ppi.evaluate(own, make_policy(), samples=300, seed=1)
    final = ppi.rollout(own, make_policy(), samples=300, seed=1).x[:, -1]
    np.testing.assert_array_equal(result.success, final[:, 1] > 0.0)
    assert result.success_rate == np.mean(final[:, 1] > 0.0)

    none = Evaluation(result.cost)
    assert (none.success, none.success_rate, none.success_interval()) == (None, None, None)


@pytest.mark.parametrize("criterion", [lambda x: x > 0.0, lambda x: x[:, 0], lambda _: True])
def test_a_criterion_that_gives_no_boolean_per_sample_is_refused(criterion):
    with pytest.raises(ppi.ProblemError, match="booleans"):
        ppi.evaluate(make_problem(success=criterion), make_policy(), samples=10)


# -- divergence --------------------------------------------------------------------------------------------------------


class Logarithm(ppi.SymbolicPlant):
    """The second state is lost while the first is below zero, and a number again later."""

    state_names, control_names, dt, noise = ("x", "lost"), ("u",), 0.1, (0.01, 0.0)

    def transition(self, x, u):
        return ppi.vertcat(0.9 * x[0] + u[0], ppi.log(x[0]))


def test_a_state_that_is_not_a_number_counts_as_diverged_even_where_it_costs_nothing():
    """In the middle of the horizon as well."""
    problem = ppi.Problem(Logarithm(), ppi.Quadratic(state=[1.0, 0.0], control=[1.0]), [0.1, 0.0], 4)
    policy = ppi.LinearGaussianPolicy(np.zeros((4, 2)), np.zeros((4, 1)), np.zeros((4, 1, 2)), np.zeros((4, 1, 1)), 0.1)
    result = ppi.evaluate(problem, policy, samples=64)
    x = ppi.rollout(problem, policy, samples=64).x
    assert 0 < result.diverged < 64
    np.testing.assert_array_equal(np.isinf(result.cost), np.isnan(x[..., 1]).any(axis=1))


@pytest.fixture(scope="module")
def runaway():
    """Some samples diverge; the criterion, were it asked about their states, would fail or count them."""

    def criterion(x):
        assert np.isfinite(x).all()
        return x[:, 0] < np.inf

    plant, cost = Runaway(), ppi.Quadratic(state=[1.0, 0.0], control=[1.0])
    start = ppi.Gaussian(np.zeros(2), np.diag([0.25, 0.0]))
    problem = ppi.Problem(plant, cost, start, horizon=40, success=criterion)
    still = [np.zeros((40, *shape)) for shape in ((2,), (1,), (1, 2), (1, 1))]
    return problem, ppi.LinearGaussianPolicy(*still, dt=0.1)


def test_diverged_samples_cost_infinitely_much_and_never_succeed(runaway):
    result = ppi.evaluate(*runaway, samples=3000, seed=1)
    x = ppi.rollout(*runaway, samples=3000, seed=1).x
    lost = ~np.isfinite(x[:, -1, 0])
    assert 30 < lost.sum() < 1000  # of |x_0| > 1, that is beyond two standard deviations, and more through noise
    np.testing.assert_array_equal(np.isinf(result.cost), lost)
    np.testing.assert_array_equal(result.success, ~lost)
    assert result.diverged == lost.sum()
    assert "diverged" in str(result)
    first = ", ".join(str(i) for i in np.flatnonzero(lost)[:5])
    assert f"{lost.sum()} (samples {first}, ...)" in str(result)


def test_rollouts_tell_which_samples_diverged_and_when(runaway):
    rolled = ppi.rollout(*runaway, samples=200, seed=1, first=1000)
    expected = {}
    for i, x in enumerate(rolled.x):
        stages = [t for t in range(41) if not np.isfinite(x[t]).all()]
        if stages:
            expected[1000 + i] = pytest.approx(0.1 * stages[0])
    assert len(expected) > 2
    assert rolled.diverged == expected


def test_one_diverged_sample_is_named():
    assert "infinite cost: 1 (sample 12)" in str(Evaluation([1.0, 2.0, np.inf, 3.0], first=10))


def test_statistics_of_diverged_samples_are_infinite_where_they_are_and_finite_elsewhere():
    cost = np.array([3.0, np.inf, 1.0, np.nan, 2.0, -np.inf, 5.0, 4.0])
    result = Evaluation(cost, success=np.ones(8, dtype=bool))
    assert result.diverged == 3
    assert result.success_rate == 5 / 8
    for value in (
        *(result.mean, result.variance, result.std, result.standard_error, result.variance_standard_error),
        *(result.cvar(0.0), result.cvar(0.9), result.cvar_standard_error(0.9)),
        *(result.entropic(-0.1), result.entropic_standard_error(-0.1), result.entropic(0.0)),
    ):
        assert value == math.inf
    quantiles = result.quantile([0.0, 2 / 7, 4 / 7, 4.5 / 7, 5 / 7, 6.5 / 7, 1.0])
    np.testing.assert_array_equal(quantiles, [1.0, 3.0, 5.0, np.inf, np.inf, np.inf, np.inf])
    finite = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    expected = -np.log(np.exp(-0.7 * finite).sum() / 8) / 0.7
    assert result.entropic(0.7) == pytest.approx(expected, rel=1e-14)
    assert Evaluation([np.inf, np.nan]).entropic(0.7) == math.inf


def test_paired_differences_with_diverged_samples_say_so():
    fine, lost = Evaluation([1.0, 2.0, 3.0]).cost, Evaluation([0.5, np.inf, 4.0]).cost
    for cost, reference, mean, wins in ((lost, fine, math.inf, 1 / 3), (fine, lost, -math.inf, 2 / 3)):
        assert evaluation.difference_of(cost, reference).mean == mean
        assert evaluation.difference_of(cost, reference).wins == wins
    both = evaluation.difference_of(lost, lost)
    assert math.isnan(both.mean)
    assert math.isnan(both.p_value)
    assert both.interval == (-math.inf, math.inf)


# -- statistics against independent formulas ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sampled():
    return Evaluation(100.0 + np.random.default_rng(1).gamma(3.0, 2.0, size=1001))


def test_moments_and_quantiles_match_numpy(sampled):
    cost = sampled.cost
    assert sampled.mean == pytest.approx(cost.mean(), rel=1e-14)
    assert sampled.variance == pytest.approx(cost.var(ddof=1), rel=1e-12)
    assert sampled.std == pytest.approx(cost.std(ddof=1), rel=1e-12)
    assert sampled.standard_error == pytest.approx(scipy.stats.sem(cost), rel=1e-12)
    q = np.array([0.0, 0.001, 0.05, 1 / 3, 0.5, 0.95, 0.9999, 1.0])
    np.testing.assert_allclose(sampled.quantile(q), np.quantile(cost, q), rtol=1e-14)
    assert isinstance(sampled.quantile(0.3), float)
    assert sampled.quantile(np.full((2, 3), 0.5)).shape == (2, 3)


def test_equal_costs_have_no_variance_and_no_error():
    result = Evaluation(np.full(7, 0.1))
    for value in (result.mean, result.quantile(0.37), result.cvar(0.5), result.entropic(3.0), result.entropic(-3.0)):
        assert value == 0.1
    errors = (result.standard_error, result.variance_standard_error, result.cvar_standard_error(0.5))
    assert (result.variance, *errors, result.entropic_standard_error(3.0)) == (0.0, 0.0, 0.0, 0.0, 0.0)


def test_statistics_scale_and_shift_with_the_costs(sampled):
    """Factors of 2 and huge ones alike, where squares and fourth powers would overflow or vanish."""
    plain = Evaluation(sampled.cost - 100.0)
    for factor in (2.0, 1e-80, 1e80):
        scaled = Evaluation(factor * plain.cost)
        assert scaled.mean == pytest.approx(factor * plain.mean, rel=1e-12)
        assert scaled.variance == pytest.approx(factor**2 * plain.variance, rel=1e-12)
        assert scaled.variance_standard_error == pytest.approx(factor**2 * plain.variance_standard_error, rel=1e-12)
        assert scaled.cvar(0.8) == pytest.approx(factor * plain.cvar(0.8), rel=1e-12)
        assert scaled.cvar_standard_error(0.8) == pytest.approx(factor * plain.cvar_standard_error(0.8), rel=1e-12)
        assert scaled.entropic(0.3 / factor) == pytest.approx(factor * plain.entropic(0.3), rel=1e-12)
    assert sampled.entropic(-0.2) == pytest.approx(100.0 + plain.entropic(-0.2), rel=1e-13)
    assert sampled.variance == pytest.approx(plain.variance, rel=1e-10)


@pytest.mark.parametrize("level", [0.0, 0.2, 0.5, 0.95, 0.999, 0.99999])
def test_cvar_is_the_mean_of_the_worst_share_and_the_minimum_of_its_definition(sampled, level):
    cost = np.sort(sampled.cost)[::-1]
    share = len(cost) * (1 - level)  # of this many samples, the last one counted in part
    weights = np.clip(share - np.arange(len(cost)), 0.0, 1.0)
    assert sampled.cvar(level) == pytest.approx(weights @ cost / share, rel=1e-12)
    bound = [z + np.maximum(cost - z, 0.0).mean() / (1 - level) for z in cost]
    assert sampled.cvar(level) == pytest.approx(min(bound), rel=1e-12)
    assert sampled.cvar(level) >= sampled.quantile(level) - 1e-12


def test_cvar_grows_from_the_mean_to_the_maximum(sampled):
    values = [sampled.cvar(level) for level in (0.0, 0.1, 0.5, 0.9, 0.99, 0.9999)]
    assert values[0] == pytest.approx(sampled.mean, rel=1e-14)
    assert sampled.cvar_standard_error(0.0) == pytest.approx(sampled.standard_error, rel=1e-12)
    assert values == sorted(values)
    assert values[-1] == sampled.cost.max()
    assert sampled.cvar_standard_error(0.9999) == math.inf  # a tenth of a sample tells nothing about the tail


@pytest.mark.parametrize("eta", [-300.0, -3.0, -0.5, -1e-3, 1e-3, 0.5, 3.0, 300.0])
def test_entropic_matches_the_log_sum_exp_of_scipy(sampled, eta):
    expected = -(scipy.special.logsumexp(-eta * sampled.cost) - np.log(sampled.samples)) / eta
    assert sampled.entropic(eta) == pytest.approx(expected, rel=1e-11)


def test_entropic_falls_with_eta_from_the_maximum_through_the_mean_to_the_minimum(sampled):
    etas = [-1e6, -10.0, -0.1, -1e-3, 0.0, 1e-3, 0.1, 10.0, 1e6]
    values = [sampled.entropic(eta) for eta in etas]
    assert values == sorted(values, reverse=True)
    assert values[4] == sampled.mean
    assert values[0] == pytest.approx(sampled.cost.max(), rel=1e-6)
    assert values[-1] == pytest.approx(sampled.cost.min(), rel=1e-6)
    assert sampled.entropic_standard_error(0.0) == sampled.standard_error


@pytest.mark.parametrize("eta", [1e-4, 1e-6, 1e-9, 1e-13, -1e-6, -1e-13])
def test_entropic_of_small_eta_is_mean_less_half_eta_variance(sampled, eta):
    """To second order in eta; the digits of the small difference survive."""
    cost = sampled.cost
    third = scipy.stats.moment(cost, 3)
    expected = cost.mean() - eta / 2 * cost.var() + eta**2 / 6 * third
    tolerance = 1e-12 + abs(eta) ** 3 * 1e4
    assert abs(sampled.entropic(eta) - expected) < tolerance
    assert sampled.entropic_standard_error(eta) == pytest.approx(sampled.standard_error, rel=1e-2)


def test_standard_errors_are_the_spread_of_the_estimates():
    """Root mean square against the spread over 3000 repetitions, known to 1.3 %; the formulas hold to O(1/N)."""
    rng = np.random.default_rng(5)
    repeated = [Evaluation(row) for row in rng.gamma(4.0, 1.0, size=(3000, 600))]
    for estimate, error in (
        (lambda r: r.mean, lambda r: r.standard_error),
        (lambda r: r.variance, lambda r: r.variance_standard_error),
        (lambda r: r.cvar(0.8), lambda r: r.cvar_standard_error(0.8)),
        (lambda r: r.entropic(0.5), lambda r: r.entropic_standard_error(0.5)),
        (lambda r: r.entropic(-0.2), lambda r: r.entropic_standard_error(-0.2)),
    ):
        spread = np.std([estimate(r) for r in repeated])
        assert np.sqrt(np.mean([error(r) ** 2 for r in repeated])) == pytest.approx(spread, rel=0.06)


@pytest.mark.parametrize(("q", "level"), [(0.5, 0.95), (0.05, 0.9), (0.95, 0.95), (0.99, 0.8)])
def test_quantile_intervals_cover_at_least_as_often_as_they_say(q, level):
    """Over 3000 repetitions of 200 uniform samples, whose q-quantile is q."""
    samples, repetitions = 200, 3000
    rng = np.random.default_rng(6)
    intervals = [Evaluation(row).quantile_interval(q, level) for row in rng.uniform(size=(repetitions, samples))]
    covered = np.mean([low <= q <= high for low, high in intervals])
    ranks = scipy.stats.binom(samples, q).ppf([(1 - level) / 2, (1 + level) / 2])
    exact = scipy.stats.binom(samples, q).cdf(ranks[1]) - scipy.stats.binom(samples, q).cdf(ranks[0] - 1)
    assert exact >= level
    assert abs(covered - exact) < 4 * np.sqrt(exact * (1 - exact) / repetitions)


def test_quantile_intervals_end_at_the_ranks_of_the_binomial_distribution():
    for samples in (2, 10, 1000, 1_000_000):
        result = Evaluation(np.arange(1.0, samples + 1))  # each cost is its own rank
        for q in (1e-4, 0.05, 0.5, 0.95, 0.9999):
            low, high = scipy.stats.binom(samples, q).ppf([0.025, 0.975]) + [0, 1]
            low, high = low if low >= 1 else -math.inf, high if high <= samples else math.inf
            assert result.quantile_interval(q) == (low, high)


def test_differences_without_skewness_are_the_paired_t_test():
    rng = np.random.default_rng(7)
    reference, half = rng.gamma(2.0, size=50), rng.normal(0.0, 0.5, size=25)
    cost = reference + 0.1 + np.concatenate([half, -half])
    test = scipy.stats.ttest_rel(cost, reference)
    difference = evaluation.difference_of(cost, reference)
    assert difference.mean == pytest.approx(np.mean(cost - reference), rel=1e-12)
    assert difference.standard_error == pytest.approx(scipy.stats.sem(cost - reference), rel=1e-12)
    assert difference.p_value == pytest.approx(test.pvalue, rel=1e-9)
    np.testing.assert_allclose(difference.interval, test.confidence_interval(0.95), rtol=1e-9)
    assert difference.wins == np.mean(cost < reference)


def test_equal_policies_do_not_differ(problem):
    table = ppi.compare(problem, {"a": make_policy(), "same": make_policy()}, samples=500)
    assert table.differences["same"] == Difference(0.0, 0.0, (0.0, 0.0), 1.0, 0.0)


def test_a_constant_difference_is_certain():
    cost = np.arange(8.0)
    assert evaluation.difference_of(cost - 0.5, cost) == Difference(-0.5, 0.0, (-0.5, -0.5), 0.0, 1.0)


def test_half_of_the_p_values_of_equal_means_lie_below_one_half():
    """And a twentieth below 0.05, within 4 standard errors over 2000 repetitions."""
    rng = np.random.default_rng(8)
    pairs = rng.normal(size=(2000, 2, 12))
    p = np.array([evaluation.difference_of(cost, reference).p_value for cost, reference in pairs])
    for level in (0.05, 0.5):
        assert abs(np.mean(p < level) - level) < 4 * np.sqrt(level * (1 - level) / len(p))


# -- tables ------------------------------------------------------------------------------------------------------------


def test_a_comparison_prints_as_an_aligned_table(problem):
    table = ppi.compare(problem, {"reference": make_policy(), "b": make_policy(gain=0.2)}, samples=400, seed=12)
    head, rule, first, second, note = str(table).splitlines()
    assert len({len(line) for line in (head, rule, first, second)}) == 1
    assert head.split("  ")[0] == "policy"
    for name in ("mean", "std", "variance", "CVaR 95 %", "success", "difference", "p", "95 % intervals in brackets"):
        assert name in f"{head}{note}"
    b, difference = table.evaluations["b"], table.differences["b"]
    numbers = [float(word) for word in re.sub(r"[][%<,]", " ", second).split()[1:]]
    expected = [b.mean, *b.mean_interval(), b.std, b.variance, *b.variance_interval(), b.cvar(), *b.cvar_interval()]
    expected += [100 * b.success_rate, *(100 * end for end in b.success_interval())]
    expected += [difference.mean, *difference.interval]
    np.testing.assert_allclose(numbers[:-1], expected, rtol=0.05, atol=0.006)  # two digits of half the width
    assert abs(numbers[-1] - difference.p_value) <= max(0.05 * difference.p_value, 1e-16)
    assert first.split()[-2:] == ["-", "-"]
    assert "400 common samples, seed 12" in note
    assert "reference" in note


def test_a_table_without_criterion_or_with_lost_samples_prints():
    fine, lost = Evaluation([1.0, 2.0, 3.0]), Evaluation([0.5, np.inf, 4.0])
    difference = evaluation.difference_of(lost.cost, fine.cost)
    text = str(evaluation.Comparison({"fine": fine, "lost": lost}, "fine", {"lost": difference}))
    assert "inf" in text
    lines = text.splitlines()[-3:]
    assert lines[0].endswith("lost 1 (sample 1)")
    assert lines[1] == "no interval of the variance of fine: 3 samples, and 50 are needed"
    assert lines[2].startswith("no interval of the CVaR 95 % of fine: 0.15 samples in the tail")
    assert "success" not in str(fine)
    assert "2.0 [-0.5, 4.5]" in str(fine)


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"problem": "cartpole"},
        {"policy": None},
        {"policy": "policy.npz"},
        {"policy": make_policy(horizon=T + 1)},
        {"samples": 1},
        {"samples": 1000.0},
        {"samples": 10**18},
        {"seed": -1},
        {"seed": 2**64},
        {"seed": 0.5},
        {"first": -1},
        {"first": 2**64},
        {"threads": 0},
        {"threads": 1.5},
        {"progress": True},
    ],
)
def test_bad_arguments_are_refused_in_one_line(problem, changes):
    arguments = {"problem": problem, "policy": make_policy(), "samples": 10} | changes
    with pytest.raises(ppi.ProblemError) as caught:
        ppi.evaluate(**arguments)
    assert "\n" not in str(caught.value)


NAMELESS = [{name: make_policy()} for name in ("", " ", 1, "a\nb")]


@pytest.mark.parametrize("policies", [{}, [], None, make_policy(), *NAMELESS])
def test_policies_without_names_are_refused(problem, policies):
    with pytest.raises(ppi.ProblemError, match="name|dict") as caught:
        ppi.compare(problem, policies, samples=10)
    assert "\n" not in str(caught.value)


def test_a_wrong_policy_is_named(problem):
    with pytest.raises(ppi.ProblemError, match="policy 'second' is 'b.npz'"):
        ppi.compare(problem, {"first": make_policy(), "second": "b.npz"}, samples=10)


@pytest.mark.parametrize(
    "ask",
    [
        lambda r: r.quantile(1.01),
        lambda r: r.quantile([0.5, -0.1]),
        lambda r: r.quantile("median"),
        lambda r: r.quantile_interval(0.0),
        lambda r: r.quantile_interval(0.5, level=1.0),
        lambda r: r.quantile_interval([0.5, 0.6]),
        lambda r: r.cvar(1.0),
        lambda r: r.cvar(-0.1),
        lambda r: r.cvar(95),
        lambda r: r.cvar_standard_error(math.nan),
        lambda r: r.entropic(math.inf),
        lambda r: r.entropic("high"),
        lambda r: r.success_interval(95),
        lambda r: r.replay(0),
    ],
)
def test_questions_without_an_answer_are_refused(sampled, ask):
    with pytest.raises(ppi.ProblemError):
        ask(sampled)


@pytest.mark.parametrize("i", [-1, 10, 1.0, "0"])
def test_replay_of_a_sample_that_is_not_there_is_refused(problem, i):
    result = ppi.evaluate(problem, make_policy(), samples=10)
    with pytest.raises(ppi.ProblemError, match="i is"):
        result.replay(i)


@pytest.mark.parametrize(
    ("cost", "success"),
    [([1.0], None), (5.0, None), ([[1.0, 2.0]], None), ("abc", None), ([1.0, 2.0], [True]), ([1.0, 2.0], [1.0, 0.0])],
)
def test_costs_that_are_no_vector_are_refused(cost, success):
    with pytest.raises(ppi.ProblemError):
        Evaluation(cost, success=success)


def test_results_are_immutable(problem):
    result = ppi.evaluate(problem, make_policy(), samples=10)
    for array in (result.cost, result.success):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(AttributeError):
        result.seed = 1
