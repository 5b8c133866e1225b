"""Stationary tables near a discount of 1: errors are bounded, and linear systems end what passes would not."""

import signal

import numpy as np
import pytest
from scipy import sparse

import ppi_robotics as ppi
from ppi_robotics.discrete import FiniteMDP, iterate, policy_iteration, policy_value, stationary

WEIGHTS = [(np.inf, 0.0), (0.0, 0.0), (2.0, 0.0), (np.inf, 1.5), (2.0, 0.7), (np.inf, -0.5), (np.inf, np.inf)]


def random_mdp(states, discount, seed=1, actions=2, following=4):
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(states * actions), following)
    data = rng.dirichlet(np.ones(following), states * actions).ravel()
    places = rng.integers(0, states, states * actions * following)
    matrix = sparse.csr_matrix((data, (rows, places)), shape=(states * actions, states))
    return FiniteMDP(matrix, rng.random((states, actions)), discount=discount)


def best_values(mdp):
    """Policy iteration by dense systems."""
    P, cost = mdp.dense(), mdp.cost
    best, every = np.zeros(mdp.states, int), np.arange(mdp.states)
    while True:
        V = np.linalg.solve(np.eye(mdp.states) - mdp.discount * P[every, best], cost[every, best])
        better = (cost + mdp.discount * P @ V).argmin(axis=1)
        if (better == best).all():
            return V
        best = better


def backed_up(mdp, V, weights):
    """T(V) by the formulas as they stand."""
    P, rho = mdp.dense(), 1.0 / mdp.actions

    def mean(p, f, weight):
        if weight == 0.0:
            return (p * f).sum(-1)
        if np.isinf(weight):
            return np.where(p > 0, f, np.inf * weight).min(-1)
        return -np.log((p * np.exp(-weight * f)).sum(-1)) / weight

    Q = mdp.cost + mdp.discount * (V.mean() + mean(P, (V - V.mean())[None, None], weights[1]))
    return Q.mean(1) + mean(np.full(Q.shape, rho), Q - Q.mean(1, keepdims=True), weights[0])


@pytest.mark.parametrize("discount", [0.9, 0.999])
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("tolerance", [1e-2, 1e-9])
def test_tolerance_bounds_the_error_of_the_value(weights, discount, tolerance):
    """A value is off by its residual over 1 - discount at most; the change in a pass says nothing of the kind."""
    mdp = random_mdp(30, discount)
    found = iterate(mdp, *weights, tolerance=tolerance)
    sure = iterate(mdp, *weights, tolerance=1e-11)
    assert found.status is sure.status is ppi.Status.CONVERGED
    assert np.abs(backed_up(mdp, sure.value, weights) - sure.value).max() <= (1 - discount) * 1e-10 * sure.value.max()
    assert np.abs(found.value - sure.value).max() <= found.error + 1e-10 * sure.value.max()
    assert found.error <= tolerance * found.value.max()


@pytest.mark.parametrize("krylov", [False, True])
def test_discounts_near_one_take_few_passes(monkeypatch, krylov):
    if krylov:
        monkeypatch.setattr(stationary, "MOST_WORK", 0)
    mdp = random_mdp(400, 0.9999)
    best = best_values(mdp)
    found, policies = iterate(mdp), policy_iteration(mdp)
    assert found.status is ppi.Status.CONVERGED
    assert found.sweeps < 100
    assert len(policies.change) < 20
    for value in (found.value, policies.value):
        np.testing.assert_allclose(value, best, rtol=1e-12)
    np.testing.assert_array_equal(found.log_policy, policies.log_policy)


def test_passes_alone_say_that_they_are_not_done(monkeypatch):
    """At .999 a thousand passes leave a third of the value; the change in a pass is then a thousandth of that."""
    monkeypatch.setattr(stationary.Passes, "newton_step", lambda _: False)
    mdp = random_mdp(30, 0.999)
    found = iterate(mdp, tolerance=1e-2, max_sweeps=1000)
    assert found.status is ppi.Status.MAX_ITERATIONS
    assert found.change < 1e-2 * found.value.max()
    assert np.abs(found.value - best_values(mdp)).max() > 0.1 * found.value.max()
    assert np.abs(found.value - best_values(mdp)).max() <= found.error


@pytest.mark.parametrize("following", ["walk", "random"])
def test_the_value_of_a_policy_is_one_linear_system(monkeypatch, following):
    """Undiscounted, to an end that a walk takes thousands of steps to reach; passes would take as many."""
    n = 200
    if following == "walk":
        P = np.zeros((n, 2, n))
        for x in range(1, n):
            P[x, 0, x - 1] = P[x, 0, min(x + 1, n - 1)] = 0.5
            P[x, 1, x - 1] = 1.0
    else:
        P = random_mdp(n, 0.5).dense().copy()
    P[0] = 0.0
    ends = np.arange(n) == 0
    mdp = FiniteMDP(P, np.where(ends[:, None], 0.0, 1.0 + np.arange(n)[:, None] % 3 + np.zeros(2)), absorbing=ends)
    monkeypatch.setattr(stationary.kernels, "backup_in_order", counted(stationary.kernels.backup_in_order, calls := []))
    policy = np.log(np.full((n, 2), 0.5))
    value = policy_value(mdp, policy)
    M, cost = P.mean(axis=1)[1:, 1:], mdp.cost.mean(axis=1)[1:]
    np.testing.assert_allclose(value[1:], np.linalg.solve(np.eye(n - 1) - M, cost), rtol=1e-10)
    assert len(calls) <= 3


def counted(whole, calls):
    def call(*arguments):
        calls.append(0)
        return whole(*arguments)

    return call


def test_bandwidth_is_that_of_the_best_order():
    n = 50
    order = np.random.default_rng(0).permutation(n)
    path = sparse.csr_matrix((np.ones(n - 1), (order[:-1], order[1:])), shape=(n, n))
    assert stationary.bandwidth(path) == 1
    assert stationary.bandwidth(sparse.csr_matrix((n, n))) == 0


def test_states_of_infinite_cost_stay_infinite():
    """From state 2 nothing but state 3 can be reached, whose actions are all forbidden."""
    P = np.zeros((4, 1, 4))
    P[0, 0, 1] = P[1, 0, 0] = P[2, 0, 3] = P[3, 0, 3] = 1.0
    mdp = FiniteMDP(P, np.array([[1.0], [2.0], [0.0], [np.inf]]), discount=0.9999)
    found = iterate(mdp)
    np.testing.assert_array_equal(np.isinf(found.value), [False, False, True, True])
    first = (1.0 + 0.9999 * 2.0) / (1.0 - 0.9999**2)
    assert found.value[0] == pytest.approx(first, rel=1e-2 if found.status is not ppi.Status.CONVERGED else 1e-11)


@pytest.mark.parametrize("value", [np.zeros(3), np.zeros((30, 1)), np.full(30, np.nan), "zeros", None])
def test_values_to_start_from_fit_or_are_refused(value):
    mdp = random_mdp(30, 0.9)
    if value is None:
        assert iterate(mdp, value=None).status.solved
        return
    with pytest.raises(ppi.ProblemError, match="value"):
        iterate(mdp, value=value)


def test_ctrl_c_ends_with_the_values_so_far(monkeypatch):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(stationary.Passes, "newton_step", lambda _: signal.raise_signal(signal.SIGINT))
    found = iterate(random_mdp(30, 0.9999))
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
    assert found.status is ppi.Status.INTERRUPTED
    assert found.sweeps == stationary.PATIENCE + 1
    assert np.isfinite(found.value).all()
