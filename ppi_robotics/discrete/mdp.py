"""Finite Markov decision processes: transition probabilities and costs.

States are 0 to S - 1, actions 0 to A - 1. Transitions are held sparse, one row for every pair of state and action in
the order of `state * A + action`; dense arrays are taken as well.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from ppi_robotics.checks import as_costs, as_finite, as_flags, check_count, check_names, check_number, check_seed
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import Record, frozen

ROUNDING = 1e-9  # by which rows of probabilities may miss 1


@dataclass(frozen=True, eq=False)
class FiniteMDP(Record):
    """A finite Markov decision process; costs are minimized.

    Attributes:
      transition: probabilities (S, A, S), or sparse (S * A, S); with a leading axis of T stages, or a tuple of T sparse
        matrices, where they change over time. Rows of actions that are not allowed may be empty.
      cost: of a state and action (S, A), or (T, S, A); inf forbids.
      terminal: cost of the last state (S,); 0 by default.
      allowed: which actions a state has (S, A); all by default.
      discount: of the future, above 0 and at most 1.
      absorbing: states in which everything ends (S,), at the cost of `terminal`; none by default.
      names: of the states, for figures and messages; their numbers by default.

    Raises:
      ProblemError: if shapes do not fit, rows do not sum to 1, a probability is negative, a cost is nan or -inf, or a
        state has no action.
    """

    transition: Any
    cost: np.ndarray
    terminal: np.ndarray | None = None
    allowed: np.ndarray | None = None
    discount: float = 1.0
    absorbing: np.ndarray | None = None
    names: tuple[str, ...] = ()
    _derived = ("uniform", "compiled")

    def __post_init__(self):
        cost = as_costs(self.cost, "cost")
        if cost.ndim not in (2, 3) or not cost.size:
            raise ProblemError(f"cost has shape {cost.shape}; expected (states, actions), or (T, states, actions)")
        S, A = cost.shape[-2:]
        allowed = np.ones((S, A), bool) if self.allowed is None else as_flags(self.allowed, "allowed", (S, A))
        absorbing = np.zeros(S, bool) if self.absorbing is None else as_flags(self.absorbing, "absorbing", (S,))
        terminal = np.zeros(S) if self.terminal is None else as_costs(self.terminal, "terminal", (S,))
        names = check_names(self.names, "names")
        discount = check_number(self.discount, "discount", above=0, most=1)
        if len(names) not in (0, S):
            raise ProblemError(f"names has {len(names)} entries; expected one for each of {S} states, or none")
        idle = np.flatnonzero(~allowed.any(axis=1) & ~absorbing)
        if len(idle):
            raise ProblemError(f"state {self._name(idle[0])} has no allowed action; give it one, or make it absorbing")
        rows = tuple(self._matrix(matrix, S, A, allowed, absorbing) for matrix in self._stages(S, A))
        if cost.ndim == 3 and len(rows) not in (1, len(cost)):
            raise ProblemError(f"cost has {len(cost)} stages and transition {len(rows)}; expected as many, or one")
        vars(self).update(transition=rows, cost=frozen(cost), terminal=frozen(terminal), discount=discount)
        vars(self).update(allowed=frozen(allowed, bool), absorbing=frozen(absorbing, bool), names=names)

    @property
    def states(self) -> int:
        """Number of states S."""
        return self.cost.shape[-2]

    @property
    def actions(self) -> int:
        """Number of actions A."""
        return self.cost.shape[-1]

    @property
    def stages(self) -> int | None:
        """Number of stages that costs or transitions are given for; None if they never change."""
        count = max(len(self.transition), len(self.cost) if self.cost.ndim == 3 else 1)
        return count if count > 1 or self.cost.ndim == 3 else None

    def at(self, t: int) -> tuple[sparse.csr_matrix, np.ndarray]:
        """Transition matrix (S * A, S) and costs (S, A) of stage t."""
        return self.transition[t if len(self.transition) > 1 else 0], self.cost[t] if self.cost.ndim == 3 else self.cost

    @functools.cached_property
    def uniform(self) -> np.ndarray:
        """Logarithms (S, A) of equal probabilities of the allowed actions."""
        with np.errstate(divide="ignore"):
            return frozen(np.log(self.allowed / np.maximum(self.allowed.sum(axis=1, keepdims=True), 1)))

    @functools.cached_property
    def compiled(self) -> tuple[np.ndarray, ...]:
        """cost, uniform, absorbing and terminal as writable arrays, the only ones that the compiled code takes."""
        return tuple(np.array(part) for part in (self.cost, self.uniform, self.absorbing, self.terminal))

    def dense(self, t: int = 0) -> np.ndarray:
        """Transition probabilities (S, A, S) of a stage."""
        return self.at(t)[0].toarray().reshape(self.states, self.actions, self.states)

    def _name(self, state):
        return repr(self.names[state]) if len(self.names) else str(int(state))

    def _stages(self, S, A):
        """Transition matrices of the stages, as they were given."""
        given = self.transition
        if sparse.issparse(given):
            return (given,)
        if isinstance(given, tuple | list) and len(given) and all(sparse.issparse(matrix) for matrix in given):
            return tuple(given)
        array = as_costs(given, "transition")
        if array.shape[-3:] != (S, A, S) or array.ndim not in (3, 4):
            raise ProblemError(f"transition has shape {array.shape}; expected {(S, A, S)}, or {('T', S, A, S)}")
        return tuple(sparse.csr_matrix(one.reshape(S * A, S)) for one in array.reshape(-1, S, A, S))

    def _matrix(self, given, S, A, allowed, absorbing):
        """A checked transition matrix with sorted rows and without stored zeros."""
        if given.shape != (S * A, S):
            raise ProblemError(f"a transition matrix has shape {given.shape}; expected {(S * A, S)}")
        as_finite(given.data if given.format != "lil" else given.toarray(), "transition")
        matrix = _checked_rows(given)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        if not np.isfinite(matrix.data).all() or (matrix.data < 0).any():
            row = int(np.searchsorted(matrix.indptr, np.argmax(~(matrix.data >= 0)), side="right") - 1)
            raise ProblemError(f"{self._row(row, A)} has a negative or infinite probability")
        used = (allowed & ~absorbing[:, None]).ravel()
        sums = np.asarray(matrix.sum(axis=1)).ravel()
        wrong = used & (np.abs(sums - 1.0) > ROUNDING)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ProblemError(f"{self._row(row, A)} has probabilities of sum {sums[row]:.6g}; expected 1")
        return matrix

    def _row(self, row, A):
        return f"state {self._name(row // A)}, action {row % A}"


def _checked_rows(given):
    """A sparse matrix as a copy by rows, whose indices compiled code can follow.

    Raises:
      ProblemError: if indices that were set by hand lead out of the matrix.
    """
    try:
        if hasattr(given, "check_format"):
            given.check_format(full_check=True)
        elif given.format == "coo":
            for along, size in zip(given.coords, given.shape, strict=True):
                if len(along) != given.nnz or along.min(initial=0) < 0 or along.max(initial=0) >= size:
                    raise ValueError("an index is out of range")
        return sparse.csr_matrix(given, dtype=float, copy=True)
    except (ValueError, IndexError) as error:
        raise ProblemError(f"a transition matrix is damaged: {error}; expected one that SciPy made") from error


def random_problem(seed: int = 0, states: int = 5, actions: int = 3, stages: int = 6) -> tuple[FiniteMDP, np.ndarray]:
    """A problem with changing transitions and costs, and a baseline.

    Transitions and baseline are drawn from Dirichlet(1) distributions, costs of stages and end uniformly from 0 to 1,
    in this order.

    Returns:
      `FiniteMDP` and the logarithms (T, S, A) of the baseline.

    Raises:
      ProblemError: if a size is below 1, or the seed negative.
    """
    for name, value in (("states", states), ("actions", actions), ("stages", stages)):
        check_count(value, name, 1)
    seed = check_seed(seed)
    rng = np.random.default_rng(seed)
    P = rng.dirichlet(np.ones(states), (stages, states, actions))
    rho = rng.dirichlet(np.ones(actions), (stages, states))
    cost = rng.uniform(size=(stages, states, actions))
    return FiniteMDP(P, cost, rng.uniform(size=states)), np.log(rho)
