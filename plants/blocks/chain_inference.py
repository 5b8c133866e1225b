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

import functools
from dataclasses import dataclass, field, replace

import numpy as np

from plants.blocks.chain_sweeps import ChainMessages, ChainSweeps
from plants.blocks.chain_symmetries import asymmetry
from plants.blocks.coupled_chains import CoupledChains
from plants.blocks.kernels.merged_actions import GROWN, NOTHING
from ppi_robotics.checks import check_choice, check_count, check_instance, check_number
from ppi_robotics.discrete.beliefs import Inference, check_messages
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import frozen
from ppi_robotics.solution import Status

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
    tried: tuple = field(default=())
    chains: CoupledChains = field(repr=False)

    @functools.cached_property
    def broke_tie(self):
        """Whether chains that the problem does not tell apart have other probabilities.

        The answer is one of several that are as good then, as rounding or `start` had it; the exact one has the
        symmetry, and so has every sweep from messages that have it, but for rounding.
        """
        return asymmetry(self.chains, self.actions, self.levels) > EVEN

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
    bound=None,
    start=None,
):
    """Approximate log Z and marginals of coupled chains.

    Args:
      chains: `CoupledChains`.
      method: "cvm", "merged", "double_loop" or "separate", see above.
      damping: share of the last sweep in log probabilities, of "merged", or log messages, of "separate"; from 0 to
        below 1.
      tolerance: of the change in a sweep, of a double loop in an outer iteration, both without damping: of the
        probabilities of actions, and of the square of their logarithms, in the second of which log Z is off.
      max_sweeps: of belief propagation.
      inner_sweeps: at most, in an iteration of the double loop; they end early where they change nothing any more. By
        default 50 of "cvm"; of "double_loop" from 1 to 200, twice as many after every 16 iterations that changed more
        than the one before.
      max_outer: iterations of the double loop.
      bound: share of the entropies that the double loop bounds, above 0 up to 1; a smaller one needs fewer iterations,
        but the free energy need not fall and iterations may not converge. By default 1 of "double_loop", 1/4 of "cvm".
      start: `ChainMessages` of an inference on as many stages; given up where they contradict the chains.

    Returns:
      `ChainBeliefs`. Not converging and contradictions are a status, never an exception.

    Raises:
      ProblemError: if an option is unknown or out of range, or "separate" is asked of actions without parts.
    """
    check_choice(method, "method", METHODS)
    if method == "cvm":
        inner_sweeps, bound = CVM_INNER if inner_sweeps is None else inner_sweeps, CVM_BOUND if bound is None else bound
    bound = 1.0 if bound is None else bound
    check_instance(chains, "chains", CoupledChains)
    _check_options(chains, method, damping, tolerance, bound, start)
    for name, value in (("max_sweeps", max_sweeps), ("inner_sweeps", inner_sweeps), ("max_outer", max_outer)):
        if value is not None or name != "inner_sweeps":
            check_count(value, name, 1)
    tried = []
    for one in ("merged", "double_loop") if method == "cvm" else (method,):
        limits = (inner_sweeps, max_outer, bound) if one == "double_loop" else (max_sweeps, damping)
        found = _infer(chains, one, tolerance, limits, start)
        if start is not None and found.status in (Status.CONTRADICTION, Status.MESSAGES_LOST):
            found = _infer(chains, one, tolerance, limits, None)
        tried.append((one, found.status))
        if found.status.solved:
            break
    return replace(found, tried=tuple(tried))


def _infer(chains, method, tolerance, limits, start):
    """One method from messages, or without."""
    run = ChainSweeps(chains, start, method == "separate")
    tolerance = max(tolerance, run.rounding)
    sweeps, change, trace = (
        run.double_loop(tolerance, *limits) if method == "double_loop" else run.propagate(tolerance, *limits)
    )
    common = {"exact": False, "sweeps": sweeps, "schedule": "forward and backward", "method": method, "chains": chains}
    common |= {"trace": tuple(trace), "log_partition": -float(trace[-1]) if trace.size else -np.inf}
    if change == NOTHING:
        nothing = (
            np.full_like(run.actions(), np.nan),
            np.full((chains.stages + 1, chains.start.size, chains.top + 1), np.nan),
        )
        common |= {"log_partition": -np.inf, "status": Status.CONTRADICTION}
        return ChainBeliefs(actions=nothing[0], levels=nothing[1], messages=None, **common)
    lost = change == GROWN
    levels, inconsistency = run.levels()
    settled = Status.CONVERGED if change < tolerance else Status.MAX_ITERATIONS
    return ChainBeliefs(
        actions=frozen(run.actions()),
        levels=frozen(levels),
        messages=None if lost else run.messages(),
        change=np.inf if lost else float(change),
        inconsistency=inconsistency,
        status=Status.MESSAGES_LOST if lost else settled,
        **common,
    )


def _check_options(chains, method, damping, tolerance, bound, start):
    if method == "separate" and chains.parts is None:
        raise ProblemError("the actions have no parts, which method 'separate' needs; give parts or another method")
    check_messages(tolerance, damping)
    check_number(bound, "bound", above=0, most=1)
    if start is not None:
        _check_start(chains, start)


def _check_start(chains, start):
    T, n, A = chains.stages, chains.start.size, chains.log_prior.size
    check_instance(start, "start", ChainMessages, "messages of another result")
    given, expected = [start.log_actions, start.to_chains], [(T, A), (T, n, 3)]
    if start.to_parts is not None and chains.parts is not None:
        given, expected = [*given, *start.to_parts], [*expected, *((T, n, size) for size in chains.parts)]
    shapes = [np.shape(array) for array in given]
    if shapes != expected:
        raise ProblemError(f"start has messages of shapes {shapes}; expected {expected}")
