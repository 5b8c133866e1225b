"""Psi-iteration, value iteration and policy iteration on tables, with their traces.

Psi-iteration is the soft backup about the policy that the last one found, Psi - bar Psi = log pi and bar Psi = -eta V:

    V^{n+1}(x) = R_eta^{pi^n}[Q^{n+1}(x, .)],   Q^{n+1} = c + gamma E V^n,   pi^{n+1} ~ pi^n exp(-eta Q^{n+1})

Rawlik, Toussaint, Vijayakumar, *On stochastic optimal control and reinforcement learning by approximate inference*
(RSS 2012). It is dynamic policy programming with the average log-sum-exp; with the Boltzmann average,

    V^{n+1}(x) = E_{pi^{n+1}}[Q^{n+1} - (log pi^n - E_{pi^n} log pi^n) / eta],

it is the form that Azar, Gomez and Kappen analyze (JMLR 13, 2012).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics.checks import (
    as_finite,
    as_floats,
    check_choice,
    check_count,
    check_flag,
    check_instance,
    check_number,
)
from ppi_robotics.discrete.bellman import (
    TIES,
    backup,
    check_horizon,
    check_weights,
    soft_policy,
    solve,
)
from ppi_robotics.discrete.mdp import FiniteMDP
from ppi_robotics.discrete.stationary import approach, policy_value
from ppi_robotics.entropic import log_softmax, log_sum
from ppi_robotics.errors import ProblemError
from ppi_robotics.interruption import Held

AVERAGES = ("log_sum_exp", "boltzmann")


@dataclass(frozen=True, eq=False)
class Iterations:
    """Values and policies of an iteration, and its convergence.

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
    values: tuple[np.ndarray, ...] = ()
    policies: tuple[np.ndarray, ...] = ()
    eta: float = math.inf
    interrupted: bool = False

    @property
    def policy(self) -> np.ndarray:
        """Probabilities of the actions."""
        return np.exp(self.log_policy)

    @property
    def psi_bar(self) -> np.ndarray:
        """bar Psi = -eta V; Psi is this plus `log_policy`."""
        return -self.eta * self.value

    def first_below(self, level: float) -> int | None:
        """Number of iterations after which the error is below a level for the first time; None if it never is."""
        below = np.flatnonzero(self.error < check_number(level, "level"))
        return int(below[0]) + 1 if len(below) else None


def value_error(value: ArrayLike, truth: ArrayLike) -> np.ndarray:
    """e_J = max |value - truth| / max |truth| over states; leading axes are kept."""
    value, truth = as_finite(value, "value"), as_finite(truth, "truth", (None,))
    if value.shape[-1:] != truth.shape or not truth.any():
        raise ProblemError(f"value has shape {value.shape} and truth {truth.shape}; expected as many states, not all 0")
    return np.abs(value - truth).max(axis=-1) / np.abs(truth).max()


def psi_iteration(
    mdp: FiniteMDP,
    eta: float = 1.0,
    iterations: int = 100,
    horizon: int | None = None,
    psi: ArrayLike | None = None,
    truth: ArrayLike | None = None,
    average: str = "log_sum_exp",
    keep: bool = False,
) -> Iterations:
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
    T = check_horizon(mdp, horizon) if finite else 1
    V, log_pi = _split(mdp, psi, eta, T)
    if finite:
        V = np.concatenate((V, mdp.terminal[None]))
    else:
        approach(mdp, mdp.uniform)  # raises where costs never end
        V, log_pi = V[0], log_pi[0]
    trace, values, policies = [], [], []
    with Held() as hold:
        while len(trace) < iterations and not (trace and hold.pressed):
            before = V
            if finite:
                found = solve(mdp, eta, 0.0, log_pi, T)
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
    backup(mdp, 0, log_pi, (eta, 0.0), V, Q, after)
    moved = soft_policy(Q, after, mdp.uniform if math.isinf(eta) else log_pi, eta)
    if average == "boltzmann":
        advantage = np.where(np.isfinite(log_pi), log_pi + entropy(log_pi)[:, None], 0.0) / eta
        pi = np.exp(moved)
        boltzmann = np.sum(pi * (np.where(pi > 0.0, Q, 0.0) - advantage), axis=1)
        after = np.where(mdp.absorbing, mdp.terminal, boltzmann)
    return after, moved


def entropy(log_policy):
    """Entropies (..., S) of a policy in nats."""
    return -np.sum(np.exp(log_policy) * np.where(np.isfinite(log_policy), log_policy, 0.0), axis=-1)


def value_iteration(
    mdp: FiniteMDP, iterations: int = 100, truth: ArrayLike | None = None, keep: bool = False
) -> Iterations:
    """Value iteration: synchronous backups with the hard minimum; arguments and result as for `psi_iteration`."""
    return psi_iteration(mdp, math.inf, iterations, truth=truth, keep=keep)


def policy_iteration(
    mdp: FiniteMDP, log_policy: ArrayLike | None = None, truth: ArrayLike | None = None, max_iterations: int = 1000
) -> Iterations:
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
    log_pi, V, trace, values, policies = mdp.uniform if log_policy is None else log_policy, None, [], [], []
    with Held() as hold:
        while len(trace) < max_iterations:
            before, V = V, policy_value(mdp, log_pi, value=V)
            change = math.inf if before is None else _largest(V - before)
            trace.append((change, math.nan if truth is None else value_error(V, truth)))
            values.append(V)
            policies.append(log_pi)
            stays = len(policies) > 1 and np.array_equal(policies[-1], policies[-2])
            if stays or hold.pressed or change <= TIES * max(1.0, _largest(V)):
                break
            log_pi = soft_step(mdp, math.inf, mdp.uniform, V)[1]
    return Iterations(V, log_pi, *np.array(trace).T, tuple(values), tuple(policies), math.inf, hold.pressed)


def check_eta(eta):
    """The weight of the cost as a float, positive or inf."""
    eta = check_weights(eta, 0.0)[0]
    if eta == 0.0:
        raise ProblemError("eta is 0, so that the cost never counts; expected a positive number")
    if math.isinf(1.0 / eta):
        raise ProblemError(f"eta is {eta:g}, whose inverse is too large; expected 1e-300 or more")
    return eta


def _largest(change):
    return float(np.abs(change[np.isfinite(change)]).max(initial=0.0))
