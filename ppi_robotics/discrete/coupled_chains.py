"""Approximate inference in integer-valued chains that one shared action per stage moves.

n chains of levels 0 to m pass T stages; at each stage an action a, drawn by log_prior, changes the level of chain i by
shifts[a, i] in -1, 0, 1; a level that would leave its range forbids the action. Levels have weights, the first ones are
given, the last ones may be. Every chain with its actions is a tree, so that the approximations concern the actions
alone. With Q_t(a) the probabilities of the actions and q_i the distributions of the chains,

    -log Z  =  min  sum_i KL-like energy of q_i  +  (n - 1) sum_t H(Q_t),    all q_i agreeing with Q,

which is the cluster variation method on the smallest regions, and the Bethe approximation with the action as one
variable. A sweep updates the actions of every stage, forward and backward,

    Q  ~  (prior prod_i M_i)^w  Q_ref^(1 - w),        M_i: what chain i says about its shift.

- "merged": belief propagation, w = 1 - damping and Q_ref the last Q.
- "double_loop": w = 1 / n and Q_ref held through `inner_sweeps`, then set to Q: the entropies of Q are replaced by a
  bound, whose minimization by inner sweeps is convex. The free energy falls with every outer iteration if they are
  enough. Fixed points are those of "merged". With a share c of the entropies bounded, w = 1 / (1 + c (n - 1)).
- "cvm": "merged", and "double_loop" if that does not converge.
- "separate": belief propagation with the parts k and l of actions a = L k + l as two variables.

Heskes, Albers, Kappen, *Approximate inference and constrained optimization* (UAI 2003); Kappen, Gomez, Opper, *Optimal
control as a graphical model inference problem* (Machine Learning, 2012), section 3.
"""

import time
from dataclasses import dataclass, field, replace

import numpy as np

from ppi_robotics.discrete.inference import Inference
from ppi_robotics.discrete.kl_control import play
from ppi_robotics.errors import ProblemError
from ppi_robotics.kernels import coupled_chains as kernels
from ppi_robotics.rollouts import check_count, in_threads
from ppi_robotics.solution import Status

METHODS = ("cvm", "merged", "double_loop", "separate")
MOST_INNER, PATIENCE = 200, 8  # sweeps of an iteration that may become more, and iterations that made no progress
FINER = 0.1  # change of the actions in an inner sweep, relative to the tolerance, below which it counts as solved


@dataclass(frozen=True, eq=False)
class CoupledChains:
    """Chains of levels 0 to m, moved by one action per stage.

    Attributes:
      start: level of every chain at stage 0, (n,).
      shifts: change of levels (A, n), of -1, 0, 1, by every action.
      log_prior: log probability of every action (A,), not necessarily of sum 1.
      log_weights: of levels (T, m + 1) at stages 1 to T; -inf forbids one.
      goal: levels (n,) at stage T, or None.
      parts: (K, L) of actions a = L k + l that consist of two independent parts, or None.

    Raises:
      ProblemError: if shapes do not fit or levels and shifts are out of range.
    """

    start: np.ndarray
    shifts: np.ndarray
    log_prior: np.ndarray
    log_weights: np.ndarray
    goal: np.ndarray | None = None
    parts: tuple | None = None

    def __post_init__(self):
        for name, kind in (("start", int), ("shifts", int), ("log_prior", float), ("log_weights", float)):
            object.__setattr__(self, name, _frozen(getattr(self, name), kind, name))
        if self.goal is not None:
            object.__setattr__(self, "goal", _frozen(self.goal, int, "goal"))
        self._check_shapes()
        self._check_values()

    def _check_shapes(self):
        n, A = self.start.size, self.log_prior.size
        if self.start.ndim != 1 or self.log_prior.ndim != 1 or self.shifts.shape != (A, n) or not n * A:
            raise ProblemError(
                f"start {self.start.shape}, log_prior {self.log_prior.shape} and shifts {self.shifts.shape}"
                " do not fit; expected (n,), (A,) and (A, n)"
            )
        if self.log_weights.ndim != 2 or min(self.log_weights.shape) < 1:
            raise ProblemError(f"log_weights has shape {self.log_weights.shape}; expected (T, m + 1), a stage or more")
        if self.goal is not None and self.goal.shape != (n,):
            raise ProblemError(f"goal has shape {self.goal.shape}; expected ({n},) as start")
        if self.parts is not None and np.prod(self.parts) != A:
            raise ProblemError(f"parts are {self.parts} of {A} actions; expected (K, L) with K L = {A}")

    def _check_values(self):
        for name in ("start", "goal"):
            levels = getattr(self, name)
            if levels is not None and (levels.min() < 0 or levels.max() > self.top):
                raise ProblemError(f"{name} is {levels.tolist()}; expected levels from 0 to {self.top}")
        if np.abs(self.shifts).max() > 1:
            raise ProblemError(f"shifts go to {np.abs(self.shifts).max()}; expected -1, 0 and 1 alone")
        for name in ("log_prior", "log_weights"):
            values = getattr(self, name)
            if np.isnan(values).any() or values.max() in (np.inf, -np.inf):
                raise ProblemError(f"{name} has nan, inf or nothing but -inf; expected logarithms")

    @property
    def stages(self):
        """Number of actions T."""
        return len(self.log_weights)

    @property
    def top(self):
        """Largest level m."""
        return self.log_weights.shape[1] - 1

    def after(self, start, stages):
        """The same chains from other levels for the last stages.

        Raises:
          ProblemError: if there are fewer stages, or levels are out of range.
        """
        check_count(stages, "stages", 1, self.stages)
        return replace(self, start=start, log_weights=self.log_weights[self.stages - stages :])


@dataclass(frozen=True, eq=False)
class ChainMessages:
    """What a later inference can start from.

    Attributes:
      to_chains: logarithms of messages of actions to chains, (T, n, 3) over shifts -1, 0, 1.
      log_actions: logarithms of the probabilities of actions, (T, A).
      to_parts: logarithms of messages of chains to the parts of actions, (T, n, K) and (T, n, L); of "separate" alone.
    """

    to_chains: np.ndarray
    log_actions: np.ndarray
    to_parts: tuple | None = None

    def last(self, stages):
        """The messages of the last stages alone, for the ones that are left."""
        parts = None if self.to_parts is None else tuple(part[-stages:] for part in self.to_parts)
        return ChainMessages(self.to_chains[-stages:], self.log_actions[-stages:], parts)


@dataclass(frozen=True, eq=False, kw_only=True)
class ChainBeliefs(Inference):
    """Marginals that `chain_beliefs` found; nan after a contradiction.

    Attributes:
      actions: probabilities (T, A).
      levels: probabilities (T + 1, n, m + 1).
      messages: `ChainMessages` to start from, or None after a contradiction.
      method: the one that found them.
      tried: (method, `Status`) of all that were tried.
    """

    actions: np.ndarray
    levels: np.ndarray
    messages: ChainMessages | None
    method: str
    tried: tuple = field(default=())

    @property
    def expected_levels(self):
        """Means (T + 1, n) of the levels."""
        return self.levels @ np.arange(self.levels.shape[-1])


def chain_beliefs(
    chains,
    method="cvm",
    damping=0.0,
    tolerance=1e-6,
    max_sweeps=1000,
    inner_sweeps=None,
    max_outer=1000,
    bound=1.0,
    start=None,
):
    """Approximate log Z and marginals of coupled chains.

    Args:
      chains: `CoupledChains`.
      method: "cvm", "merged", "double_loop" or "separate", see above.
      damping: share of the last sweep in log probabilities, of "merged", or log messages, of "separate"; from 0 to
        below 1.
      tolerance: of the probabilities of the actions: their change in a sweep, of a double loop in an outer iteration.
      max_sweeps: of belief propagation.
      inner_sweeps: at most, in an iteration of the double loop; they end early where they change nothing any more. By
        default from 1 to 200, twice as many after every 8 iterations that changed more than the one before.
      max_outer: iterations of the double loop.
      bound: share of the entropies that the double loop bounds, above 0 up to 1; a smaller one needs fewer iterations,
        but the free energy need not fall and iterations may not converge.
      start: `ChainMessages` of an inference on as many stages; given up where they contradict the chains.

    Returns:
      `ChainBeliefs`. Not converging and contradictions are a status, never an exception.

    Raises:
      ProblemError: if an option is unknown or out of range, or "separate" is asked of actions without parts.
    """
    _check_options(chains, method, damping, tolerance, bound, start)
    for name, value in (("max_sweeps", max_sweeps), ("inner_sweeps", inner_sweeps), ("max_outer", max_outer)):
        if value is not None or name != "inner_sweeps":
            check_count(value, name, 1)
    tried = []
    for one in ("merged", "double_loop") if method == "cvm" else (method,):
        limits = (inner_sweeps, max_outer, bound) if one == "double_loop" else (max_sweeps, damping)
        found = _infer(chains, one, tolerance, limits, start)
        if start is not None and found.status is Status.CONTRADICTION:
            found = _infer(chains, one, tolerance, limits, None)
        tried.append((one, found.status))
        if found.status.solved:
            break
    return replace(found, tried=tuple(tried))


def receding(chains, method="cvm", first=None, **options):
    """What `play` acts on: beliefs on the stages that are left, from the messages of the stage before.

    Args:
      chains: `CoupledChains`; the state of the play are their levels.
      method: of `chain_beliefs`.
      first: options of `chain_beliefs` that differ at the first stage, where there are no messages to start from.
      options: of `chain_beliefs`.

    Returns:
      Function of levels (n,), the stage and the last messages, that returns the probabilities (A,) of the next action,
      0 for actions that the levels forbid, the `ChainBeliefs`, and messages.
    """

    def infer(levels, t, messages):
        left = chains.stages - t
        chosen = options | (first or {}) if messages is None else options | {"start": messages.last(left)}
        found = chain_beliefs(chains.after(levels, left), method, **chosen)
        moved = levels + chains.shifts
        possible = ((moved >= 0) & (moved <= chains.top)).all(axis=1)
        # beliefs about parts of actions may hold for possible what chains elsewhere forbid
        p = np.where(possible, found.actions[0], 0.0)
        return (p if p.any() else possible.astype(float)), found, found.messages

    return infer


def play_chains(problems, method="cvm", seed=0, threads=None, **options):
    """Play every one of some chains to its end, the most probable action at a time.

    Args:
      problems: `CoupledChains`.
      method, options: as `receding`.
      seed: number i of the plays breaks ties by seed and i, at any number of threads.
      threads: as many as processors by default.

    Returns:
      Iterator of `Play` and the processor time that it took, in the order of the problems.

    Raises:
      ProblemError: as `chain_beliefs`.
    """

    def one(number):
        chains, began = problems[number], time.thread_time()
        ties = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        found = play(
            receding(chains, method, **options),
            lambda levels, action: levels + chains.shifts[action],
            chains.start,
            chains.stages,
            seed=ties,
        )
        return found, time.thread_time() - began

    return in_threads(one, range(len(problems)), threads)


def _infer(chains, method, tolerance, limits, start):
    """One method from messages, or without."""
    run = _Run(chains, start, method == "separate")
    sweeps, change, trace = (
        run.double_loop(tolerance, *limits) if method == "double_loop" else run.propagate(tolerance, *limits)
    )
    common = {"exact": False, "sweeps": sweeps, "schedule": "forward and backward", "method": method}
    if np.isnan(change):
        nothing = np.full_like(run.Q, np.nan), np.full((chains.stages + 1, chains.start.size, chains.top + 1), np.nan)
        common |= {"log_partition": -np.inf, "status": Status.CONTRADICTION, "trace": tuple(trace)}
        return ChainBeliefs(actions=nothing[0], levels=nothing[1], messages=None, **common)
    levels, inconsistency = run.levels()
    status = Status.CONVERGED if change < tolerance else Status.MAX_ITERATIONS
    common |= {"log_partition": -trace[-1], "status": status, "trace": tuple(trace)}
    return ChainBeliefs(
        actions=_frozen(run.Q, float, "actions"),
        levels=_frozen(levels, float, "levels"),
        messages=run.messages(),
        change=float(change),
        inconsistency=inconsistency,
        **common,
    )


class _Run:
    """Arrays of the kernels while one method runs."""

    def __init__(self, chains, start, separate):
        T, n, m, A = chains.stages, chains.start.size, chains.top, chains.log_prior.size
        self.shifts, self.log_prior = chains.shifts, chains.log_prior
        self.weights = _numbers(chains.log_weights, m)
        self.F, self.B = _zeros((T + 1, n), m), _zeros((T + 1, n), m)
        self.F[0, range(n), 0, chains.start + 1], self.F[0, range(n), 1, chains.start + 1] = 1.0, 0.0
        self.B[T] = self.weights[T - 1]
        if chains.goal is not None:
            off = np.arange(m + 3) != chains.goal[:, None] + 1
            self.B[T, :, 0][off], self.B[T, :, 1][off] = 0.0, kernels.NOTHING
        self.separate = separate
        if separate:
            self.priors = _factors(chains)
            self.parts = tuple(np.zeros((T, n, size)) for size in chains.parts)
        if start is None:
            self.log_Q = np.tile(chains.log_prior - np.logaddexp.reduce(chains.log_prior), (T, 1))
            to_chains = np.tile(_shares(chains.shifts, self.log_Q[0]), (T, 1, 1))
        else:
            self.log_Q, to_chains = start.log_actions.copy(), start.to_chains
            if separate and start.to_parts is not None:
                self.parts = tuple(part.copy() for part in start.to_parts)
        self.Q = np.exp(self.log_Q)
        self.N = _numbers(to_chains, None)
        kernels.pass_back(self.B, self.N, self.weights)
        self.scratch = np.empty((n, 3, 2)), np.empty((n, 3)), np.empty(A), np.empty(max(A, 3))

    def sweep(self, powers, reference, most, tolerance, trace):
        """Merged sweeps; their number and the last change."""
        return kernels.sweep_merged(
            self.shifts,
            self.log_prior,
            self.weights,
            powers,
            self.F,
            self.B,
            self.N,
            self.log_Q,
            self.Q,
            reference,
            self.scratch,
            most,
            tolerance,
            trace,
        )

    def propagate(self, tolerance, most, damping):
        """Belief propagation: sweeps, the last change, and the trace."""
        trace = np.empty(most)
        if self.separate:
            sizes = (*(part.shape[-1] for part in self.parts), 3)
            logs, found, values = (tuple(np.empty(size) for size in sizes) for _ in range(3))
            pairs = np.empty(self.Q.shape[1], np.int64), *logs, found, values
            arrays = self.F, self.B, self.N, self.log_Q, self.Q, self.parts, (*self.scratch[:2], pairs)
            sweeps, change = kernels.sweep_separate(
                self.shifts, self.priors, float(damping), self.weights, *arrays, most, tolerance, trace
            )
        else:
            sweeps, change = self.sweep((1.0 - damping, 0.0, float(damping)), self.log_Q, most, tolerance, trace)
        return sweeps, change, trace[: sweeps - int(np.isnan(change))]

    def double_loop(self, tolerance, inner, outer, bound):
        """The double loop: inner sweeps in all, the last outer change, and the trace."""
        sweeps, change, trace, inner_trace = 0, np.inf, [], np.empty(inner or MOST_INNER)
        share = 1.0 / (1.0 + bound * (self.F.shape[1] - 1))
        most, setbacks = inner or 1, 0
        for _ in range(outer):
            reference, before, last = self.log_Q.copy(), self.Q.copy(), change
            number, moved = self.sweep((share, 1.0 - share, 0.0), reference, most, FINER * tolerance, inner_trace)
            sweeps += number
            if np.isnan(moved):
                return sweeps, np.nan, trace
            change = np.abs(self.Q - before).max()
            trace.append(inner_trace[number - 1])
            if change < tolerance:
                break
            setbacks += change > last
            if inner is None and setbacks == PATIENCE:
                most, setbacks = min(2 * most, MOST_INNER), 0
        return sweeps, change, trace

    def levels(self):
        """Probabilities of levels, and the largest inconsistency."""
        T, n, m = len(self.N), self.F.shape[1], self.F.shape[3] - 3
        levels, ones = np.empty((T + 1, n, m + 1)), _numbers(np.zeros((1, m + 1)), m)[0]
        worst = kernels.believe(self.shifts, self.weights, ones, self.F, self.B, self.N, self.Q, levels)
        return levels, worst

    def messages(self):
        """`ChainMessages`."""
        with np.errstate(divide="ignore"):
            to_chains = np.log(self.N[:, :, 0]) + np.where(self.N[:, :, 0] > 0, kernels.LOG_UNIT * self.N[:, :, 1], 0.0)
        return ChainMessages(to_chains, self.log_Q, self.parts if self.separate else None)


def _zeros(shape, m):
    """Zeros as mantissas and exponents (..., 2, m + 3)."""
    numbers = np.zeros((*shape, 2, m + 3))
    numbers[..., 1, :] = kernels.NOTHING
    return numbers


def _numbers(logs, m):
    """Mantissas and exponents (..., 2, size) of exp(logs); with places of zeros around m + 1 levels, unless None."""
    flat = np.ascontiguousarray(logs).reshape(-1)
    split = np.empty((2, flat.size))
    kernels.split_all(flat, split)
    numbers = np.moveaxis(split.reshape(2, *logs.shape), 0, -2)
    if m is None:
        return np.ascontiguousarray(numbers)
    padded = _zeros(logs.shape[:-1], m)
    padded[..., 1:-1] = numbers
    return padded


def _shares(shifts, log_actions):
    """Logarithms (n, 3) of the probabilities of shifts -1, 0, 1 in chains."""
    with np.errstate(divide="ignore"):
        return np.log(np.stack([np.exp(log_actions) @ (shifts == s) for s in (-1, 0, 1)], axis=-1))


def _factors(chains):
    """Logarithms (K,) and (L,) of the prior of both parts."""
    table = chains.log_prior.reshape(chains.parts)
    row, column = np.unravel_index(table.argmax(), table.shape)
    largest = table[row, column]
    first, second = table[:, column], table[row] - largest
    apart = np.abs(np.exp(first[:, None] + second - largest) - np.exp(table - largest)).max()
    if not apart < 1e-9:
        raise ProblemError("log_prior does not factorize into the parts of actions; choose another method")
    return np.ascontiguousarray(first), np.ascontiguousarray(second)


def _check_options(chains, method, damping, tolerance, bound, start):
    if method not in METHODS:
        raise ProblemError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
    if method == "separate" and chains.parts is None:
        raise ProblemError("the actions have no parts, which method 'separate' needs; give parts or another method")
    if not 0.0 <= damping < 1.0:
        raise ProblemError(f"damping is {damping!r}; expected 0 or more and below 1")
    if not 0.0 < bound <= 1.0:
        raise ProblemError(f"bound is {bound!r}; expected above 0 and at most 1")
    if not tolerance >= 0.0:
        raise ProblemError(f"tolerance is {tolerance!r}; expected 0 or more")
    if start is not None and (start.log_actions.shape != (chains.stages, chains.log_prior.size)):
        raise ProblemError(
            f"start has messages of {start.log_actions.shape} stages and actions; expected"
            f" ({chains.stages}, {chains.log_prior.size})"
        )


def _frozen(values, kind, name):
    array = np.array(values, dtype=float)
    if kind is int:
        if not np.array_equal(array, np.round(array)):
            raise ProblemError(f"{name} is {values!r}; expected whole numbers")
        array = array.astype(np.int64)
    array.setflags(write=False)
    return array
