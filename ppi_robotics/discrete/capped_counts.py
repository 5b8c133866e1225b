"""Agents that choose among classes, and places that reward two agents or more: exactly, or by belief propagation.

    p(c_1 ... c_M)  =  prod_i w_i(c_i)  prod_j exp(gain_j [at least two agents have class j + 1]) / Z

The exact sum is a dynamic program over how many agents each of S places has so far, 0, 1 or at least 2: 3^S numbers
an agent. Belief propagation passes messages between agents and places, those of a place by a chain over the same
counts; it is exact with one place, where the graph is a tree.

Kappen, Gomez, Opper, *Optimal control as a graphical model inference problem* (Machine Learning, 2012), section 4; the
program over counts is not in the paper.
"""

from dataclasses import dataclass

import numpy as np

from ppi_robotics.checks import as_costs, as_finite, as_logs, check_count
from ppi_robotics.discrete.inference import Inference, check_messages
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import frozen
from ppi_robotics.kernels import capped_counts as kernels
from ppi_robotics.solution import Status

MOST_NUMBERS = 30_000_000  # of the exact program's table, of 8 bytes: 12 places for 55 agents
MAX_SWEEPS = 500
ROUNDING = 64 * np.finfo(float).eps  # of a sum over agents and places, relative to the largest logarithm


@dataclass(frozen=True, eq=False, kw_only=True)
class CountBeliefs(Inference):
    """Probabilities of what agents choose.

    Attributes:
      classes: probability (M, S + 1) of every class by agent; class 0 is no place.
      met: probability (S,) that at least two agents choose a place.
      mean, variance: of the cost; belief propagation gives no variance, which is nan then.
      ratios: messages (S, M) of belief propagation, to start another from; None where exact.
    """

    classes: np.ndarray
    met: np.ndarray
    mean: float
    variance: float
    ratios: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class CappedCounts:
    """The choice of M agents among S places and none.

    Attributes:
      weights: logarithms (M, S + 1) of w; -inf where an agent cannot choose a class.
      gains: logarithms (S,) of the factor of two agents or more.
      own: expected cost (M, S + 1) of an agent that chooses a class.
      spread: variance (M,) of the cost of an agent that chooses no place.
      shared: cost (S,) of two agents or more at a place.
    """

    weights: np.ndarray
    gains: np.ndarray
    own: np.ndarray
    spread: np.ndarray
    shared: np.ndarray

    def __post_init__(self):
        for name, read in (("weights", as_logs), ("gains", as_finite), ("spread", as_finite), ("shared", as_finite)):
            object.__setattr__(self, name, frozen(read(getattr(self, name), name)))
        object.__setattr__(self, "own", frozen(as_costs(self.own, "own")))
        M, S = (len(part) if part.ndim else 0 for part in (self.weights, self.gains))
        shapes = {"weights": (M, S + 1), "gains": (S,), "own": (M, S + 1), "spread": (M,), "shared": (S,)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ProblemError(f"{name} has shape {getattr(self, name).shape}; expected {shape}")
        if not M or not (self.weights.max(axis=1) > -np.inf).all():
            raise ProblemError("weights leave an agent no class, or there is none; expected a choice for all")

    def exact(self):
        """`CountBeliefs` by the dynamic program over capped counts.

        Raises:
          ProblemError: if there are too many places.
        """
        M, S = len(self.weights), len(self.gains)
        self._check_size(M, S)
        value, mean, variance = np.empty((M + 1, 3**S)), np.empty(3**S), np.zeros(3**S)
        kernels.ends(self.gains, self.shared, value[M], mean)
        kernels.backward(self.weights, self.own, self.spread, value, mean, variance)
        counts, classes, met = np.empty(3**S), np.empty((M, S + 1)), np.empty(S)
        kernels.forward(self.weights, value, counts, classes)
        kernels.met(counts, value[M], met)
        return CountBeliefs(
            log_partition=float(value[0, 0]),
            exact=True,
            status=Status.CONVERGED,
            classes=classes,
            met=met,
            mean=float(mean[0]),
            variance=float(variance[0]),
        )

    def propagate(self, damping=0.0, tolerance=1e-9, max_sweeps=MAX_SWEEPS, start=None):
        """`CountBeliefs` by belief propagation, place after place.

        Args:
          damping: share of the old logarithm of a message that is kept, from 0 to below 1.
          tolerance: change of all messages, logarithms of ratios, without damping, below which they have converged;
            where weights are so large that rounding changes more, the latter.
          max_sweeps: the most sweeps over the places.
          start: messages (S, M) to start from, `ratios` of another result; none by default.

        Raises:
          ProblemError: if an option is out of range, or the messages to start from have another shape.
        """
        M, S = len(self.weights), len(self.gains)
        check_messages(tolerance, damping)
        check_count(max_sweeps, "max_sweeps", 1)
        ratios = np.zeros((S, M)) if start is None else np.array(as_finite(start, "start", (S, M)))
        trace, known = np.empty(max_sweeps), self.weights[self.weights > -np.inf]
        rounding = ROUNDING * max(np.abs(known).max(), np.abs(self.gains).max(initial=0.0))
        tolerance = max(float(tolerance), rounding)
        run = (self.weights, self.gains, ratios, float(damping), tolerance)
        sweeps, change, apart = kernels.propagate(*run, max_sweeps, trace)
        classes, met = np.empty((M, S + 1)), np.empty(S)
        kernels.classes_of(self.weights, ratios, classes)
        energy = kernels.free_energy(self.weights, self.gains, ratios, met, np.empty((M + 1, 3)))
        return CountBeliefs(
            log_partition=-float(energy),
            exact=False,
            status=Status.CONVERGED if change <= tolerance else Status.MAX_ITERATIONS,
            sweeps=int(sweeps),
            change=float(change),
            inconsistency=float(apart),
            trace=tuple(trace[:sweeps].tolist()),
            schedule="sequential",
            classes=classes,
            met=met,
            mean=float((classes * self.own).sum() + self.shared @ met),
            variance=float("nan"),
            ratios=ratios,
        )

    def least(self):
        """The least cost that choices of positive weight have, of `own` and `shared` costs."""
        S = len(self.gains)
        self._check_size(1, S)
        value, cost = np.empty(3**S), np.empty(3**S)
        kernels.ends(self.gains, self.shared, value, cost)
        kernels.least(np.isfinite(self.weights), self.own, cost)
        return float(cost[0])

    @staticmethod
    def _check_size(M, S):
        if (M + 1) * 3**S > MOST_NUMBERS:
            raise ProblemError(
                f"{S} places and {M} agents need {M + 1} x 3^{S} numbers, more than {MOST_NUMBERS}; "
                "use belief propagation (method 'bp'), which needs few"
            )
