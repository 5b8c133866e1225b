"""Linearly solvable Markov decision processes: the control is the next state's distribution, at the price
of its divergence from that without control.

    min_u  sum q(x) + KL(u(. | x) || p(. | x))        z = exp(-V),   u*(y | x) = p(y | x) z(y) / sum_y' p(y' | x) z(y')

| problem | equation |
|---|---|
| finite horizon | z_t = exp(-q) P z_{t+1} |
| first exit | z = exp(-q) (P z) inside, z = exp(-q) at exits: a linear system |
| average cost c | exp(-c) z = exp(-q) P z: the principal eigenvector |
| discounted | z = exp(-q) P z^gamma |

On tables this is the recursion of `bellman` with one action: the risk over passive transitions, lambda_transition 1, is
the soft minimum over controls. With the discount g, lambda_transition is g as well.

E. Todorov, *Linearly-solvable Markov decision problems* (NIPS 2006), *Efficient computation of optimal actions* (PNAS
2009); H. Kappen, V. Gomez and M. Opper, *Optimal control as a graphical model inference problem* (2012).
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.sparse import csgraph, linalg

from ppi_robotics.checks import as_costs, as_finite, check_instance, check_number
from ppi_robotics.discrete.bellman import plain, rows_of, solve, tilt
from ppi_robotics.discrete.mdp import FiniteMDP
from ppi_robotics.discrete.stationary import approach, iterate
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import Record, frozen
from ppi_robotics.kernels import bellman as kernels
from ppi_robotics.solution import Status

SMALLEST = 1e-12  # ratio of z to its largest entry, below which a linear solver's digits are not relied on
DENSE = 64  # states up to which eigenvectors are computed of the full matrix
UNREACHED = 1e-8  # relative residual above which costs of actions are no divergence


@dataclass(frozen=True, eq=False)
class LMDP(Record):
    """A linearly solvable Markov decision process.

    Attributes:
      passive: transition probabilities without control, (S, S), dense or sparse.
      cost: q of each state (S,), of either sign, inf to forbid; at absorbing states the final cost.
      absorbing: where everything ends (S,); nowhere by default.

    Raises:
      ProblemError: if shapes do not fit, rows do not sum to 1, or a cost is nan or -inf.
    """

    passive: Any
    cost: np.ndarray
    absorbing: np.ndarray | None = None

    def __post_init__(self):
        cost = as_costs(self.cost, "cost", (None,))
        given, shape = self.passive, (len(cost), len(cost))
        if not sparse.issparse(given):
            given = as_finite(given, "passive", shape)
        elif given.shape != shape:
            raise ProblemError(f"passive has shape {given.shape}; expected {shape}")
        table = FiniteMDP(sparse.csr_matrix(given), cost[:, None], cost, absorbing=self.absorbing)
        vars(self).update(passive=table.transition[0], cost=frozen(cost), absorbing=table.absorbing)

    def table(self, discount: float = 1.0, terminal: ArrayLike | None = None) -> FiniteMDP:
        """The problem as a `FiniteMDP` of one action."""
        final = self.cost
        if terminal is not None:
            final = np.where(self.absorbing, self.cost, as_costs(terminal, "terminal", self.cost.shape))
        return FiniteMDP(self.passive, self.cost[:, None], final, discount=discount, absorbing=self.absorbing)


@dataclass(frozen=True, eq=False)
class LMDPSolution:
    """Values and the optimal next-state distribution.

    Attributes:
      value: V = -log z, (S,), or (T + 1, S) of a finite horizon; of an average cost relative to its smallest entry.
      policy: u* as a sparse matrix (S, S), or a tuple of T of them; rows of absorbing states are empty.
      average: cost a stage in the long run; None of other problems.
      status: `Status`.
    """

    value: np.ndarray
    policy: sparse.csr_matrix | tuple[sparse.csr_matrix, ...]
    average: float | None = None
    status: Status = Status.CONVERGED


def solve_finite(lmdp: LMDP, horizon: int, terminal: ArrayLike | None = None) -> LMDPSolution:
    """Solve for T stages, each of cost q, and a terminal cost (S,), 0 by default.

    Raises:
      ProblemError: if an argument cannot be used.
    """
    check_instance(lmdp, "lmdp", LMDP)
    final = np.zeros(len(lmdp.cost)) if terminal is None else terminal
    value = solve(lmdp.table(terminal=final), 0.0, 1.0, horizon=horizon).value
    return LMDPSolution(value, tuple(_policy(lmdp, V) for V in value[1:]))


def solve_first_exit(lmdp: LMDP) -> LMDPSolution:
    """Solve until an absorbing state is reached, by one sparse linear system.

    Values beyond the range of its digits, from 28 above the smallest on, are found by passes of the recursion, which
    start from it.

    Raises:
      ProblemError: if there are no absorbing states, some states do not reach one, or costs below 0 have no finite sum.
    """
    check_instance(lmdp, "lmdp", LMDP)
    table, inside = lmdp.table(), ~lmdp.absorbing
    if inside.all():
        raise ProblemError("the problem has no absorbing state to exit to; use `solve_average` or `solve_discounted`")
    approach(table, table.uniform)  # refuses states that reach no exit
    final = lmdp.cost[lmdp.absorbing]
    shift = final.min()
    if not np.isfinite(shift):
        raise ProblemError("every absorbing state has infinite cost; give one a finite cost")
    z = np.zeros(len(lmdp.cost))
    z[lmdp.absorbing] = np.exp(shift - final)
    step = sparse.diags_array(np.exp(-lmdp.cost[inside])) @ lmdp.passive[inside]
    within = step[:, inside]
    system = sparse.eye_array(inside.sum(), format="csc") - within.tocsc()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", linalg.MatrixRankWarning)  # z is then nan
        z[inside] = linalg.spsolve(system, step[:, lmdp.absorbing] @ z[lmdp.absorbing])
    if not np.isfinite(z).all() or (z < -SMALLEST * z.max()).any():
        raise ProblemError("costs below 0 are collected faster than states are left, without bound; raise the costs")
    sure = z > SMALLEST * z.max()
    with np.errstate(divide="ignore", invalid="ignore"):
        V = shift - np.log(np.where(sure, z, np.exp(-700.0)))
    found = iterate(table, 0.0, 1.0, value=np.where(lmdp.absorbing, lmdp.cost, V))
    return LMDPSolution(found.value, _policy(lmdp, found.value), status=found.status)


def solve_discounted(lmdp: LMDP, discount: float) -> LMDPSolution:
    """Solve z = exp(-q) P z^gamma, by passes over the states in logarithms.

    Raises:
      ProblemError: if the discount is not above 0 and below 1.
    """
    check_instance(lmdp, "lmdp", LMDP)
    discount = check_number(discount, "discount", above=0, below=1)
    found = iterate(lmdp.table(discount), 0.0, discount)
    return LMDPSolution(found.value, _policy(lmdp, discount * found.value), status=found.status)


def solve_average(lmdp: LMDP) -> LMDPSolution:
    """Solve for the least average cost, by the principal eigenvector of diag(exp(-q)) P.

    Passes of relative value iteration end it, once what they add to the values differs by less than 1e-12 of the
    largest value between states; the average, which lies between, is known as well as that. Values have no such bound.

    Raises:
      ProblemError: if there are absorbing states or infinite costs, or states do not all reach each other.
    """
    check_instance(lmdp, "lmdp", LMDP)
    if lmdp.absorbing.any() or not np.isfinite(lmdp.cost).all():
        raise ProblemError("the problem has absorbing states or infinite costs, where no average is defined")
    parts = csgraph.connected_components(lmdp.passive, directed=True, connection="strong")[0]
    if parts > 1:
        raise ProblemError(f"states form {parts} classes that do not all reach each other; give a chain of one class")
    shift = lmdp.cost.min()
    matrix = sparse.diags_array(np.exp(shift - lmdp.cost)) @ lmdp.passive
    if len(lmdp.cost) <= DENSE:
        values, vectors = np.linalg.eig(matrix.toarray())
        z = vectors[:, np.argmax(values.real)]
    else:
        z = linalg.eigs(matrix, k=1, which="LR", v0=np.ones(len(lmdp.cost)))[1][:, 0]
    z = np.abs(z.real)
    with np.errstate(divide="ignore"):
        V = np.minimum(-np.log(z / z.max()), 700.0)
    return _polished(lmdp, V)


def _polished(lmdp, V, tolerance=1e-12, most=100_000):
    """Passes of relative value iteration in logarithms, which give all entries the same relative accuracy.

    Each moves halfway, so that periodic chains converge as well.
    """
    rows, R = rows_of(lmdp.passive), np.empty(len(V))
    for _ in range(most):
        kernels.risk_rows(rows, plain(V), 1.0, R)
        step = lmdp.cost + R - V
        V = V + 0.5 * step
        V -= V.min()
        if np.ptp(step) <= tolerance * max(1.0, np.abs(V).max()):
            status = Status.CONVERGED
            break
    else:
        status = Status.MAX_ITERATIONS
    return LMDPSolution(frozen(V), _policy(lmdp, V), float(0.5 * (step.min() + step.max())), status)


def _policy(lmdp, V):
    """u* (S, S) ~ p exp(-V), with empty rows where things end or no next state has a finite value."""
    R, data = tilt(rows_of(lmdp.passive), plain(V), 1.0)
    policy = sparse.csr_matrix((data, lmdp.passive.indices, lmdp.passive.indptr), shape=lmdp.passive.shape)
    policy = sparse.csr_matrix(sparse.diags_array((~lmdp.absorbing & np.isfinite(R)).astype(float)) @ policy)
    policy.eliminate_zeros()
    return policy


def embed(mdp: FiniteMDP) -> LMDP:
    """The LMDP whose prices of an MDP's transitions are the costs of its actions.

    For every state and allowed action q(x) + KL(p(. | x, a) || passive(. | x)) = c(x, a), where p are the MDP's own
    transitions. Between actions the LMDP may mix, so that its optimum is a bound on the MDP's from below.

    Args:
      mdp: stationary `FiniteMDP` without discount, of finite costs, with at most as many actions a state as it has next
        states, of transitions that are linearly independent.

    Returns:
      `LMDP`; its costs may be below 0.

    Raises:
      ProblemError: if the problem cannot be embedded, with the first state that cannot.
    """
    check_instance(mdp, "mdp", FiniteMDP)
    if mdp.stages is not None or mdp.discount != 1.0:
        raise ProblemError("the problem changes over time or is discounted; only stationary ones can be embedded")
    matrix, cost = mdp.at(0)
    q, rows, columns, data = np.array(mdp.terminal), [], [], []
    for x in np.flatnonzero(~mdp.absorbing):
        actions = np.flatnonzero(mdp.allowed[x])
        block = matrix[x * mdp.actions + actions]
        following = np.unique(block.indices)
        q[x], price = _prices(block[:, following].toarray(), cost[x, actions], mdp._name(x))
        rows += [x] * len(following)
        columns += following.tolist()
        data += np.exp(q[x] - price).tolist()
    ends = np.flatnonzero(mdp.absorbing).tolist()
    entries = [*data, *[1.0] * len(ends)], ([*rows, *ends], [*columns, *ends])
    return LMDP(sparse.csr_matrix(entries, shape=(mdp.states, mdp.states)), q, mdp.absorbing)


def _prices(p, cost, name):
    """q of a state and prices (n,) of its next states: p @ price = cost - sum p log p, q = -log sum exp(-price)."""
    if not np.isfinite(cost).all():
        raise ProblemError(f"state {name} has an infinite cost; leave the action out by `allowed`")
    with np.errstate(divide="ignore", invalid="ignore"):
        target = cost - np.where(p > 0.0, p * np.log(p), 0.0).sum(axis=1)
    price = np.linalg.lstsq(p, target, rcond=None)[0]
    if np.abs(p @ price - target).max() > UNREACHED * max(1.0, np.abs(target).max()):
        raise ProblemError(
            f"state {name} has {len(p)} actions of dependent transitions to {p.shape[1]} states; "
            "an LMDP takes linearly independent ones"
        )
    least = price.min()
    return least - np.log(np.exp(least - price).sum()), price
