"""Learning on tables from transitions: Psi-learning beside Q-learning and dynamic policy programming.

Rawlik, Toussaint, Vijayakumar, *On stochastic optimal control and reinforcement learning by approximate inference*
(RSS 2012). Behavior is uniform over the allowed actions, or online: the policy that the table stands for, softmin of Q
with weight eta, exp(Psi - bar Psi) of the others.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics.checks import (
    as_finite,
    as_wholes,
    check_choice,
    check_count,
    check_instance,
    check_number,
    check_seed,
    shown,
)
from ppi_robotics.discrete import bellman, stationary
from ppi_robotics.discrete.mdp import FiniteMDP
from ppi_robotics.discrete.soft_policy_iteration import check_eta
from ppi_robotics.entropic import log_softmax
from ppi_robotics.errors import ProblemError
from ppi_robotics.kernels import markov_chain as kernels
from ppi_robotics.parallel import finished

KINDS = {"q": kernels.Q, "psi": kernels.PSI, "dpp": kernels.DPP}
BEHAVIORS = ("uniform", "online")


@dataclass(frozen=True, eq=False)
class Learning:
    """What trials of a learning method found.

    Attributes:
      transitions: numbers of transitions (n,) after which errors are recorded.
      error: e_J = max |J - truth| / max |truth| over states (trials, n).
      value: cost of acting optimally as learned (trials, S): min Q, -bar Psi / eta, or its Boltzmann mean.
      log_policy: log pi (trials, S, A) that the table stands for; of Q equal shares of the best actions.
      method, behavior, eta, step, seed: as given.
      interrupted: whether Ctrl-C was pressed; the trials are those finished by then.
    """

    transitions: np.ndarray
    error: np.ndarray
    value: np.ndarray
    log_policy: np.ndarray
    method: str
    behavior: str
    eta: float
    step: float
    seed: int
    interrupted: bool = False

    @property
    def mean(self) -> np.ndarray:
        """Mean error over trials (n,)."""
        return self.error.mean(axis=0)

    @property
    def standard_error(self) -> np.ndarray:
        """Standard error (n,) of `mean`; nan of a single trial."""
        trials = len(self.error)
        return self.error.std(axis=0, ddof=1) / np.sqrt(trials) if trials > 1 else np.full(self.error.shape[1], np.nan)

    def reached(self, level: float) -> int | None:
        """Transitions after which the mean error is below a level for the first time; None if it never is."""
        return _first(self.transitions, self.mean < check_number(level, "level"))

    def reached_each(self, level: float) -> list[int | None]:
        """The same for every trial, a list."""
        check_number(level, "level")
        return [_first(self.transitions, row < level) for row in self.error]


def learn(
    mdp: FiniteMDP,
    method: str = "psi",
    behavior: str = "uniform",
    eta: float = 1.0,
    step: float = 10_000.0,
    transitions: int = 100_000,
    every: int = 1000,
    trials: int = 1,
    seed: int = 0,
    truth: ArrayLike | None = None,
    start: ArrayLike | None = None,
    patience: int = 100,
) -> Learning:
    """Learn from simulated transitions, which are drawn from the model that the method does not see.

    An episode starts at random, and ends in an absorbing state or after `patience` transitions. Trial i meets the same
    random numbers whatever the others do.

    Args:
      mdp: stationary `FiniteMDP`.
      method: "psi", "q" or "dpp".
      behavior: "uniform" or "online".
      eta: weight of the cost, positive; Q-learning needs it online only.
      step: c of the step sizes c / (c + k), k counting transitions.
      transitions: how many, a multiple of `every`.
      every: transitions between records of the error.
      trials: independent repetitions, computed in parallel.
      seed: of the random numbers.
      truth: values (S,) to compare with; those of `iterate` by default.
      start: states to start from; all but the absorbing ones by default.
      patience: transitions of an episode at most.

    Returns:
      `Learning`.

    Raises:
      ProblemError: if an argument cannot be used.
    """
    eta, step = _check(mdp, method, behavior, eta, step)
    counts = (("every", every), ("trials", trials), ("patience", patience))
    every, trials, patience = (check_count(value, name, 1) for name, value in counts)
    transitions, seed = check_count(transitions, "transitions", every), check_seed(seed)
    if transitions % every:
        raise ProblemError(f"transitions is {transitions}, no multiple of every, {every}; give one")
    truth = as_finite(stationary.iterate(mdp).value if truth is None else truth, "truth", (mdp.states,))
    if not truth.any():
        raise ProblemError("truth is 0 everywhere, so that no error is relative to it; give the optimal values")
    model = _model(mdp, start)
    kind = KINDS[method]
    sign = 1.0 if method == "q" else -eta

    def one(trial):
        table = np.where(mdp.allowed, 0.0 if method == "q" else mdp.uniform, -np.inf)
        bar = sign * mdp.terminal * mdp.absorbing
        if method == "dpp":
            bar += np.where(mdp.absorbing, 0.0, np.max(table, axis=1))
        errors = np.empty(transitions // every)
        how = float(eta), float(step), patience
        kernels.learn(kind, behavior == "online", how, model, np.uint64(seed), trial, truth, every, table, bar, errors)
        return errors, bar / sign, _log_policy(mdp, method, table)

    results, interrupted = finished(one, range(trials))
    error, value, log_policy = map(np.stack, zip(*results, strict=True))
    at = every * np.arange(1, 1 + error.shape[1])
    return Learning(at, error, value, log_policy, method, behavior, float(eta), float(step), int(seed), interrupted)


def _model(mdp, start):
    """What the compiled code takes of a problem."""
    start = np.flatnonzero(~mdp.absorbing) if start is None else as_wholes(start, "start", (None,), 0, mdp.states - 1)
    if not len(start) or mdp.absorbing[start].any():
        raise ProblemError(
            f"start is {shown(start)}; expected states from 0 to {mdp.states - 1} that are not absorbing"
        )
    matrix, cost = mdp.at(0)
    if not np.isfinite(cost[mdp.allowed]).all():
        raise ProblemError("an allowed action costs infinity, from which nothing is learned; forbid it by `allowed`")
    choice = np.concatenate(([0], np.cumsum(mdp.allowed.sum(axis=1))))
    actions = np.nonzero(mdp.allowed)[1]
    given = *bellman.rows_of(matrix), cost, choice, actions, mdp.absorbing, mdp.terminal, start, mdp.discount
    return tuple(map(bellman.plain, given))


def _log_policy(mdp, method, table):
    """log pi (S, A) of a table."""
    if method == "q":
        Q = np.where(mdp.allowed, table, np.inf)
        return bellman.soft_policy(Q, Q.min(axis=1), mdp.uniform, np.inf)
    return log_softmax(table)


def ratio(
    result: Learning, reference: Learning, level: float, resamples: int = 1000, seed: int = 0
) -> tuple[float, float, float]:
    """Transitions to a level of the mean error, relative to those of a reference, and a 90 % interval.

    The interval is that of the bootstrap over trials, taken in pairs, as trial i meets the same random numbers in both.

    Args:
      result, reference: `Learning`s recorded at the same transitions.
      level: of the error.
      resamples: of the trials.
      seed: of the resamples.

    Returns:
      Ratio, lower and upper end; 0, inf or nan where one or both never get there.

    Raises:
      ProblemError: if the two differ in records or trials.
    """
    for name, one in (("result", result), ("reference", reference)):
        check_instance(one, name, Learning)
    check_number(level, "level")
    seed = check_seed(seed)
    if result.error.shape != reference.error.shape or (result.transitions != reference.transitions).any():
        raise ProblemError("the two were recorded at different transitions or have different numbers of trials")
    resamples = check_count(resamples, "resamples", 1)
    trials = len(result.error)
    drawn = np.random.default_rng(seed).multinomial(trials, np.full(trials, 1.0 / trials), resamples)
    shares = np.concatenate((np.ones((1, trials)), drawn)) / trials
    counts = []
    for one in (result, reference):
        below = shares @ one.error < level
        counts.append(np.where(below.any(axis=1), one.transitions[below.argmax(axis=1)], np.inf))
    with np.errstate(invalid="ignore"):
        ratios = counts[0] / counts[1]
    sound = ratios[1:][~np.isnan(ratios[1:])]
    ends = np.quantile(sound, (0.05, 0.95), method="nearest") if len(sound) else (np.nan, np.nan)
    return float(ratios[0]), float(ends[0]), float(ends[1])


def _first(transitions, below):
    found = np.flatnonzero(below)
    return int(transitions[found[0]]) if len(found) else None


def _check(mdp, method, behavior, eta, step):
    """The weight and the step as floats, once a problem and a method can be used."""
    check_instance(mdp, "mdp", FiniteMDP)
    if mdp.stages is not None:
        raise ProblemError(f"the problem is given for {mdp.stages} stages; learning needs a stationary one")
    for name, value, choices in (("method", method, KINDS), ("behavior", behavior, BEHAVIORS)):
        check_choice(value, name, choices)
    eta = check_eta(eta)
    if not np.isfinite(eta):
        raise ProblemError("eta is inf; learning needs a finite weight")
    return eta, check_number(step, "step, the c of step sizes c / (c + k),", above=0)
