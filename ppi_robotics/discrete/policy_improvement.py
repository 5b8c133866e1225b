"""Policy improvement on tables by majorization and minimization: soft problems, each about the last one's policy.

    N(pi)        V_T = c_T,  V_t = sum_u pi (c_t + R_lS[V_{t+1}])          cost of a policy, the risk over transitions
    G(pi | rho)  the same with log(pi / rho) / lP added to c_t             equals N at pi = rho, and is nowhere below
    pi^{k+1}   = argmin_pi G(pi | pi^k)                                   `solve` with baseline pi^k
    V^(k)      = min_pi G(pi | pi^k)

At every state N(pi^{k+1}) <= V^(k) <= N(pi^k): costs never rise, for lS of either sign, and the limit is the optimum of
weights inf and lS, whatever lP is. With finite lP, the log-odds of a worse action fall in each step by lP times what it
is worse by, so that convergence is linear at a rate that grows with lP.

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
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics.checks import (
    as_finite,
    check_count,
    check_function,
    check_number,
)
from ppi_robotics.discrete.bellman import (
    TableSolution,
    as_baseline,
    check_horizon,
    check_weights,
    evaluate_policy,
    solve,
)
from ppi_robotics.discrete.mdp import FiniteMDP
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import frozen
from ppi_robotics.interruption import Held
from ppi_robotics.solution import Status

HALVINGS = 200  # of the interval of a weight; its digits end sooner


@dataclass(frozen=True, eq=False)
class Descent:
    """Costs of an iteration, which never rise, and their bounds.

    Attributes:
      cost: N(pi^k) of the first stage, (n + 1, S), k = 0 being the first baseline.
      bound: V^(k) of the first stage, (n, S), between N(pi^k) and N(pi^{k+1}).
      solution: `TableSolution` of the last backward pass; its policy is pi^n.
      status: `Status`.
    """

    cost: np.ndarray
    bound: np.ndarray
    solution: TableSolution
    status: Status

    @property
    def iterations(self) -> int:
        """Number n of policies after the first baseline."""
        return len(self.bound)

    @property
    def rise(self) -> float:
        """Largest step up in N(pi^0), V^(0), N(pi^1), V^(1), ... at any state; rounding alone makes it positive."""
        chain = np.empty((2 * self.iterations + 1, self.cost.shape[1]))
        chain[::2], chain[1::2] = self.cost, self.bound
        return max(float(_drop(chain[1:], chain[:-1]).max()), 0.0)

    def gap(self, optimum: ArrayLike) -> np.ndarray:
        """Excess (n + 1,) of the cost over values (S,), at the state where it is largest."""
        return _drop(self.cost, as_finite(optimum, "optimum", (self.cost.shape[1],))).max(axis=1)


def majorize(
    mdp: FiniteMDP,
    lambda_policy: float,
    lambda_transition: float = 0.0,
    baseline: ArrayLike | None = None,
    horizon: int | None = None,
    tolerance: float = 1e-9,
    max_iterations: int = 1000,
    callback: Callable[[int, np.ndarray], object] | None = None,
) -> Descent:
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


def posterior_policy_iteration(mdp: FiniteMDP, weight: float, **options: Any) -> Descent:
    """`majorize` with both weights alike: every policy is the posterior of controls given success under the last one.

    The limit is the risk-seeking optimum of `weight`; that of weight to 0 is neutral. `Descent.bound` is the objective
    -(1/weight) log E exp(-weight C) of pi^k. Other arguments as for `majorize`.
    """
    return majorize(mdp, weight, weight, **options)


def weight_of_bound(
    mdp: FiniteMDP,
    bound: float,
    baseline: ArrayLike | None = None,
    start: ArrayLike | None = None,
    horizon: int | None = None,
    tolerance: float = 1e-10,
) -> tuple[TableSolution, float]:
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
    with np.errstate(invalid="ignore"):
        return np.where(upper == lower, 0.0, upper - lower)
