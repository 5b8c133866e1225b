"""Psi with features: exact on tables with one feature a pair, and on linear dynamics with quadratic costs."""

import math

import numpy as np
import pytest

import ppi_robotics as ppi
from plants import GridWorld
from ppi_robotics.discrete import (
    QuadraticPsi,
    Transitions,
    baseline_psi,
    iterate,
    least_squares_psi,
    lstd_q,
    policy_value,
    psi_iteration,
    quadratic_psi_step,
    sample_transitions,
)
from ppi_robotics.recursion import Baseline, LocalModel, backward


def one_hot(mdp):
    return np.eye(mdp.states * mdp.actions).reshape(mdp.states, mdp.actions, -1)


@pytest.fixture(scope="module")
def rooms():
    world = GridWorld("rooms")
    return world, sample_transitions(world.mdp, 40_000, seed=1)


def test_sampled_transitions_have_the_probabilities_of_the_problem(rooms):
    world, stored = rooms
    model, mdp = stored.model(), world.mdp
    acting = ~mdp.absorbing
    assert (model.allowed[acting] == mdp.allowed[acting]).all()
    # about 150 of each pair: 5 standard deviations of a share of 0.8
    assert np.abs(
        (model.transition[0] - mdp.transition[0]).toarray()[np.repeat(acting, 4)]
    ).max() < 5 * 0.4 / math.sqrt(120)
    again = sample_transitions(mdp, 40_000, seed=1)
    np.testing.assert_array_equal(again.after, stored.after)


def test_one_feature_a_pair_is_psi_iteration_on_the_empirical_model(rooms):
    _, stored = rooms
    model = stored.model()
    _, value, log_policy = least_squares_psi(stored, one_hot(model), 1.0, 60, ridge=1e-13)
    # the weights start from Psi = 0, as the iteration does
    known = psi_iteration(model, 1.0, 60)
    np.testing.assert_allclose(value, known.value, atol=1e-7)
    acting = ~stored.absorbing
    np.testing.assert_allclose(np.exp(log_policy)[acting], known.policy[acting], atol=1e-6)
    np.testing.assert_allclose(value, iterate(model).value, rtol=5e-3)  # moves of nearly equal cost take longer


def test_lstd_with_one_feature_a_pair_is_the_cost_of_the_policy(rooms):
    _, stored = rooms
    model = stored.model()
    _, Q = lstd_q(stored, one_hot(model), model.uniform, ridge=1e-13)
    value = np.sum(np.exp(model.uniform) * np.where(model.allowed, Q, 0.0), axis=1)
    expected = policy_value(model, model.uniform)
    acting = ~stored.absorbing
    np.testing.assert_allclose(value[acting], expected[acting], rtol=1e-4)


def test_few_features_find_a_good_policy():
    """Position, its squares and the move: five features a move on an open field, where costs are nearly linear."""
    world = GridWorld("\n".join(["." * 8] * 7 + ["." * 7 + "*"]), discount=0.95)
    row, column = (world.position / 7.0).T
    state = np.stack([np.ones(64), row, column, row * column, row**2, column**2], axis=1)
    features = np.einsum("xk,uv->xuvk", state, np.eye(4)).reshape(64, 4, 24)
    stored = sample_transitions(world.mdp, 20_000, seed=0)
    *_, log_policy = least_squares_psi(stored, features, 1.0, 40)
    best = iterate(world.mdp).value
    acting = ~world.mdp.absorbing
    walk = np.where(acting[:, None], log_policy, world.mdp.uniform)
    assert policy_value(world.mdp, walk).mean() < 1.05 * best.mean()
    assert policy_value(world.mdp, world.mdp.uniform).mean() > 1.5 * best.mean()


# -- continuous --------------------------------------------------------------------------------------------------------

T, NX, NU, ETA = 4, 2, 1, 0.7


def linear_problem():
    """A linear problem with quadratic costs: A, B, d, noise factors, and the symmetric matrices of the costs in z."""
    rng = np.random.default_rng(0)
    A, B, d = np.eye(NX) + 0.3 * rng.normal(size=(NX, NX)), rng.normal(size=(NX, NU)), 0.2 * rng.normal(size=NX)
    G = 0.3 * rng.normal(size=(NX, NX))
    root = rng.normal(size=(NX + NU, NX + NU))
    return A, B, d, G, root @ root.T + np.eye(NX + NU), rng.normal(size=NX + NU), np.diag([2.0, 1.0])


def test_iterates_on_linear_dynamics_are_those_of_the_backward_sweep():
    A, B, d, G, C, c, end = linear_problem()

    def over(array, count=T):
        return np.tile(array, (count, *[1] * np.ndim(array))).astype(float)

    Cxx, cx = np.concatenate((over(C[:NX, :NX]), end[None])), np.concatenate((over(c[:NX]), np.zeros((1, NX))))
    model = LocalModel(
        over(A), over(B), over(d), over(G), Cxx, over(C[NX:, :NX]), over(C[NX:, NX:]), cx, over(c[NX:]), np.zeros(T + 1)
    )
    baseline = Baseline(over(np.zeros((NU, NX))), over(np.zeros(NU)), over(np.eye(NU)))
    psi = [baseline_psi(*parts) for parts in zip(baseline.K, baseline.k, baseline.cov, strict=True)]
    rng = np.random.default_rng(1)
    x, u = rng.normal(size=(40, NX)), rng.normal(size=(40, NU))
    points = math.sqrt(NX) * np.concatenate((np.eye(NX), -np.eye(NX)))  # exact for quadratic functions
    after = (x @ A.T + u @ B.T + d)[:, None] + points @ G.T
    z = np.concatenate((x, u), axis=1)
    cost = 0.5 * np.einsum("ni,ij,nj->n", z, C, z) + z @ c
    for _ in range(3):
        sweep = backward(model, ETA, 0.0, baseline)
        ahead = lambda y: -ETA * 0.5 * np.einsum("...i,ij,...j->...", y, end, y)  # noqa: E731
        for t in reversed(range(T)):
            psi[t] = quadratic_psi_step(psi[t], x, u, cost, after, ETA, ahead=ahead)
            ahead = psi[t].bar
        for t in range(T):
            k, K = psi[t].gain
            np.testing.assert_allclose(K, sweep.K[t], atol=1e-8)
            np.testing.assert_allclose(k, sweep.k[t], atol=1e-8)
            np.testing.assert_allclose(psi[t].cov, sweep.cov[t], rtol=1e-7)
            V = 0.5 * np.einsum("ni,ij,nj->n", x, sweep.value.P[t], x) + x @ sweep.value.p[t] + sweep.value.p0[t]
            np.testing.assert_allclose(-psi[t].bar(x) / ETA, V, rtol=1e-7, atol=1e-8)
        baseline = Baseline(sweep.K, sweep.k, sweep.cov)


def test_sampled_transitions_approach_the_expectations():
    """Discounted, from noisy samples: the gain of the tenth iteration is that of exact expectations up to noise."""
    A, B, d, G, C, c, _ = linear_problem()
    rng = np.random.default_rng(2)
    gains = []
    for exact in (True, False):
        x, u = rng.normal(size=(20_000, NX)), rng.normal(size=(20_000, NU))
        mean = x @ A.T + u @ B.T + d
        points = math.sqrt(NX) * np.concatenate((np.eye(NX), -np.eye(NX)))
        after = mean[:, None] + points @ G.T if exact else mean + rng.normal(size=x.shape) @ G.T
        z = np.concatenate((x, u), axis=1)
        cost = 0.5 * np.einsum("ni,ij,nj->n", z, C, z) + z @ c
        psi = baseline_psi(np.zeros((NU, NX)), np.zeros(NU), np.eye(NU))
        for _ in range(10):
            psi = quadratic_psi_step(psi, x, u, cost, after, ETA, discount=0.8)
        gains.append(np.append(*psi.gain))
    np.testing.assert_allclose(gains[1], gains[0], atol=0.05)


def test_bar_psi_is_the_logarithm_of_the_integral():
    rng = np.random.default_rng(3)
    M = rng.normal(size=(4, 4))
    M = M + M.T
    M[3, 3] = -3.0
    psi, x = QuadraticPsi(M, 2), rng.normal(size=(5, 2))
    u = np.linspace(-30, 30, 60_001)
    for one, bar in zip(x, psi.bar(x), strict=True):
        values = psi(np.broadcast_to(one, (len(u), 2)), u[:, None])
        assert bar == pytest.approx(math.log(np.exp(values).sum() * (u[1] - u[0])), rel=1e-9)


STANDARD, ONES = baseline_psi([[0.0]], [0.0], [[1.0]]), np.ones((9, 1))
ONE, FREE = np.array([1]), np.zeros(2, bool)
BAD = {
    "lengths": (
        lambda: Transitions([0], [0], [0, 1], [1.0], np.ones((2, 1)), np.zeros(2, bool)),
        r"has shape \(\d+,\); expected",
    ),
    "range": (
        lambda: Transitions(2 * ONE, 0 * ONE, 0 * ONE, ONE, np.ones((2, 1)), FREE),
        "state has 2 at index \\(0,\\); expected whole numbers from 0 to 1",
    ),
    "left": (
        lambda: Transitions(
            np.array([0]), np.array([0]), np.array([1]), np.ones(1), np.ones((2, 1), bool), np.zeros(2, bool)
        ).model(),
        "state 1 was reached but never left",
    ),
    "rank": (
        lambda: quadratic_psi_step(STANDARD, ONES, ONES, np.ones(9), ONES),
        "the transitions determine 1 of 6 weights",
    ),
    "shapes": (
        lambda: quadratic_psi_step(STANDARD, ONES, ONES[:8], np.ones(9), ONES),
        r"u has shape \(8, 1\); expected \(9, 1\)",
    ),
    "convex": (lambda: QuadraticPsi(np.eye(3), 1), "Psi has no maximum in u"),
    "features": (
        lambda: least_squares_psi(sample_transitions(GridWorld("cup").mdp, 10), np.ones((3, 4, 2))),
        r"features has shape \(3, 4, 2\); expected \(83, 4, any\)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_says_what_is_wrong(case):
    make, message = BAD[case]
    with pytest.raises(ppi.ProblemError, match=message):
        make()
