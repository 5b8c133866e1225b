"""The one recursion on tables, for any weights of policy and transitions.

    min_pi opt_tau E[ sum c + c_T + KL(pi || rho) / lP + KL(tau || iota) / lS ]    opt: min for lS > 0, max for lS < 0

    Q_t(x, u) = c_t(x, u) + gamma R_lS^iota[V_{t+1}],   V_t(x) = R_lP^rho[Q_t(x, .)]
    pi_t(u | x) ~ rho_t(u | x) exp(-lP Q_t(x, u)),      tau_t(y | x, u) ~ iota_t(y | x, u) exp(-lS V_{t+1}(y))

| problem | lambda_policy | lambda_transition |
|---|---|---|
| stochastic optimal control | inf | 0 |
| risk-seeking, risk-averse | inf | above 0, below 0 |
| soft policy, risk-neutral | finite | 0 |
| soft policy with risk | finite | other than 0 |
| synchronized: linear Bellman equation, path integrals | l | l |
| evaluation of the baseline | 0 | any |

*Unifying Entropy Regularization in Optimal Control*, arXiv 2512.06109, equations 16 and 17. Weights multiply the cost:
the divergences are weighed by their inverses, and a larger weight regularizes less.

Mean and variance of the cost of a policy follow the same backups:

    m_t(x) = E[c_t + m_{t+1}(y)],   v_t(x) = E[(c_t(x, u) + m_{t+1}(y) - m_t(x))^2 + v_{t+1}(y)]      u ~ pi, y ~ iota
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from ppi_robotics.checks import as_floats, check_count, check_instance, check_number, shown
from ppi_robotics.discrete.mdp import FiniteMDP
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import Record
from ppi_robotics.kernels import bellman as kernels
from ppi_robotics.parallel import in_threads, processors
from ppi_robotics.solution import Status

MOST_STAGES = 100_000_000
TIES = 1e-12  # relative differences of Q between actions that a hard minimum takes alike
SMALL = 20_000  # states for which one thread is enough


@dataclass(frozen=True, eq=False)
class TableSolution(Record):
    """Values and policy of a finite problem.

    Attributes:
      value: V (T + 1, S), or (S,) of a stationary problem.
      action_value: Q (T, S, A), or (S, A); inf where an action is not there.
      log_policy: log pi likewise; -inf where an action is not taken.
      lambda_policy, lambda_transition: the weights.
      status: `Status`.
      sweeps: passes over the states.
      change: largest change of a value in the last pass of a stationary problem.
      error: bound of the error of every value of a discounted problem, but for rounding; nan where none is known.
    """

    value: np.ndarray
    action_value: np.ndarray
    log_policy: np.ndarray
    lambda_policy: float
    lambda_transition: float
    status: Status = Status.CONVERGED
    sweeps: int = 0
    change: float = 0.0
    error: float = 0.0

    def __post_init__(self):
        for name in ("value", "action_value", "log_policy"):
            getattr(self, name).setflags(write=False)

    @property
    def policy(self) -> np.ndarray:
        """Probabilities pi (T, S, A), or (S, A)."""
        return np.exp(self.log_policy)


def solve(
    mdp: FiniteMDP,
    lambda_policy: float = math.inf,
    lambda_transition: float = 0.0,
    baseline: ArrayLike | None = None,
    horizon: int | None = None,
) -> TableSolution:
    """Solve a problem of finite horizon, backward in one pass.

    Args:
      mdp: `FiniteMDP`.
      lambda_policy: weight of the cost against staying close to the baseline, 0 to inf.
      lambda_transition: risk weight of either sign, infinite ones included; positive seeking.
      baseline: logarithms of rho (S, A) or (T, S, A); equal probabilities of the allowed actions by default.
      horizon: number of stages T; by default those that costs or transitions are given for.

    Returns:
      `TableSolution`. A hard minimum takes actions within 1e-12 of the best, relative to it, with equal probability.

    Raises:
      ProblemError: if an argument cannot be used.
    """
    T = check_horizon(mdp, horizon)
    weights = check_weights(lambda_policy, lambda_transition)
    log_rho = as_baseline(mdp, baseline, T)
    V, Q = np.empty((T + 1, mdp.states)), np.empty((T, mdp.states, mdp.actions))
    V[T] = mdp.terminal
    for t in reversed(range(T)):
        backup(mdp, t, log_rho[min(t, len(log_rho) - 1)], weights, V[t + 1], Q[t], V[t])
    log_pi = np.stack([soft_policy(Q[t], V[t], log_rho[min(t, len(log_rho) - 1)], weights[0]) for t in range(T)])
    return TableSolution(V, Q, log_pi, *weights, sweeps=T)


def backup(mdp, t, log_rho, weights, ahead, Q, V):
    """Backup of all states at stage t into Q (S, A) and V (S,), on all processors where it is worth it."""
    matrix, (cost, _, absorbing, terminal) = mdp.at(t)[0], mdp.compiled
    cost = cost[t] if cost.ndim == 3 else cost
    given = rows_of(matrix), cost, plain(log_rho), weights, mdp.discount, plain(ahead), absorbing, terminal
    if mdp.states <= SMALL:
        kernels.backup(0, mdp.states, *given, Q, V)
        return
    size = -(-mdp.states // processors())

    def part(first):
        kernels.backup(first, min(first + size, mdp.states), *given, Q, V)

    for _ in in_threads(part, range(0, mdp.states, size)):
        pass


def soft_policy(Q, V, log_rho, weight):
    """log pi (S, A) ~ log rho - weight Q; for an infinite weight equal shares of the best actions."""
    there = np.isfinite(log_rho) & np.isfinite(Q)
    lost = ~there.any(axis=1)  # where every action costs infinity, the baseline stands
    if math.isinf(weight):
        with np.errstate(invalid="ignore"):
            best = there & ((V + TIES * np.maximum(np.abs(V), 1.0))[:, None] >= Q)
        with np.errstate(divide="ignore"):
            log_pi = np.log(best / np.maximum(best.sum(axis=1, keepdims=True), 1))
    else:
        with np.errstate(invalid="ignore"):
            log_pi = np.where(there, log_rho - weight * (Q - V[:, None]), -np.inf)
    log_pi[lost] = log_rho[lost]
    return log_pi


def evaluate_policy(
    mdp: FiniteMDP, log_policy: ArrayLike, lambda_transition: float = 0.0, horizon: int | None = None
) -> np.ndarray:
    """Value of a policy, with the risk over transitions alone: N(pi) of the same weights.

    Args:
      mdp: `FiniteMDP`.
      log_policy: (S, A) or (T, S, A).
      lambda_transition, horizon: as for `solve`.

    Returns:
      V (T + 1, S).
    """
    return solve(mdp, 0.0, lambda_transition, log_policy, horizon).value


def entropic_cost(mdp: FiniteMDP, log_policy: ArrayLike, weight: float, horizon: int | None = None) -> np.ndarray:
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


def tilted(mdp: FiniteMDP, solution: TableSolution) -> tuple[sparse.csr_matrix, ...]:
    """The transitions that the risk of a solution stands for, tau ~ iota exp(-lS V), as matrices (S * A, S) by stage.

    Raises:
      ProblemError: if lambda_transition is infinite, where tau is no tilt but a choice of next states, or the solution
        is of another problem.
    """
    weight = check_instance(solution, "solution", TableSolution).lambda_transition
    check_instance(mdp, "mdp", FiniteMDP)
    if math.isinf(weight):
        raise ProblemError("lambda_transition is infinite; the transitions are then whichever is best or worst")
    values = solution.value[1:] if solution.value.ndim == 2 else solution.value[None]
    if values.shape[1:] != (mdp.states,) or mdp.stages not in (None, len(values)):
        raise ProblemError(
            f"the solution has values of shape {solution.value.shape}, the problem {mdp.states} states; "
            "give the problem that was solved"
        )
    moved = []
    for t, V in enumerate(values):
        matrix, _ = mdp.at(t)
        _, data = tilt(rows_of(matrix), plain(V), weight)
        moved.append(sparse.csr_matrix((data, matrix.indices, matrix.indptr), shape=matrix.shape))
    return tuple(moved)


def tilt(rows, V, weight):
    """R_weight[V] of every row of transitions, and their data p(y) exp(-weight (V(y) - R))."""
    R, data = np.empty(len(rows[0]) - 1), np.empty_like(rows[2])
    kernels.risk_rows(rows, V, weight, R)
    kernels.tilt(rows, V, R, weight, data)
    return R, data


def mean_and_variance(
    mdp: FiniteMDP, log_policy: ArrayLike, horizon: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the cost of trajectories under a policy.

    Args:
      mdp: `FiniteMDP` without discount.
      log_policy: (S, A) or (T, S, A).
      horizon: as for `solve`.

    Returns:
      m and v, each (T + 1, S); inf where a trajectory of infinite cost can happen.

    Raises:
      ProblemError: if the problem is discounted, or an argument cannot be used.
    """
    T = check_horizon(mdp, horizon)
    if mdp.discount != 1.0:
        raise ProblemError(f"discount is {mdp.discount:g}; the variance is for problems without")
    log_pi = as_baseline(mdp, log_policy, T)
    mean, variance = np.empty((T + 1, mdp.states)), np.empty((T + 1, mdp.states))
    mean[T], variance[T] = mdp.terminal, np.where(np.isinf(mdp.terminal), np.inf, 0.0)
    for t in reversed(range(T)):
        matrix, cost = mdp.at(t)
        pi, size = np.exp(log_pi[min(t, len(log_pi) - 1)]), np.diff(matrix.indptr)
        total = np.where(pi > 0.0, cost + (matrix @ mean[t + 1]).reshape(pi.shape), 0.0)
        mean[t] = np.where(mdp.absorbing, mdp.terminal, (pi * total).sum(axis=1))
        row = np.repeat(np.arange(len(size)), size)
        with np.errstate(invalid="ignore"):  # where means are infinite, which is put right below
            excess = mean[t + 1][matrix.indices] - (mean[t][:, None] - cost).ravel()[row]
            terms = matrix.data * (excess**2 + variance[t + 1][matrix.indices])
            squares = np.bincount(row, terms, len(size)).reshape(pi.shape)
            found = np.where(pi > 0.0, pi * squares, 0.0).sum(axis=1)
        variance[t] = np.where(np.isfinite(mean[t]), np.where(mdp.absorbing, 0.0, found), np.inf)
    return mean, variance


# -- arguments ---------------------------------------------------------------------------------------------------------


def check_weights(lambda_policy, lambda_transition):
    """The weights as floats.

    Raises:
      ProblemError: if lambda_policy is negative, or one is no number.
    """
    for name, value in (("lambda_policy", lambda_policy), ("lambda_transition", lambda_transition)):
        check_number(value, name, least=-math.inf, most=math.inf)
    if lambda_policy < 0:
        raise ProblemError(
            f"lambda_policy is {shown(lambda_policy)}; a negative weight would maximize the cost; give 0 to inf"
        )
    return float(lambda_policy), float(lambda_transition)


def check_horizon(mdp, horizon):
    """Number of stages of a problem."""
    check_instance(mdp, "mdp", FiniteMDP)
    if horizon is None:
        if mdp.stages is None:
            raise ProblemError("the problem is stationary and no horizon is given; give one, or use `iterate`")
        return mdp.stages
    horizon = check_count(horizon, "horizon", 1, MOST_STAGES)
    if mdp.stages not in (None, horizon):
        raise ProblemError(f"horizon is {horizon} and the problem is given for {mdp.stages} stages; leave it out")
    return horizon


def check_stationary(mdp):
    """Raise `ProblemError` unless this is a problem that does not change over time."""
    check_instance(mdp, "mdp", FiniteMDP)
    if mdp.stages is not None:
        raise ProblemError(f"the problem is given for {mdp.stages} stages; solve it by `solve`")


def as_baseline(mdp, baseline, T):
    """Logarithms of a baseline (1 or T, S, A), of allowed actions alone.

    Raises:
      ProblemError: if the shape is wrong, probabilities do not sum to 1, or one is given to a forbidden action.
    """
    if baseline is None:
        return mdp.compiled[1][None]
    log_rho = as_floats(baseline, "baseline")
    shapes = (mdp.states, mdp.actions), (T, mdp.states, mdp.actions)
    if log_rho.shape not in shapes:
        raise ProblemError(f"baseline has shape {log_rho.shape}; expected {shapes[0]} or {shapes[1]}, logarithms")
    log_rho = log_rho.reshape(-1, *shapes[0])
    acting = ~mdp.absorbing
    if np.isnan(log_rho).any() or (log_rho[:, acting] > 1e-9).any():
        raise ProblemError("baseline holds numbers above 0 or nan; expected logarithms of probabilities")
    if (np.isfinite(log_rho) & ~mdp.allowed)[:, acting].any():
        raise ProblemError("baseline gives a forbidden action a probability; give it -inf")
    sums = np.exp(log_rho[:, acting]).sum(axis=2)
    if sums.size and np.abs(sums - 1.0).max() > 1e-6:
        raise ProblemError(
            f"baseline has probabilities of sum {sums.ravel()[np.abs(sums - 1).argmax()]:.6g}; expected 1"
        )
    return log_rho


def rows_of(matrix):
    """indptr, indices and data of a sparse matrix."""
    return matrix.indptr, matrix.indices, matrix.data


def plain(value):
    """Arrays as the compiled code takes them: contiguous and writable, as read-only ones would compile it once more."""
    if isinstance(value, tuple):
        return tuple(plain(part) for part in value)
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value)
        return array if array.flags.writeable else array.copy()
    return value
