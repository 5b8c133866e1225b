"""Psi-iteration and learning on tables: published traces, identities between methods, guarantees, bad input."""

import itertools
import math

import numpy as np
import pytest

import ppi_robotics as ppi
from plants import GridWorld
from ppi_robotics.discrete import (
    FiniteMDP,
    iterate,
    learn,
    policy_iteration,
    policy_value,
    psi_iteration,
    ratio,
    solve,
    value_iteration,
)

TRACES = {  # e_J after 1, 10, 20, 30, 40 iterations on the map rooms, found once by an independent program
    0.1: (1.3235486827903316, 0.9401864156287244, 0.6134063643801532, 0.4545879442123967, 0.6742168039720019),
    1.0: (0.9944601314369279, 0.6150712731418195, 0.2034458999492805, 0.10554749916711381, 3.112714287328203e-05),
    10.0: (0.9615512763015875, 0.5825597588931289, 0.1624498654652747, 1.745319865898111e-4, 3.5259568831909434e-09),
}


@pytest.fixture(scope="module")
def rooms():
    world = GridWorld("rooms")
    return world.mdp, 1.25 * world.distance


def chains(seed, S=5, A=3, **more):
    """A random process and its plain arrays P (S, A, S) and c (S, A)."""
    rng = np.random.default_rng(seed)
    P, c = rng.dirichlet(0.3 * np.ones(S), (S, A)), rng.uniform(size=(S, A))
    return FiniteMDP(P, c, **more), P, c


def cost_of(pi, P, c, discount):
    """Cost (S,) of a stationary policy by a linear solve."""
    moved = np.einsum("xu,xuy->xy", pi, P)
    return np.linalg.solve(np.eye(len(P)) - discount * moved, (pi * c).sum(axis=1))


# -- the model known ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eta", TRACES)
def test_psi_iteration_has_the_errors_of_an_independent_program(rooms, eta):
    mdp, truth = rooms
    found = psi_iteration(mdp, eta, 40, truth=truth)
    np.testing.assert_allclose(found.error[[0, 9, 19, 29, 39]], TRACES[eta], rtol=0, atol=1e-12)


def test_larger_weights_converge_in_fewer_iterations(rooms):
    mdp, truth = rooms
    counts = [psi_iteration(mdp, eta, 80, truth=truth).first_below(1e-3) for eta in (0.1, 1.0, 10.0, math.inf)]
    assert counts == [68, 37, 28, 30]  # value iteration starts elsewhere, from 0


def test_psi_iteration_is_its_own_definition():
    """Psi <- Psi - bar Psi - eta c + gamma P bar Psi in plain numpy, from a random Psi."""
    mdp, P, c = chains(3, discount=0.9)
    psi = np.random.default_rng(4).normal(size=c.shape)
    found = psi_iteration(mdp, 1.5, 25, psi=psi)
    for _ in range(25):
        bar = np.log(np.exp(psi).sum(axis=1))
        psi = psi - bar[:, None] - 1.5 * c + 0.9 * P @ bar
    np.testing.assert_allclose(found.psi_bar[:, None] + found.log_policy, psi, rtol=1e-12)


def test_dynamic_policy_programming_is_its_own_definition():
    """Psi <- Psi - M Psi - c + gamma P M Psi with the Boltzmann mean M, the form of its authors with eta outside."""
    mdp, P, c = chains(5, discount=0.9)
    found = psi_iteration(mdp, 2.0, 25, average="boltzmann")
    psi, bar = np.zeros(c.shape), np.full(5, -0.5 * -np.log(3))

    def mean(psi):
        pi = np.exp(2.0 * psi) / np.exp(2.0 * psi).sum(axis=1, keepdims=True)
        return (pi * psi).sum(axis=1), pi

    advantage = psi - mean(psi)[0][:, None]
    for _ in range(25):
        psi = advantage - c + 0.9 * P @ bar
        bar, pi = mean(psi)
        advantage = psi - bar[:, None]
    np.testing.assert_allclose(found.value, -bar, rtol=1e-11)
    np.testing.assert_allclose(found.policy, pi, atol=1e-12)


def test_finite_horizon_iterations_never_cost_more_anywhere():
    rng = np.random.default_rng(6)
    mdp = FiniteMDP(rng.dirichlet(np.ones(5), (4, 5, 3)), rng.uniform(size=(4, 5, 3)), rng.uniform(size=5))
    best = solve(mdp).value
    found = psi_iteration(mdp, 3.0, 400, keep=True, truth=best[0])
    costs = [solve(mdp, 0.0, 0.0, log_pi).value for log_pi in found.policies]
    assert all((after <= before + 1e-13).all() for before, after in zip(costs, costs[1:], strict=False))
    # V of an iteration lies between the costs of the policies before and after it
    for value, before, after in zip(found.values[1:], costs, costs[1:], strict=False):
        assert (value <= before + 1e-13).all()
        assert (after <= value + 1e-13).all()
    np.testing.assert_allclose(costs[-1], best, atol=1e-3)
    assert found.error[-1] < 1e-3


def test_finite_horizon_iterations_are_their_own_definition():
    """Psi_t = log pi_t - eta c_t + E bar Psi_{t+1} backward, in plain numpy."""
    rng = np.random.default_rng(7)
    P, c, end = rng.dirichlet(np.ones(4), (3, 4, 2)), rng.uniform(size=(3, 4, 2)), rng.uniform(size=4)
    log_pi = np.full((3, 4, 2), -math.log(2))
    for count in (1, 2, 3):
        bar = -1.3 * end
        for t in reversed(range(3)):
            psi = log_pi[t] - 1.3 * c[t] + P[t] @ bar
            bar = np.log(np.exp(psi).sum(axis=1))
            log_pi[t] = psi - bar[:, None]
        found = psi_iteration(FiniteMDP(P, c, end), 1.3, count)
        np.testing.assert_allclose(found.log_policy, log_pi, atol=1e-12)
        np.testing.assert_allclose(found.psi_bar[0], bar, atol=1e-12)


def test_divergence_from_the_posterior_is_cost_and_divergence_from_the_baseline():
    """KL(q_pi || p(. | r = 1)) = log Z + eta J(pi) + E sum KL(pi_t || rho_t), summed over all trajectories."""
    rng, (T, S, A), eta = np.random.default_rng(9), (2, 3, 2), 0.8
    P, c, end = rng.dirichlet(np.ones(S), (T, S, A)), rng.uniform(size=(T, S, A)), rng.uniform(size=S)
    pi, rho = rng.dirichlet(np.ones(A), (2, T, S))
    q, p, weight = [], [], []
    for u0, x1, u1, x2 in itertools.product(range(A), range(S), range(A), range(S)):
        chance = P[0, 0, u0, x1] * P[1, x1, u1, x2]
        q.append(pi[0, 0, u0] * pi[1, x1, u1] * chance)
        p.append(rho[0, 0, u0] * rho[1, x1, u1] * chance)
        weight.append(math.exp(-eta * (c[0, 0, u0] + c[1, x1, u1] + end[x2])))
    q, joint = np.array(q), np.array(p) * weight
    divergence = np.sum(q * np.log(q / (joint / joint.sum())))
    mdp = FiniteMDP(P, c, end)
    charged = FiniteMDP(P, c + np.log(pi / rho) / eta, end)  # the divergence as a cost
    assert divergence == pytest.approx(math.log(joint.sum()) + eta * solve(charged, 0.0, 0.0, np.log(pi)).value[0, 0])
    assert -math.log(joint.sum()) / eta == pytest.approx(solve(mdp, eta, eta, np.log(rho)).value[0, 0])


def test_discounted_iterations_reach_the_optimum_but_can_cost_more_on_their_way():
    """A counterexample to monotone costs: a random start, of which the policy gets worse at a state in an iteration."""
    worse = 0
    for seed in range(40):
        mdp, P, c = chains(seed, S=4, A=2, discount=0.95)
        psi = 3.0 * np.random.default_rng(1000 + seed).normal(size=c.shape)
        found = psi_iteration(mdp, 1.0, 60, psi=psi, keep=True)
        costs = np.array([cost_of(np.exp(log_pi), P, c, 0.95) for log_pi in found.policies])
        worse += bool((np.diff(costs, axis=0) > 1e-6).any())
    assert worse > 0
    far = psi_iteration(mdp, 1.0, 4000, psi=psi)
    np.testing.assert_allclose(far.value, iterate(mdp).value, rtol=2e-3)
    np.testing.assert_allclose(cost_of(far.policy, P, c, 0.95), iterate(mdp).value, rtol=2e-3)


@pytest.mark.parametrize("average", ["log_sum_exp", "boltzmann"])
@pytest.mark.parametrize("eta", [0.3, 1.0, 10.0])
def test_policies_stay_within_the_bound_of_dynamic_policy_programming(average, eta):
    """Azar, Gomez, Kappen (2012): |Q* - Q^k| <= 2 gamma (4 V_max + log|A| / eta) / ((1 - gamma)^2 (k + 1))."""
    gamma = 0.8
    for seed in range(5):
        mdp, P, c = chains(seed, discount=gamma)
        best = c + gamma * P @ iterate(mdp).value
        found = psi_iteration(mdp, eta, 60, average=average, keep=True)
        for k, log_pi in enumerate(found.policies, 1):
            Q = c + gamma * P @ cost_of(np.exp(log_pi), P, c, gamma)
            bound = 2 * gamma * (4 * c.max() / (1 - gamma) + math.log(3) / eta) / ((1 - gamma) ** 2 * (k + 1))
            assert np.abs(Q - best).max() <= bound


def test_policy_iteration_and_value_iteration_agree(rooms):
    mdp, truth = rooms
    found = policy_iteration(mdp, truth=truth)
    assert found.error[-1] < 1e-9
    assert (np.diff(found.values, axis=0) <= 1e-8).all()  # no policy costs more than the one before
    assert value_iteration(mdp, 80, truth=truth).error[-1] < 1e-12
    small, P, c = chains(8, discount=0.9)
    better = policy_iteration(small)
    np.testing.assert_allclose(better.value, cost_of(better.policy, P, c, 0.9), rtol=1e-11)
    np.testing.assert_allclose(better.value, iterate(small).value, rtol=1e-11)
    np.testing.assert_allclose(
        policy_value(small, small.uniform), cost_of(np.full((5, 3), 1 / 3), P, c, 0.9), rtol=1e-11
    )


# -- learning ----------------------------------------------------------------------------------------------------------


def by_hand(P, c, ends, method, behavior, eta, step, count, gamma, seed):
    """The methods in plain loops, with another random generator."""
    rng, (S, A) = np.random.default_rng(seed), c.shape
    table = np.full((S, A), 0.0 if method == "q" else -math.log(A))

    def bar(x):
        if ends[x]:
            return 0.0
        if method == "q":
            return table[x].min()
        total = np.log(np.exp(table[x]).sum())
        return total if method == "psi" else (np.exp(table[x] - total) * table[x]).sum()

    x, age = None, 0
    for k in range(count):
        if x is None or ends[x] or age == 100:
            x, age = rng.choice(np.flatnonzero(~ends)), 0
        weights = np.exp(-eta * table[x] if method == "q" else table[x]) if behavior == "online" else np.ones(A)
        u = rng.choice(A, p=weights / weights.sum())
        y = rng.choice(S, p=P[x, u])
        target = c[x, u] + gamma * bar(y) - table[x, u] if method == "q" else -eta * c[x, u] + gamma * bar(y) - bar(x)
        table[x, u] += step / (step + k) * target
        x, age = y, age + 1
    return np.array([bar(x) / (1.0 if method == "q" else -eta) for x in range(S)])


@pytest.mark.parametrize("behavior", ["uniform", "online"])
@pytest.mark.parametrize("method", ["q", "psi", "dpp"])
def test_learning_is_its_own_definition_in_distribution(method, behavior):
    """Mean learned values of many short trials agree with those of plain loops within their standard errors."""
    P, c = np.zeros((4, 2, 4)), np.array([[1.0, 0.7], [1.0, 1.3], [0.4, 1.0], [0.0, 0.0]])
    P[0], P[1], P[2], P[3] = (
        [[0, 0.8, 0.2, 0], [0.5, 0, 0.5, 0]],
        [[0.3, 0, 0, 0.7], [0, 0, 0, 1]],
        [0, 0.5, 0, 0.5],
        [0, 0, 0, 1],
    )
    ends = np.arange(4) == 3
    how = {"eta": 1.5, "step": 40.0}
    result = learn(FiniteMDP(P, c, absorbing=ends), method, behavior, transitions=120, every=120, trials=4000, **how)
    plain = np.array([by_hand(P, c, ends, method, behavior, 1.5, 40.0, 120, 1.0, i) for i in range(150)])
    error = np.sqrt(plain.var(axis=0, ddof=1) / 150 + result.value.var(axis=0, ddof=1) / 4000)
    # 3 states: 4 standard errors are passed by chance once in 5,000 runs, and seeds are fixed
    assert (np.abs(plain.mean(axis=0) - result.value.mean(axis=0))[:3] < 4.0 * error[:3]).all()


@pytest.mark.parametrize(
    ("method", "behavior"), [("q", "uniform"), ("psi", "uniform"), ("psi", "online"), ("dpp", "online")]
)
def test_learned_values_and_policies_approach_the_best(rooms, method, behavior):
    mdp, truth = rooms
    result = learn(mdp, method, behavior, 1.0, 3000, 200_000, 20_000, trials=2, truth=truth)
    assert (result.error[:, -1] < 0.1).all()
    assert (result.error[:, -1] < 0.3 * result.error[:, 0]).all()
    np.testing.assert_allclose(result.error[:, -1], np.abs(result.value - truth).max(axis=1) / truth.max(), rtol=1e-12)
    acting = ~mdp.absorbing
    np.testing.assert_allclose(np.exp(result.log_policy).sum(axis=2)[:, acting], 1.0, rtol=1e-12)
    for log_pi in result.log_policy:
        walk = np.where(acting[:, None], np.exp(log_pi), np.exp(mdp.uniform))
        with np.errstate(divide="ignore"):
            assert policy_value(mdp, np.log(walk)).mean() < 1.3 * truth.mean()


def test_trials_are_reproducible_and_independent_of_each_other(rooms):
    mdp, truth = rooms
    one, three = (learn(mdp, "psi", "online", trials=n, transitions=4000, seed=7, truth=truth) for n in (1, 3))
    np.testing.assert_array_equal(one.error[0], three.error[0])
    assert not np.array_equal(three.error[0], three.error[1])
    longer = learn(mdp, "psi", "online", trials=1, transitions=8000, seed=7, truth=truth)
    np.testing.assert_array_equal(longer.error[0, :4], one.error[0])
    assert not np.array_equal(learn(mdp, "psi", "online", transitions=4000, seed=8, truth=truth).error[0], one.error[0])


def test_crossings_are_those_of_the_mean_and_of_each_trial(rooms):
    mdp, truth = rooms
    result = learn(mdp, "psi", "online", 1.0, 3000, 40_000, 1000, trials=3, truth=truth)
    first = result.reached(0.3)
    i = list(result.transitions).index(first)
    assert result.mean[i] < 0.3 <= result.mean[:i].min()
    assert len(result.reached_each(0.3)) == 3
    assert result.reached(1e-9) is None


def test_ratios_of_crossings_come_with_their_spread(rooms):
    mdp, truth = rooms
    q, psi = (
        learn(mdp, *how, 1.0, 3000, 40_000, 1000, trials=8, truth=truth)
        for how in (("q", "uniform"), ("psi", "online"))
    )
    found, low, high = ratio(psi, q, 0.3)
    assert found == psi.reached(0.3) / q.reached(0.3)
    assert low <= found <= high < 1.0
    assert ratio(q, q, 0.3) == (1.0, 1.0, 1.0)
    assert ratio(psi, q, 0.06)[0] < 1.0
    assert np.isnan(ratio(psi, q, 1e-9)).all()
    with pytest.raises(ppi.ProblemError, match="different numbers of trials"):
        ratio(psi, learn(mdp, "q", transitions=40_000, trials=2, truth=truth), 0.3)


CHAIN = FiniteMDP(np.array([[[0.0, 1.0]], [[0.0, 1.0]]]), np.ones((2, 1)), absorbing=[False, True])
FOREVER = FiniteMDP(np.array([[[0.0, 1.0]], [[0.0, 1.0]]]), np.ones((2, 1)))
BAD = {
    "eta": (lambda: psi_iteration(CHAIN, 0.0), "eta is 0, so that the cost never counts"),
    "negative": (lambda: learn(CHAIN, eta=-1.0), "a negative weight would maximize"),
    "average": (
        lambda: psi_iteration(CHAIN, average="mean"),
        "average is 'mean'; choose from log_sum_exp, boltzmann",
    ),
    "boltzmann": (
        lambda: psi_iteration(CHAIN, average="boltzmann", horizon=3),
        "'boltzmann' needs a stationary problem",
    ),
    "psi": (lambda: psi_iteration(CHAIN, psi=np.zeros((3, 1))), r"psi has shape \(3, 1\); expected \(2, 1\)"),
    "infinite": (lambda: psi_iteration(CHAIN, psi=[[-np.inf], [0.0]]), "psi is infinite or nan at an allowed action"),
    "endless": (lambda: psi_iteration(FOREVER), "costs never end"),
    "method": (lambda: learn(CHAIN, "sarsa"), "method is 'sarsa'; choose from q, psi, dpp"),
    "behavior": (lambda: learn(CHAIN, behavior="greedy"), "behavior is 'greedy'; choose from uniform, online"),
    "step": (lambda: learn(CHAIN, step=0.0), "is 0.0; expected a positive"),
    "transitions": (lambda: learn(CHAIN, transitions=1500, every=1000), "transitions is 1500, no multiple of every"),
    "start": (lambda: learn(CHAIN, start=[1]), r"start is \[1\]; expected states from 0 to 1 that are not absorbing"),
    "truth": (lambda: learn(CHAIN, truth=np.zeros(2)), "truth is 0 everywhere"),
    "stages": (
        lambda: learn(FiniteMDP(np.ones((2, 1, 1, 1)), np.ones((1, 1)))),
        "the problem is given for 2 stages; learning needs a stationary one",
    ),
    "cost": (
        lambda: learn(FiniteMDP(CHAIN.transition[0], [[np.inf], [0.0]], absorbing=[False, True])),
        "truth has a non-finite entry",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_says_what_is_wrong(case):
    make, message = BAD[case]
    with pytest.raises(ppi.ProblemError, match=message):
        make()
