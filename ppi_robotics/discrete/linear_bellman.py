"""The synchronized mode on tables, lambda_policy = lambda_transition = l > 0, where the recursion is linear.

    z = exp(-l V)        z_t(x) = E_rho[ exp(-l c_t(x, u)) E_iota[z_{t+1}] ]        (34)
    z_t(x) = E[exp(-l C)] over trajectories of the baseline from x at stage t       (35)
    pi_t(u | x) = rho_t(u | x) exp(-l c_t(x, u)) E_iota[z_{t+1}] / z_t(x)           (36)
    c_T = -(1/l) log sum_i w_i exp(-l c_T^i)   gives   z = sum_i w_i z^i,  pi = sum_i (w_i z^i / z) pi^i     (40)

Hence values by one pass for many terminal costs at once, estimates of them from sampled trajectories, and optimal
policies for several goals mixed from those of each. All in logarithms.

*Unifying Entropy Regularization in Optimal Control*, arXiv 2512.06109, equations 34 to 36 and 40.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics.checks import as_costs, as_finite, check_count, check_sequence, check_threads
from ppi_robotics.composition.path_integrals import RELIABLE, Sums, check_weight, gathered, sums_of
from ppi_robotics.discrete.bellman import TableSolution, as_baseline, check_horizon, plain
from ppi_robotics.discrete.mdp import FiniteMDP
from ppi_robotics.entropic import log_sum
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import frozen
from ppi_robotics.kernels import bellman, markov_chain
from ppi_robotics.texts import with_error, with_interval

CHUNK = 2**16  # sampled trajectories a task
SAME = 1e-8  # difference of baselines, beyond rounding, from which on components do not have the same


def solve_linear(
    mdp: FiniteMDP,
    weight: float,
    baseline: ArrayLike | None = None,
    horizon: int | None = None,
    terminals: ArrayLike | None = None,
) -> TableSolution | tuple[TableSolution, ...]:
    """Solve the linear Bellman equation of finite horizon, for one terminal cost or for many.

    Args:
      mdp: `FiniteMDP` without discount.
      weight: l, above 0.
      baseline, horizon: as for `solve`.
      terminals: costs (n, S) in place of the problem's own.

    Returns:
      `TableSolution`, or a tuple of n of them where terminals are given; the same as of `solve` with both weights l.

    Raises:
      ProblemError: if the problem is discounted, for which the equation is not linear, or an argument cannot be used.
    """
    T, weight = check_horizon(mdp, horizon), check_weight(weight)
    if mdp.discount != 1.0:
        raise ProblemError(f"discount is {mdp.discount:g}, and the equation is linear only without; use `solve`")
    log_rho = as_baseline(mdp, baseline, T)
    finals = mdp.terminal[None] if terminals is None else as_costs(terminals, "terminals", (None, mdp.states))
    n = len(finals)
    if not n:
        raise ProblemError("terminals is empty; give the costs (n, states) of one or more")
    log_z, log_y = np.empty((T + 1, mdp.states, n)), np.empty((T, mdp.states, mdp.actions, n))
    log_z[T] = final = np.ascontiguousarray(-weight * finals.T)
    tables = [(matrix.indptr, matrix.indices, np.log(matrix.data)) for matrix in mdp.transition]
    for t in reversed(range(T)):
        rows, cost = tables[t if len(tables) > 1 else 0], mdp.at(t)[1]
        here, ends = plain(log_rho[min(t, len(log_rho) - 1)]), plain(mdp.absorbing)
        bellman.log_backup(rows, -weight * cost, here, log_z[t + 1], ends, final, log_y[t], log_z[t])
    found = tuple(_solution(log_z[..., i], log_y[..., i], log_rho, weight, T) for i in range(n))
    return found[0] if terminals is None else found


def _solution(log_z, log_y, log_rho, weight, T):
    lost = np.isneginf(log_z[:-1])
    with np.errstate(invalid="ignore"):
        log_pi = log_rho + (log_y - log_z[:-1, :, None])
    log_pi[lost] = np.broadcast_to(log_rho, log_y.shape)[lost]  # where every action costs infinity
    return TableSolution(-log_z / weight, -log_y / weight, log_pi, weight, weight, sweeps=T)


def soft_minimum(costs: ArrayLike, weights: ArrayLike, weight: float) -> np.ndarray:
    """-(1/l) log sum_i w_i exp(-l cost_i) of costs (n, ...), the terminal cost that a composed policy is optimal for.

    Raises:
      ProblemError: if the weights w_i do not fit, or one is negative.
    """
    costs, weight = as_costs(costs, "costs"), check_weight(weight)
    if not costs.ndim:
        raise ProblemError("costs is a single number; expected costs (n, ...)")
    return -_log_mixed(_log_weights(weights, len(costs)), -weight * costs) / weight


def compose_tables(solutions: Sequence[TableSolution], weights: ArrayLike) -> TableSolution:
    """The optimum for the soft minimum of terminal costs, from optima for each of them.

    Args:
      solutions: `TableSolution`s of problems that differ in their terminal cost alone, which cannot be checked beyond
        their baselines, with both weights alike.
      weights: w_i, one for each, not negative; they need not sum to 1.

    Returns:
      `TableSolution`, exact.

    Raises:
      ProblemError: if the weights of solutions differ, from each other or between policy and transitions, for which no
        mixture is optimal, or shapes or baselines do.
    """
    solutions = check_sequence(solutions, "solutions", "TableSolutions")
    if not solutions or not all(isinstance(one, TableSolution) and one.value.ndim == 2 for one in solutions):
        raise ProblemError("solutions is no list of TableSolutions of finite horizon; give at least one")
    log_w, first = _log_weights(weights, len(solutions)), solutions[0]
    weight = first.lambda_policy
    for i, one in enumerate(solutions):
        if (one.lambda_policy, one.lambda_transition) != (weight, weight) or not 0.0 < weight < np.inf:
            raise ProblemError(
                f"component {i} has weights {one.lambda_policy:g} and {one.lambda_transition:g}; "
                "expected the same positive number for policy and transitions of all components"
            )
        if one.action_value.shape != first.action_value.shape:
            raise ProblemError(
                f"component {i} has shape {one.action_value.shape}; expected {first.action_value.shape} as of the first"
            )
    return _composed(solutions, log_w, weight)


def _composed(solutions, log_w, weight):
    log_z = _log_mixed(log_w, np.stack([-weight * one.value for one in solutions]))
    log_y = _log_mixed(log_w, np.stack([-weight * one.action_value for one in solutions]))
    baselines = np.stack([_baseline(one) for one in solutions])
    known = np.isfinite(baselines)
    log_rho = np.max(np.where(known, baselines, -np.inf), axis=0)
    if (np.abs(baselines - log_rho, where=known, out=np.zeros_like(baselines)) > SAME * (1 + weight)).any():
        raise ProblemError("the components have different baselines; solve all with the same")
    return _solution(log_z, log_y, log_rho, weight, len(log_y))


def _baseline(solution):
    """log rho (T, S, A) of a soft solution, nan where it cannot be told."""
    V, log_pi = solution.value[:-1, :, None], solution.log_policy
    with np.errstate(invalid="ignore"):
        log_rho = np.where(np.isinf(V), log_pi, log_pi + solution.lambda_policy * (solution.action_value - V))
    return np.where(np.isfinite(log_pi), log_rho, np.nan)


def _log_mixed(log_w, terms):
    """log sum_i exp(log_w_i + terms_i) of terms (n, ...)."""
    return log_sum(terms + log_w.reshape(-1, *[1] * (terms.ndim - 1)), axis=0)


def _log_weights(weights, count):
    weights = as_finite(weights, "weights", (count,))
    if (weights < 0).any() or not weights.any():
        raise ProblemError(f"weights are {weights.tolist()}; expected no negative number, and one above 0 at least")
    with np.errstate(divide="ignore"):
        return np.log(weights)


# -- forward -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class TableIntegral:
    """Value and first action at a state, with standard errors, from weighted trajectories of the baseline.

    Attributes:
      value, standard_error: V and its error by the delta method; in the mean too high by 1 / (2 weight ESS).
      policy, policy_standard_error: probabilities (A,) of the first action under the optimal policy, and their errors.
      ess: effective sample size, (sum of weights)^2 / (sum of squared weights).
      samples, seed: how many trajectories, and of which noise.
      infinite: how many of infinite cost, at weight 0.
      weight: l.
      stage, state: where they start.
      interrupted: whether Ctrl-C was pressed; the trajectories are those finished by then.
      interval: 95 % interval (low, high) of the value; None where it is not `reliable`, or too skewed.
    """

    value: float
    standard_error: float
    policy: np.ndarray
    policy_standard_error: np.ndarray
    ess: float
    samples: int
    infinite: int
    weight: float
    seed: int
    stage: int
    state: int
    interrupted: bool = False
    interval: tuple[float, float] | None = None

    @property
    def reliable(self) -> bool:
        """Whether there are enough effective samples, 100, for value, policy and errors to be trusted."""
        return self.ess >= RELIABLE

    def __str__(self) -> str:
        pairs = zip(self.policy, self.policy_standard_error, strict=True)
        return (
            f"path integral over {self.samples} trajectories, seed {self.seed}, weight {self.weight:g}: "
            f"value {with_interval(self.value, self.interval)}, 95 % interval, "
            f"policy {', '.join(with_error(*pair) for pair in pairs)}, standard errors, ESS {self.ess:.4g}"
            f"{'; interrupted' if self.interrupted else ''}"
        )


def sample_integral(
    mdp: FiniteMDP,
    weight: float,
    state: int,
    stage: int = 0,
    samples: int = 10_000,
    seed: int = 0,
    baseline: ArrayLike | None = None,
    horizon: int | None = None,
    threads: int | None = None,
) -> TableIntegral:
    """Value and first action at a state, by sampling trajectories of the baseline.

    Args:
      mdp: `FiniteMDP` without discount.
      weight: l, above 0.
      state, stage: where trajectories start.
      samples: number N, at least 2. Sample i is the same in every call with the same seed, at any number of threads.
      seed: 0 to 2**64 - 1.
      baseline, horizon: as for `solve`.
      threads: all processors by default.

    Returns:
      `TableIntegral`.

    Raises:
      ProblemError: if an argument cannot be used, or every trajectory has infinite cost.
    """
    T, weight = check_horizon(mdp, horizon), check_weight(weight)
    if mdp.discount != 1.0:
        raise ProblemError(f"discount is {mdp.discount:g}; path integrals are for problems without")
    for name, value, most in (("state", state, mdp.states - 1), ("stage", stage, T - 1), ("seed", seed, 2**64 - 1)):
        check_count(value, name, 0, most)
    samples = check_count(samples, "samples", 2, 2**62)
    check_threads(threads)
    if mdp.absorbing[state]:
        raise ProblemError(f"state {state} is absorbing, where nothing is left to do; give another")
    chains = _chains(mdp, as_baseline(mdp, baseline, T), T)

    def run(first):
        count = min(CHUNK, samples - first)
        cost, actions = np.empty(count), np.empty(count, np.int64)
        markov_chain.roll(np.uint64(seed), first, int(state), int(stage), *chains, cost, actions)
        features = np.zeros((count, mdp.actions))
        features[np.arange(count), actions] = 1.0
        return sums_of(-weight * cost[:, None], features, int(np.isinf(cost).sum()))

    (log, first, second, third, lost), done, interrupted = gathered(run, samples, CHUNK, threads)
    if not first[0, 0, 0] > 0.0:
        raise ProblemError(f"all {done} trajectories from state {state} have infinite cost; give another baseline")
    how = done, lost, weight, int(seed), int(stage), int(state), interrupted
    sums = Sums(log, first, second, third, np.empty(0), how)
    value, error, ess = sums.value(0)
    policy = (frozen(part) for part in sums.means(0))
    return TableIntegral(value, error, *policy, ess, *how, sums.interval(0))


def _chains(mdp, log_rho, T):
    """What `markov_chain.roll` takes: running sums of all rows and of the baseline, costs, and where things end."""
    matrices = mdp.transition if len(mdp.transition) > 1 else mdp.transition[:1]
    offsets = np.cumsum([0, *(matrix.nnz for matrix in matrices)])
    shifted = [m.indptr[:-1] + offset for m, offset in zip(matrices, offsets, strict=False)]
    indptr = np.concatenate([*shifted, offsets[-1:]]).astype(np.int64)
    indices = np.concatenate([matrix.indices for matrix in matrices]).astype(np.int64)
    sums = np.empty(len(indices))
    markov_chain.running_sums(indptr, np.concatenate([matrix.data for matrix in matrices]), sums)
    shape = T, mdp.states, mdp.actions
    choices = np.cumsum(np.broadcast_to(np.exp(log_rho), shape), axis=2)
    cost = np.ascontiguousarray(np.broadcast_to(mdp.cost, shape))
    plain_rest = plain((cost, mdp.absorbing, mdp.terminal))
    return indptr, indices, sums, len(matrices) == 1, choices, *plain_rest
