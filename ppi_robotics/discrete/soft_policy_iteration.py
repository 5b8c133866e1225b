"""Iterations over policies and values of tables, with their traces.

Psi-iteration is the soft backup about the policy that the last one found, Psi - bar Psi = log pi and bar Psi = -eta V:

    V^{n+1}(x) = R_eta^{pi^n}[Q^{n+1}(x, .)],   Q^{n+1} = c + gamma E V^n,   pi^{n+1} ~ pi^n exp(-eta Q^{n+1})

Rawlik, Toussaint, Vijayakumar, *On stochastic optimal control and reinforcement learning by approximate inference*
(RSS 2012). It is dynamic policy programming with the average log-sum-exp; with the Boltzmann average,

    V^{n+1}(x) = E_{pi^{n+1}}[Q^{n+1} - (log pi^n - E_{pi^n} log pi^n) / eta],

it is the form that Azar, Gomez and Kappen analyze (JMLR 13, 2012).

Majorization and minimization on tables: soft problems solved again and again, each about the last one's policy.

    N(pi)        V_T = c_T,  V_t = sum_u pi (c_t + R_lS[V_{t+1}])          cost of a policy, the risk over transitions
    G(pi | rho)  the same with log(pi / rho) / lP added to c_t             equals N at pi = rho, and is nowhere below
    pi^{k+1}   = argmin_pi G(pi | pi^k)                                   `solve` with baseline pi^k
    V^(k)      = min_pi G(pi | pi^k)

At every state N(pi^{k+1}) <= V^(k) <= N(pi^k): costs never rise, for lS of either sign, and the limit is the optimum of
weights inf and lS, whatever lP is. Finite lP buys small steps: log-odds of a worse action fall by lP times what it is
worse by, so that convergence is linear at a rate that grows with lP.

| iteration | lambda_policy | lambda_transition |
|---|---|---|
| Psi-iteration, dynamic policy programming of finite horizon | eta | 0 |
| posterior policy iteration | eta | eta |
| relative entropy policy search, a bound on the divergence of a step | `weight_of_bound` | 0 |
| natural policy gradient of step size eta | eta small | 0 |
| policy iteration | inf | 0 |

With lP = lS = l, V^(k) is also -(1/l) log E exp(-l C) under pi^k, the noise of the policy included.

*Unifying Entropy Regularization in Optimal Control*, arXiv 2512.06109, section 6; K. Rawlik, M. Toussaint and
S. Vijayakumar, *On stochastic optimal control and reinforcement learning by approximate inference* (RSS 2012).
"""

import math
from dataclasses import dataclass

import numpy as np

from ppi_robotics.checks import (
    as_finite,
    as_floats,
    check_choice,
    check_count,
    check_flag,
    check_function,
    check_instance,
    check_number,
)
from ppi_robotics.discrete import bellman, stationary
from ppi_robotics.discrete.bellman import (
    TableSolution,
    as_baseline,
    check_horizon,
    check_weights,
    evaluate_policy,
    solve,
)
from ppi_robotics.discrete.mdp import FiniteMDP
from ppi_robotics.entropic import log_softmax, log_sum
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import frozen
from ppi_robotics.interruption import Held
from ppi_robotics.solution import Status

AVERAGES = ("log_sum_exp", "boltzmann")


@dataclass(frozen=True, eq=False)
class Iterations:
    """Where iterations ended, and how they came there.

    Attributes:
      value: V (S,), or (T + 1, S) of a finite horizon: what the method takes for the cost of acting optimally.
      log_policy: log pi (S, A), or (T, S, A); -inf where an action is not taken.
      change: largest change of a value in each iteration (n,).
      error: e_J = max |V - truth| / max |truth| after each iteration (n,), nan without a truth.
      values: V after every iteration, where it is kept.
      policies: log pi likewise.
      eta: weight of the cost.
      interrupted: whether Ctrl-C was pressed; the iterations are those finished by then.
    """

    value: np.ndarray
    log_policy: np.ndarray
    change: np.ndarray
    error: np.ndarray
    values: tuple = ()
    policies: tuple = ()
    eta: float = math.inf
    interrupted: bool = False

    @property
    def policy(self):
        """Probabilities of the actions."""
        return np.exp(self.log_policy)

    @property
    def psi_bar(self):
        """bar Psi = -eta V; Psi is this plus `log_policy`."""
        return -self.eta * self.value

    def first_below(self, level):
        """Number of iterations after which the error is below a level for the first time; None if it never is."""
        below = np.flatnonzero(self.error < check_number(level, "level"))
        return int(below[0]) + 1 if len(below) else None


def value_error(value, truth):
    """e_J = max |value - truth| / max |truth| over states; leading axes are kept."""
    value, truth = as_finite(value, "value"), as_finite(truth, "truth", (None,))
    if value.shape[-1:] != truth.shape or not truth.any():
        raise ProblemError(f"value has shape {value.shape} and truth {truth.shape}; expected as many states, not all 0")
    return np.abs(value - truth).max(axis=-1) / np.abs(truth).max()


def psi_iteration(mdp, eta=1.0, iterations=100, horizon=None, psi=None, truth=None, average="log_sum_exp", keep=False):
    """Psi-iteration, or dynamic policy programming, with the model known.

    Without a horizon every iteration is one synchronous backup of a stationary problem, discounted or ending in
    absorbing states. With one it is a whole backward pass; then the cost of the policy falls at every state until it is
    optimal, which the stationary form does not promise.

    Args:
      mdp: `FiniteMDP`.
      eta: weight of the cost, positive; inf takes the best actions at once, which is value iteration.
      iterations: how many.
      horizon: number of stages of a finite horizon; those of the problem, if it is given for some.
      psi: Psi^0 (S, A), or (T, S, A) of a finite horizon; 0 by default. Entries of forbidden actions do not count.
      truth: values (S,) that `error` compares with, of the first stage of a finite horizon.
      average: "log_sum_exp", or "boltzmann" for a stationary problem.
      keep: keep values and policies of all iterations.

    Returns:
      `Iterations`.

    Raises:
      ProblemError: if an argument cannot be used.
    """
    check_choice(average, "average", AVERAGES)
    check_instance(mdp, "mdp", FiniteMDP)
    eta, keep = check_eta(eta), check_flag(keep, "keep")
    truth = _truth(mdp, truth)
    finite = horizon is not None or mdp.stages is not None
    if average == "boltzmann" and (finite or math.isinf(eta)):
        raise ProblemError("average 'boltzmann' needs a stationary problem and a finite eta; leave it out")
    iterations = check_count(iterations, "iterations", 1)
    T = bellman.check_horizon(mdp, horizon) if finite else 1
    V, log_pi = _split(mdp, psi, eta, T)
    if finite:
        V = np.concatenate((V, mdp.terminal[None]))
    else:
        stationary.approach(mdp, mdp.uniform)  # raises where costs never end
        V, log_pi = V[0], log_pi[0]
    trace, values, policies = [], [], []
    with Held() as hold:
        while len(trace) < iterations and not (trace and hold.pressed):
            before = V
            if finite:
                found = bellman.solve(mdp, eta, 0.0, log_pi, T)
                V, log_pi = found.value, found.log_policy
            else:
                V, log_pi = soft_step(mdp, eta, log_pi, V, average)
            error = math.nan if truth is None else value_error(V[0] if finite else V, truth)
            trace.append((_largest(V - before), error))
            if keep:
                values.append(V)
                policies.append(log_pi)
    return Iterations(V, log_pi, *np.array(trace).T, tuple(values), tuple(policies), float(eta), hold.pressed)


def _truth(mdp, truth):
    """Values (S,) to compare with, or None."""
    return None if truth is None else as_finite(truth, "truth", (mdp.states,))


def _split(mdp, psi, eta, T):
    """-bar Psi / eta (T, S) and Psi - bar Psi (T, S, A) of Psi."""
    shape = (T, mdp.states, mdp.actions)
    psi = as_floats(0.0 if psi is None else psi, "psi")
    if psi.shape not in ((), shape[1:], shape):
        raise ProblemError(f"psi has shape {psi.shape}; expected {shape[1:]} or {shape}")
    psi = np.broadcast_to(psi, shape)
    there = mdp.allowed | mdp.absorbing[:, None]
    if not np.isfinite(psi[:, there]).all():
        raise ProblemError("psi is infinite or nan at an allowed action; expected finite numbers")
    psi = np.where(there, psi, -np.inf)
    return np.where(mdp.absorbing, mdp.terminal, -log_sum(psi) / eta), log_softmax(psi)


def soft_step(mdp, eta, log_pi, V, average="log_sum_exp"):
    """Values (S,) and log policy (S, A) after one synchronous backup about a policy."""
    Q, after = np.empty(mdp.cost.shape), np.empty(mdp.states)
    bellman.sweep(mdp, 0, log_pi, (eta, 0.0), V, Q, after)
    moved = bellman.soft_policy(Q, after, mdp.uniform if math.isinf(eta) else log_pi, eta)
    if average == "boltzmann":
        advantage = np.where(np.isfinite(log_pi), log_pi + entropy(log_pi)[:, None], 0.0) / eta
        pi = np.exp(moved)
        boltzmann = np.sum(pi * (np.where(pi > 0.0, Q, 0.0) - advantage), axis=1)
        after = np.where(mdp.absorbing, mdp.terminal, boltzmann)
    return after, moved


def entropy(log_policy):
    """Entropies (..., S) of a policy in nats."""
    return -np.sum(np.exp(log_policy) * np.where(np.isfinite(log_policy), log_policy, 0.0), axis=-1)


def value_iteration(mdp, iterations=100, truth=None, keep=False):
    """Value iteration: synchronous backups with the hard minimum; arguments and result as for `psi_iteration`."""
    return psi_iteration(mdp, math.inf, iterations, truth=truth, keep=keep)


def policy_iteration(mdp, log_policy=None, truth=None, max_iterations=1000):
    """Policy iteration of a stationary problem: evaluate by a linear system, act best, until the policy stays.

    Args:
      mdp: `FiniteMDP`.
      log_policy: log pi (S, A) to start from, that ends or is discounted; equal probabilities by default.
      truth: as for `psi_iteration`.
      max_iterations: at most.

    Returns:
      `Iterations`, `value` being that of `log_policy`.

    Raises:
      ProblemError: if an argument cannot be used, or a policy never ends from some state.
    """
    check_instance(mdp, "mdp", FiniteMDP)
    max_iterations = check_count(max_iterations, "max_iterations", 1)
    truth = _truth(mdp, truth)
    log_pi, V, trace, values, policies = log_policy, None, [], [], []
    with Held() as hold:
        while len(trace) < max_iterations:
            before, V = V, policy_value(mdp, mdp.uniform if log_pi is None else log_pi, value=V)
            change = math.inf if before is None else _largest(V - before)
            trace.append((change, math.nan if truth is None else value_error(V, truth)))
            values.append(V)
            policies.append(mdp.uniform if log_pi is None else log_pi)
            stays = len(policies) > 1 and np.array_equal(policies[-1], policies[-2])
            if stays or hold.pressed or change <= bellman.TIES * max(1.0, _largest(V)):
                break
            log_pi = soft_step(mdp, math.inf, mdp.uniform, V)[1]
    facts = tuple(values), tuple(policies), math.inf, hold.pressed
    return Iterations(V, policies[-1], *np.array(trace).T, *facts)


def policy_value(mdp, log_policy, lambda_transition=0.0, value=None):
    """Cost (S,) of a stationary policy (S, A): the recursion with no weight of the cost against the policy.

    Without risk it is one sparse linear system.

    Raises:
      ProblemError: if the policy never ends from some state of an undiscounted problem, or an argument cannot be used.
    """
    return stationary.iterate(mdp, 0.0, lambda_transition, log_policy, value).value


def check_eta(eta):
    """The weight of the cost as a float, positive or inf."""
    eta = bellman.check_weights(eta, 0.0)[0]
    if eta == 0.0:
        raise ProblemError("eta is 0, so that the cost never counts; expected a positive number")
    if math.isinf(1.0 / eta):
        raise ProblemError(f"eta is {eta:g}, whose inverse is too large; expected 1e-300 or more")
    return eta


def _largest(change):
    return float(np.abs(change[np.isfinite(change)]).max(initial=0.0))


HALVINGS = 200  # of the interval of a weight; its digits end sooner


@dataclass(frozen=True, eq=False)
class Descent:
    """How an iteration went down.

    Attributes:
      cost: N(pi^k) of the first stage, (n + 1, S), k = 0 being the first baseline.
      bound: V^(k) of the first stage, (n, S), between N(pi^k) and N(pi^{k+1}).
      solution: `TableSolution` of the last sweep; its policy is pi^n.
      status: `Status`.
    """

    cost: np.ndarray
    bound: np.ndarray
    solution: TableSolution
    status: Status

    @property
    def iterations(self):
        """Number n of policies after the first baseline."""
        return len(self.bound)

    @property
    def rise(self):
        """Largest step up in N(pi^0), V^(0), N(pi^1), V^(1), ... at any state; rounding alone makes it positive."""
        chain = np.empty((2 * self.iterations + 1, self.cost.shape[1]))
        chain[::2], chain[1::2] = self.cost, self.bound
        return max(float(_drop(chain[1:], chain[:-1]).max()), 0.0)

    def gap(self, optimum):
        """Excess (n + 1,) of the cost over values (S,), at the state where it is largest."""
        return _drop(self.cost, as_finite(optimum, "optimum", (self.cost.shape[1],))).max(axis=1)


def majorize(
    mdp,
    lambda_policy,
    lambda_transition=0.0,
    baseline=None,
    horizon=None,
    tolerance=1e-9,
    max_iterations=1000,
    callback=None,
):
    """Stochastic optimal control, neutral or with risk, by soft steps from a first policy.

    Args:
      mdp: `FiniteMDP`.
      lambda_policy: weight of the cost against staying close to the last policy, above 0; inf is policy iteration.
      lambda_transition: risk weight of the problem, as for `solve`.
      baseline: logarithms of the first policy (S, A) or (T, S, A); actions that it never takes stay out.
      horizon: as for `solve`.
      tolerance: ends once no state's cost is above the optimum by more, relative to the largest cost. The optimum takes
        one hard pass; small steps far from it are no convergence.
      max_iterations: policies at most.
      callback: called with the iteration and the costs (S,) after each.

    Returns:
      `Descent`. Not converging is a status of it, and so is Ctrl-C.

    Raises:
      ProblemError: if an argument cannot be used.
    """
    T = check_horizon(mdp, horizon)
    weights = check_weights(lambda_policy, lambda_transition)
    if weights[0] == 0.0:
        raise ProblemError("lambda_policy is 0, at which policies never move; give a number above 0, or inf")
    max_iterations = check_count(max_iterations, "max_iterations", 1)
    tolerance = check_number(tolerance, "tolerance", least=0)
    check_function(callback, "callback", "the iteration and the costs")
    log_pi = as_baseline(mdp, baseline, T)
    log_pi = log_pi if len(log_pi) == T else log_pi[0]
    optimum = solve(mdp, math.inf, weights[1], log_pi, T).value[0]
    cost, bound, status = [evaluate_policy(mdp, log_pi, weights[1], T)[0]], [], Status.MAX_ITERATIONS
    with Held() as hold:
        while len(bound) < max_iterations and status is Status.MAX_ITERATIONS:
            solution = solve(mdp, *weights, log_pi, T)
            log_pi = solution.log_policy
            bound.append(solution.value[0])
            cost.append(evaluate_policy(mdp, log_pi, weights[1], T)[0])
            if callback is not None:
                callback(len(bound), cost[-1])
            size = np.abs(cost[-1]).max(where=np.isfinite(cost[-1]), initial=1.0)
            if _drop(cost[-1], optimum).max() <= tolerance * size:
                status = Status.CONVERGED
            elif hold.pressed:
                status = Status.INTERRUPTED
    return Descent(frozen(cost), frozen(bound), solution, status)


def posterior_policy_iteration(mdp, weight, **options):
    """`majorize` with both weights alike: every policy is the posterior of controls given success under the last one.

    The limit is the risk-seeking optimum of `weight`; that of weight to 0 is neutral. `Descent.bound` is the objective
    -(1/weight) log E exp(-weight C) of pi^k. Other arguments as for `majorize`.
    """
    return majorize(mdp, weight, weight, **options)


def entropic_cost(mdp, log_policy, weight, horizon=None):
    """-(1/weight) log E exp(-weight C) of trajectory costs C under a policy, (T + 1, S), of its own noise as well.

    Args:
      mdp: `FiniteMDP`.
      log_policy: (S, A) or (T, S, A).
      weight: positive seeks risk; 0 gives the expected cost, inf the least cost that can happen.
      horizon: as for `solve`.

    Raises:
      ProblemError: if the weight is negative, for which `solve` would need a policy that maximizes.
    """
    return solve(mdp, weight, weight, log_policy, horizon).value


def weight_of_bound(mdp, bound, baseline=None, start=None, horizon=None, tolerance=1e-10):
    """The soft step of largest improvement whose policies diverge from the baseline by no more than a bound.

    min_pi E[C]  subject to  E[ sum_t KL(pi_t || rho_t) ] <= bound, both over trajectories. Its multiplier is 1 /
    lambda_policy: the step is that of `solve` at lambda_transition 0, with the weight that the bound asks for, as in
    relative entropy policy search (J. Peters, K. Muelling, Y. Altun, AAAI 2010).

    Args:
      mdp: `FiniteMDP`.
      bound: of the divergence, above 0 [nats].
      baseline, horizon: as for `solve`.
      start: distribution (S,) of the first state; uniform by default.
      tolerance: of the divergence, relative to the bound.

    Returns:
      `TableSolution` and the divergence of its policy. Where even a hard minimum diverges less, lambda_policy is inf.

    Raises:
      ProblemError: if the bound is not positive, start is no distribution, or an argument of `solve` cannot be used.
    """
    T = check_horizon(mdp, horizon)
    bound = check_number(bound, "bound", above=0)
    tolerance = check_number(tolerance, "tolerance", least=0)
    start = np.full(mdp.states, 1.0 / mdp.states) if start is None else as_finite(start, "start", (mdp.states,))
    if (start < 0).any() or abs(start.sum() - 1.0) > 1e-9:
        raise ProblemError(f"start has entries of sum {start.sum():.6g}, least {start.min():g}; expected probabilities")
    log_rho = as_baseline(mdp, baseline, T)
    log_rho = np.broadcast_to(log_rho, (T, *log_rho.shape[1:]))

    def step(weight):
        solution = solve(mdp, weight, 0.0, log_rho, T)
        return solution, divergence(mdp, solution.log_policy, log_rho, start)

    hard = step(math.inf)
    if hard[1] <= bound:
        return hard
    low, high = -1.0, 1.0  # logarithms of the weight, in which the divergence rises
    while step(math.exp(high))[1] < bound:
        high += 2.0
    while step(math.exp(low))[1] > bound:
        low -= 2.0
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        found = step(math.exp(middle))
        if abs(found[1] - bound) <= tolerance * bound or not low < middle < high:
            break
        low, high = (middle, high) if found[1] < bound else (low, middle)
    return found


def divergence(mdp, log_policy, log_baseline, start):
    """E[ sum_t KL(pi_t || rho_t) ] over trajectories of the policy from states of distribution start (S,), in nats."""
    total, mass = 0.0, np.array(start, dtype=float)
    for t, (log_pi, log_rho) in enumerate(zip(log_policy, log_baseline, strict=True)):
        taken = np.isfinite(log_pi) & (mass > 0.0)[:, None] & ~mdp.absorbing[:, None]
        joint = np.where(taken, mass[:, None] * np.exp(log_pi), 0.0)
        total += float(np.sum(joint * (np.where(taken, log_pi, 0.0) - np.where(taken, log_rho, 0.0))))
        mass = np.where(mdp.absorbing, mass, 0.0) + mdp.at(t)[0].T @ joint.ravel()
    return total


def _drop(upper, lower):
    """upper - lower, 0 where both are infinite."""
    same = upper == lower
    return np.where(same, 0.0, np.subtract(upper, lower, where=~same, out=np.zeros(np.broadcast(upper, lower).shape)))
