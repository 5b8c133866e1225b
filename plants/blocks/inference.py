"""Approximate inference in integer-valued chains that one shared action per stage moves.

n chains of levels 0 to m pass T stages; at each stage an action a, drawn by log_prior, changes the level of chain i by
shifts[a, i] in -1, 0, 1; a level that would leave its range forbids the action. Levels have weights, the first ones are
given, the last ones may be. Every chain with its actions is a tree, so that the approximations concern the actions
alone. With Q_t(a) the probabilities of the actions and q_i the distributions of the chains,

    -log Z  =  min  sum_i KL-like energy of q_i  +  (n - 1) sum_t H(Q_t),    all q_i agreeing with Q,

which is the cluster variation method on the smallest regions, and the Bethe approximation with the action as one
variable. A sweep updates the actions of every stage, forward and backward,

    Q  ~  (prior prod_i M_i)^w  Q_ref^(1 - w),        M_i: message of chain i about its shift.

- "merged": belief propagation, w = 1 - damping and Q_ref the last Q.
- "double_loop": w = 1 / n and Q_ref held through `inner_sweeps`, then set to Q: the entropies of Q are replaced by a
  bound, whose minimization by inner sweeps is convex. The free energy falls with every outer iteration if they are
  enough. Fixed points are those of "merged". With a share c of the entropies bounded, w = 1 / (1 + c (n - 1)).
- "cvm": "merged", and "double_loop" if that does not converge.
- "separate": belief propagation with the parts k and l of actions a = L k + l as two variables.

Heskes, Albers, Kappen, *Approximate inference and constrained optimization* (UAI 2003); Kappen, Gomez, Opper, *Optimal
control as a graphical model inference problem* (Machine Learning, 2012), section 3.
"""

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from plants.blocks.chains import ChainMessages, CoupledChains, asymmetry
from plants.blocks.kernels.merged_actions import GROWN, NOTHING
from plants.blocks.sweeps import ChainSweeps
from ppi_robotics import ProblemError, Status
from ppi_robotics.checks import (
    check_choice,
    check_count,
    check_function,
    check_instance,
    check_number,
    check_seed,
    check_sequence,
    check_threads,
)
from ppi_robotics.discrete import Inference, Play, play
from ppi_robotics.gaussian import frozen
from ppi_robotics.interruption import Held
from ppi_robotics.parallel import in_threads

METHODS = ("cvm", "merged", "double_loop", "separate")
EVEN = 1e-6  # difference of probabilities that rounding does not make, but where it is amplified
CVM_INNER, CVM_BOUND = 50, 0.25  # sweeps of an iteration and share of the entropies, where propagation fails


@dataclass(frozen=True, eq=False, kw_only=True)
class ChainBeliefs(Inference):
    """Marginals that `chain_beliefs` found; nan after a contradiction.

    Attributes:
      actions: probabilities (T, A).
      levels: probabilities (T + 1, n, m + 1).
      messages: `ChainMessages` to start from; None after a contradiction, or where they are lost.
      method: the one that found them.
      tried: (method, `Status`) of all that were tried.
      chains: the `CoupledChains`.
    """

    actions: np.ndarray
    levels: np.ndarray
    messages: ChainMessages | None
    method: str
    tried: tuple[tuple[str, Status], ...] = ()
    chains: CoupledChains = field(repr=False)

    @functools.cached_property
    def broke_tie(self) -> bool:
        """Whether chains that a symmetry of the ring makes alike have other probabilities.

        The answer is one of several that are as good then, as rounding or `start` had it; the exact one has the
        symmetry, and so has every sweep from messages that have it, but for rounding.
        """
        return asymmetry(self.chains, self.actions, self.levels) > EVEN

    @property
    def expected_levels(self) -> np.ndarray:
        """Means (T + 1, n) of the levels."""
        return self.levels @ np.arange(self.levels.shape[-1])


def chain_beliefs(
    chains: CoupledChains,
    method: str = "cvm",
    damping: float = 0.0,
    tolerance: float = 1e-6,
    max_sweeps: int = 1000,
    inner_sweeps: int | None = None,
    max_outer: int = 1000,
    bound: float | None = None,
    start: ChainMessages | None = None,
) -> ChainBeliefs:
    """Approximate log Z and marginals of coupled chains.

    Args:
      chains: `CoupledChains`.
      method: "cvm", "merged", "double_loop" or "separate", see above.
      damping: share of the last sweep in log probabilities, of "merged", or log messages, of "separate"; from 0 to
        below 1.
      tolerance: of the change in a sweep, of a double loop in an outer iteration, both without damping: of the
        probabilities of actions, and of the square of their logarithms, in the second of which log Z is off.
      max_sweeps: of belief propagation.
      inner_sweeps: at most, in an iteration of the double loop; they end early once they change nothing. By
        default 50 of "cvm"; of "double_loop" from 1 to 200, twice as many after every 16 iterations that changed more
        than the one before.
      max_outer: iterations of the double loop.
      bound: share of the entropies that the double loop bounds, above 0 up to 1; a smaller one needs fewer iterations,
        but the free energy need not fall and iterations may not converge. By default 1 of "double_loop", 1/4 of "cvm".
      start: `ChainMessages` of an inference on as many stages; given up where they contradict the chains.

    Returns:
      `ChainBeliefs`. Not converging and contradictions are a status, never an exception; so is Ctrl-C, which leaves the
      beliefs of the last sweeps.

    Raises:
      ProblemError: if an option is unknown or out of range, or "separate" is asked of actions without parts.
    """
    check_choice(method, "method", METHODS)
    if method == "cvm":
        inner_sweeps, bound = CVM_INNER if inner_sweeps is None else inner_sweeps, CVM_BOUND if bound is None else bound
    bound = 1.0 if bound is None else bound
    check_instance(chains, "chains", CoupledChains)
    if method == "separate" and chains.parts is None:
        raise ProblemError("the actions have no parts, which method 'separate' needs; give parts or another method")
    check_number(damping, "damping", least=0, below=1)
    check_number(tolerance, "tolerance", least=0)
    check_number(bound, "bound", above=0, most=1)
    if start is not None:
        check_instance(start, "start", ChainMessages, "messages of another result").check_fits(chains)
    for name, value in (("max_sweeps", max_sweeps), ("inner_sweeps", inner_sweeps), ("max_outer", max_outer)):
        if value is not None or name != "inner_sweeps":
            check_count(value, name, 1)
    tried = []
    with Held() as hold:
        for one in ("merged", "double_loop") if method == "cvm" else (method,):
            limits = (inner_sweeps, max_outer, bound) if one == "double_loop" else (max_sweeps, damping)
            found = _infer(chains, one, tolerance, limits, start, hold)
            if start is not None and found.status in (Status.CONTRADICTION, Status.MESSAGES_LOST):
                found = _infer(chains, one, tolerance, limits, None, hold)
            tried.append((one, found.status))
            if found.status.solved or hold.pressed:
                break
    return replace(found, tried=tuple(tried))


def _infer(chains, method, tolerance, limits, start, hold):
    """`ChainBeliefs` by one method, from messages or without."""
    run = ChainSweeps(chains, start, method == "separate", hold)
    tolerance = max(tolerance, run.rounding)
    solve = run.double_loop if method == "double_loop" else run.propagate
    sweeps, change, trace = solve(tolerance, *limits)
    actions = run.actions()
    levels, inconsistency = np.full((chains.stages + 1, chains.start.size, chains.top + 1), np.nan), 0.0
    if change == NOTHING:
        status, actions, change = Status.CONTRADICTION, np.full_like(actions, np.nan), 0.0
    elif change == GROWN:
        status, change = Status.MESSAGES_LOST, np.inf
    elif change < tolerance:
        status = Status.CONVERGED
    else:
        status = Status.INTERRUPTED if hold.pressed else Status.MAX_ITERATIONS
    if status is not Status.CONTRADICTION:
        levels, inconsistency = run.levels()
    return ChainBeliefs(
        log_partition=-float(trace[-1]) if trace.size and status is not Status.CONTRADICTION else -np.inf,
        exact=False,
        status=status,
        sweeps=sweeps,
        change=float(change),
        inconsistency=inconsistency,
        trace=tuple(trace),
        schedule="forward and backward",
        actions=frozen(actions),
        levels=frozen(levels),
        messages=None if status in (Status.CONTRADICTION, Status.MESSAGES_LOST) else run.messages(),
        method=method,
        chains=chains,
    )


# -- plays -------------------------------------------------------------------------------------------------------------


def receding(
    chains: CoupledChains, method: str = "cvm", first: dict[str, Any] | None = None, **options: Any
) -> Callable[..., tuple[Any, ...]]:
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
    check_instance(chains, "chains", CoupledChains)
    check_choice(method, "method", METHODS)

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


def play_chains(
    problems: Sequence[CoupledChains],
    method: str = "cvm",
    seed: int = 0,
    threads: int | None = None,
    reachable: Callable[..., bool] | None = None,
    **options: Any,
) -> Iterator[tuple[Play, float]]:
    """Play every one of some chains to its end, the most probable action at a time.

    Args:
      problems: `CoupledChains`.
      method, options: as `receding`.
      seed: number i of the plays breaks ties by seed and i, at any number of threads.
      threads: as many as processors by default.
      reachable: function of a problem, levels and the number of stages left; a play ends in a contradiction, without
        an inference that might take long to find it, where that is false.

    Returns:
      Iterator of `Play` and the processor time [s] that it took, in the order of the problems.

    Raises:
      ProblemError: as `chain_beliefs`.
    """
    problems = check_sequence(problems, "problems", "CoupledChains")
    for i, chains in enumerate(problems):
        check_instance(chains, f"problems[{i}]", CoupledChains)
    check_choice(method, "method", METHODS)
    seed = check_seed(seed)
    check_threads(threads)
    check_function(reachable, "reachable", "a problem, levels and the stages left")
    contradiction = Inference(log_partition=-np.inf, exact=True, status=Status.CONTRADICTION)

    def one(number):
        chains, began = problems[number], time.thread_time()
        infer = receding(chains, method, **options)

        def infer_within_reach(levels, t, messages):
            if reachable is None or reachable(chains, levels, chains.stages - t):
                return infer(levels, t, messages)
            return None, contradiction, None

        def step(levels, action):
            return levels + chains.shifts[action]

        ties = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        found = play(infer_within_reach, step, chains.start, chains.stages, seed=ties)
        if found.interrupted:  # its rate of success would be that of a plan cut short
            raise KeyboardInterrupt
        return found, time.thread_time() - began

    return in_threads(one, range(len(problems)), threads)
