"""Stationary problems on tables, discounted or ending in absorbing states: passes over the states, and Newton's steps.

The recursion T of `bellman` moves values no farther apart than the discount g lets it, so that after a pass

    |V - V*| <= g / (1 - g) |change of V in the pass|          at every state,

which is what `tolerance` bounds. As all of V may be moved by a constant, values are held relative to one of them where
nothing is absorbing: their digits, and those of the change, are then not spent on c / (1 - g). Undiscounted problems
have no such bound; there `tolerance` is one of the change.

About a value V the recursion is that of its own policy and tilted transitions, P. Newton's step for V = T(V), which is
policy iteration, solves (I - g P) d = T(V) - V; it is taken where passes need long and the residual shrinks by it.
"""

import math
import warnings

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.sparse.csgraph import reverse_cuthill_mckee
from scipy.sparse.linalg import bicgstab, splu

from ppi_robotics.checks import as_costs, check_count, check_number
from ppi_robotics.discrete.bellman import (
    TableSolution,
    as_baseline,
    check_stationary,
    check_weights,
    plain,
    rows_of,
    soft_policy,
    tilt,
)
from ppi_robotics.discrete.mdp import FiniteMDP
from ppi_robotics.errors import ProblemError
from ppi_robotics.interruption import Held
from ppi_robotics.kernels import bellman as kernels
from ppi_robotics.solution import Status

PATIENCE = 50  # passes before the first of Newton's steps
MOST_WORK = 2e10  # multiplications that the factors of a system may take, a second or so
MOST_STEPS, MOVED = 50, 1e-6  # steps one after the other, and change of a probability that makes another one worth it
KRYLOV = 100  # products of a Krylov method where they would take more
ROUNDING = 4 * np.finfo(float).eps  # changes of this size relative to the values are none
MOST_IDLE = 100  # passes without any, after which rounding alone moves the values
INEXACT = 0.1  # share of the right-hand side by which a Krylov method may miss it


def iterate(
    mdp: FiniteMDP,
    lambda_policy: float = math.inf,
    lambda_transition: float = 0.0,
    baseline: ArrayLike | None = None,
    value: ArrayLike | None = None,
    tolerance: float = 1e-12,
    max_sweeps: int = 100_000,
) -> TableSolution:
    """Solve a stationary problem: discounted, or ending in absorbing states.

    Passes go through the states in the order of their distance from the absorbing ones, each seeing the values found
    before it (Gauss-Seidel). They start from values that grow with the distance, so that moving away never seems to
    pay, and far states take few passes. Newton's steps help where they are slow; a policy's value takes one.

    Args:
      mdp: `FiniteMDP` that does not change over time.
      others: as for `solve`.
      value: V (S,) to start from; a rough bound from the distance by default.
      tolerance: largest error of a value, relative to the largest value, that ends a discounted problem; of one without
        discount it is the largest change in a pass.
      max_sweeps: passes at most.

    Returns:
      `TableSolution`; not converging is a status of it, also where rounding keeps the tolerance from being proven.
      Where no policy reaches an end, values grow until then. Ctrl-C ends it with the values so far.

    Raises:
      ProblemError: if an argument cannot be used, or goals cannot be reached from a state of an undiscounted problem.
    """
    check_stationary(mdp)
    weights, log_rho = check_weights(lambda_policy, lambda_transition), as_baseline(mdp, baseline, 1)[0]
    max_sweeps = check_count(max_sweeps, "max_sweeps", 1)
    check_number(tolerance, "tolerance", least=0.0)
    order, distance = approach(mdp, log_rho)
    first = first_values(mdp, log_rho, distance) if value is None else as_costs(value, "value", (mdp.states,))
    passes, status = Passes(mdp, weights, log_rho, order, first), Status.MAX_ITERATIONS
    due = 0 if weights == (0.0, 0.0) else PATIENCE
    with Held() as hold:
        while passes.count < max_sweeps:
            if passes.count >= due:
                due = passes.count + 1 if passes.newton_step() else 2 * passes.count + PATIENCE
            passes.backup()
            if passes.error <= tolerance * passes.size:
                status = Status.CONVERGED
                break
            if passes.idle > MOST_IDLE:
                break
            if hold.pressed:
                status = Status.INTERRUPTED
                break
    return passes.solution(status)


def policy_value(
    mdp: FiniteMDP, log_policy: ArrayLike, lambda_transition: float = 0.0, value: ArrayLike | None = None
) -> np.ndarray:
    """Cost (S,) of a stationary policy (S, A): the recursion with no weight of the cost against the policy.

    Without risk it is one sparse linear system.

    Raises:
      ProblemError: if the policy never ends from some state of an undiscounted problem, or an argument cannot be used.
    """
    return iterate(mdp, 0.0, lambda_transition, log_policy, value).value


class Passes:
    """Values of a stationary problem between passes.

    Args:
      mdp, weights, log_rho: the problem, weights of policy and transitions, baseline (S, A).
      order: of the states in a pass.
      V: values (S,) to start from.

    Attributes:
      count: passes so far.
      idle: number of the last passes in which nothing but rounding changed.
      change: largest change of a value in the last one.
    """

    def __init__(self, mdp, weights, log_rho, order, V):
        self.mdp, self.weights, self.log_rho, self.order = mdp, weights, plain(log_rho), order
        self.rows, self.ends = plain(rows_of(mdp.at(0)[0])), plain((mdp.absorbing, mdp.terminal))
        self.V, self.Q = np.array(V, dtype=float), np.empty((mdp.states, mdp.actions))
        self.count, self.idle, self.steps, self.change = 0, 0, 0, math.inf
        self.level = 0.0  # values are level + V
        self.cost = np.array(mdp.at(0)[1])
        self._center()

    def backup(self):
        """One pass."""
        self.change = float(kernels.backup_in_order(self.order, *self._given(), *self.ends, self.Q, self.V))
        self.count += 1
        idle = self.change <= ROUNDING * float(np.max(np.abs(self.V), where=np.isfinite(self.V), initial=0.0))
        self.idle = self.idle + 1 if idle else 0

    def _given(self):
        return self.rows, self.cost, self.log_rho, self.weights, self.mdp.discount

    @property
    def movable(self):
        """Whether a constant that is added to all values is but discounted by the recursion."""
        return self.mdp.discount < 1.0 and not self.mdp.absorbing.any() and bool(np.isfinite(self.V).all())

    @property
    def size(self):
        """Largest value, 1 at least."""
        return max(float(np.max(np.abs(self.V + self.level), where=np.isfinite(self.V), initial=0.0)), 1.0)

    @property
    def error(self):
        """Bound of the error of a value; of an undiscounted problem, the change."""
        discount = self.mdp.discount
        return self.change if discount == 1.0 else self.change * discount / (1.0 - discount)

    def newton_step(self):
        """Take Newton's step; whether another one is likely to help as much.

        Of costs that policy and transitions both lower, all steps but the first lower the values, down to the best.
        Elsewhere, and without discount, a step is taken if it halves the residual.
        """
        residual, log_pi = self._residual(self.V)
        if residual is None:
            return False
        discount, sure = self.mdp.discount, self.mdp.discount < 1.0 and self.weights[1] >= 0.0
        if self.movable:
            middle = 0.5 * (residual.min() + residual.max())
            self._move(middle / (1.0 - discount))
            residual -= middle
        matrix = self._transitions(log_pi)
        step = None if matrix is None else solve_system(matrix, discount, residual)
        if step is None or not np.isfinite(step).all():
            return False
        after, then = self._residual(self.V + step)
        if after is None:
            return False
        halved = np.abs(after).max() <= 0.5 * np.abs(residual).max()
        if not (halved or sure):
            return False
        self.V += step
        self.steps += 1
        self._center()
        return self.steps < MOST_STEPS and (halved or np.abs(np.exp(then) - np.exp(log_pi)).max() > MOVED)

    def _center(self):
        """Make the level the middle of the values, where it may be moved."""
        if self.movable:
            middle = 0.5 * (self.V.min() + self.V.max())
            self.V -= middle
            self._move(middle)

    def _move(self, by):
        """Raise the level of all values."""
        self.level += by
        self.cost = self.mdp.at(0)[1] - (1.0 - self.mdp.discount) * self.level

    def _residual(self, V):
        """T(V) - V (S,) and the log policy at V, None where values are infinite in but one of both."""
        Q, after = np.empty_like(self.Q), np.empty_like(V)
        kernels.backup(0, len(V), *self._given(), V, *self.ends, Q, after)
        with np.errstate(invalid="ignore"):
            residual = np.where(after == V, 0.0, after - V)
        if not np.isfinite(residual).all():
            return None, None
        return residual, soft_policy(Q, after, self.log_rho, self.weights[0])

    def _transitions(self, log_pi):
        """P (S, S) of a policy and the transitions tilted at V, empty where things end; None if there is no tilt."""
        (indptr, indices, data), (S, A), weight = self.rows, log_pi.shape, self.weights[1]
        if math.isinf(weight):
            return None
        if weight != 0.0:
            _, data = tilt(self.rows, self.V, weight)
        taken = np.where(self.mdp.absorbing[:, None], 0.0, np.exp(log_pi)).ravel()
        chosen = sparse.csr_array((taken, np.arange(S * A), np.arange(0, S * A + 1, A)), shape=(S, S * A))
        chosen.eliminate_zeros()
        return sparse.csr_array(chosen @ sparse.csr_array((data, indices, indptr), shape=(S * A, S)))

    def solution(self, status):
        """`TableSolution` of a status."""
        log_pi = soft_policy(self.Q, self.V, self.log_rho, self.weights[0])
        error = math.nan if self.mdp.discount == 1.0 else self.error
        values = self.V + self.level, self.Q + self.level
        return TableSolution(*values, log_pi, *self.weights, status, self.count, self.change, error)


def solve_system(matrix, discount, r):
    """d (S,) with (I - discount P) d = r, to be judged by its residual; None if there is none.

    Factors of a sparse matrix fill up, at most as far as the narrowest band goes that holds it; where that takes too
    long, a Krylov method answers.
    """
    system = sparse.eye_array(len(r), format="csc") - discount * matrix.tocsc()
    if len(r) * float(bandwidth(matrix)) ** 2 > MOST_WORK:
        d = bicgstab(system.tocsr(), r, rtol=1e-12, maxiter=KRYLOV)[0]
        return d if np.abs(system @ d - r).max() <= INEXACT * np.abs(r).max() else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return splu(system).solve(r)
    except RuntimeError:  # exactly singular, as of a policy that never ends
        return None


def bandwidth(matrix):
    """Largest distance from the diagonal after sorting by reverse Cuthill-McKee."""
    pattern = sparse.csr_matrix(matrix + matrix.T)
    place = np.empty(len(pattern.indptr) - 1, np.int64)
    place[reverse_cuthill_mckee(pattern, symmetric_mode=True)] = np.arange(len(place))
    rows = np.repeat(place, np.diff(pattern.indptr))
    return int(np.abs(rows - place[pattern.indices]).max(initial=0))


# -- first values ------------------------------------------------------------------------------------------------------


def approach(mdp, log_rho):
    """States ordered by their distance from the absorbing ones, which come first, and the distances (S,) in steps.

    States that reach none have distance -1 and come last.

    Raises:
      ProblemError: if an undiscounted problem has such a state.
    """
    S, A = mdp.states, mdp.actions
    if not mdp.absorbing.any():
        if mdp.discount == 1.0:
            raise ProblemError("the problem has no absorbing state, discount or horizon, so that costs never end")
        return np.arange(S), np.full(S, -1)
    used = sparse.diags_array(np.isfinite(log_rho).astype(float).ravel())
    pooled = sparse.csr_matrix((np.ones(S * A), np.arange(S * A), np.arange(0, S * A + 1, A)), shape=(S, S * A))
    back = sparse.csr_matrix((pooled @ (used @ mdp.at(0)[0])).T)  # from a state to those that can come from it
    order, distance = reached(back.indptr, back.indices, np.flatnonzero(mdp.absorbing), S)
    lost = np.flatnonzero(distance < 0)
    if len(lost) and mdp.discount == 1.0:
        raise ProblemError(
            f"{len(lost)} of {S} states reach no absorbing state, first {mdp._name(lost[0])}; "
            "leave them out, or make them absorbing"
        )
    return np.concatenate((order, lost)), distance


def reached(indptr, indices, sources, count):
    """States in the order in which a breadth-first search from sources meets them, and their distances, -1 if never."""
    distance = np.full(count, -1)
    order, front = [], sources
    while len(front):
        distance[front] = len(order)
        order.append(front)
        lengths = indptr[front + 1] - indptr[front]
        flat = np.repeat(indptr[front] - np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths)
        found = np.unique(indices[flat + np.arange(lengths.sum())])
        front = found[distance[found] < 0]
    return np.concatenate(order).astype(np.int64), distance


def first_values(mdp, log_rho, distance):
    """First values (S,): the distance from the absorbing states times what getting a step closer costs.

    If the distance can be made to fall by d on average from everywhere, and no step costs more than c, values are at
    most c / d times the distance. Passes end at the same values from any others; from too low ones states first chase
    each other's.
    """
    matrix, cost = mdp.at(0)
    used, away = np.isfinite(log_rho) & np.isfinite(cost), distance > 0
    dearest = np.max(cost, where=used, initial=0.0)
    if not away.any() or dearest == 0.0:
        return mdp.terminal
    here = np.repeat(distance, np.diff(matrix.indptr[:: mdp.actions]))
    gained = (here - distance[matrix.indices]) * matrix.data
    drift, chance = (
        np.max(_row_sums(matrix, part).reshape(cost.shape), axis=1, where=used, initial=0.0)[away]
        for part in (gained, np.maximum(gained, 0.0))
    )
    fall = max(drift.min(), 0.5 * np.min(chance, where=chance > 0.0, initial=1.0))
    most = math.inf if mdp.discount == 1.0 else dearest / (1.0 - mdp.discount)
    start = np.max(mdp.terminal, where=mdp.absorbing & np.isfinite(mdp.terminal), initial=0.0)
    return np.where(away, start + np.minimum(dearest / fall * distance, most), mdp.terminal)


def _row_sums(matrix, data):
    """Sums of data by the rows of a sparse matrix."""
    return np.asarray(sparse.csr_matrix((data, matrix.indices, matrix.indptr), matrix.shape).sum(axis=1)).ravel()
