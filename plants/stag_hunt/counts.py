"""Agents that choose among classes, and places that reward two agents or more: exactly, or by belief propagation.

    p(c_1 ... c_M)  =  prod_i w_i(c_i)  prod_j exp(gain_j [at least two agents have class j + 1]) / Z

The exact sum is a dynamic program over how many agents each of S places has so far, 0, 1 or at least 2: 3^S numbers
an agent. It runs for every group of agents that share places within reach, and S is that of a group. Belief propagation
passes messages between agents and places, those of a place by a chain over the same counts; it is exact with one place,
where the graph is a tree.

Kappen, Gomez, Opper, *Optimal control as a graphical model inference problem* (Machine Learning, 2012), section 4; the
program over counts is not in the paper.
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from plants.stag_hunt import kernels
from ppi_robotics import ProblemError, Status
from ppi_robotics.checks import as_costs, as_finite, as_logs, check_count, check_number
from ppi_robotics.discrete import Inference
from ppi_robotics.entropic import log_sum
from ppi_robotics.gaussian import Record, frozen

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
class CappedCounts(Record):
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

    def exact(self) -> CountBeliefs:
        """`CountBeliefs` by the dynamic program over capped counts, group by group.

        Raises:
          ProblemError: if a group has too many places.
        """
        self._check_sizes()
        if len(self.groups) == 1 and len(self.groups[0][1]) == len(self.gains):
            return _exact_beliefs(*self._sums())
        log_z, mean, variance = 0.0, 0.0, 0.0
        classes, met = np.zeros_like(self.weights), np.zeros(len(self.gains))
        for agents, places in self.groups:
            part, shares = self._part(agents, places)
            of_log_z, of_mean, of_variance, of_classes, met[places] = part._sums()
            log_z, mean, variance = log_z + of_log_z, mean + of_mean, variance + of_variance
            classes[agents] = shares * of_classes[:, :1]
            classes[agents[:, None], places + 1] = of_classes[:, 1:]
        return _exact_beliefs(log_z, mean, variance, classes, met)

    def _sums(self):
        """log Z, mean and variance of the cost, and probabilities of classes and of places, over all agents at once."""
        M, S = len(self.weights), len(self.gains)
        value, mean, variance = np.empty((M + 1, 3**S)), np.empty(3**S), np.zeros(3**S)
        kernels.ends(self.gains, self.shared, value[M], mean)
        kernels.backward(self.weights, self.own, self.spread, value, mean, variance)
        counts, classes, met = np.empty(3**S), np.empty((M, S + 1)), np.empty(S)
        kernels.forward(self.weights, value, counts, classes)
        kernels.met(counts, value[M], met)
        return float(value[0, 0]), float(mean[0]), float(variance[0]), classes, met

    def propagate(
        self,
        damping: float = 0.0,
        tolerance: float = 1e-9,
        max_sweeps: int = MAX_SWEEPS,
        start: ArrayLike | None = None,
    ) -> CountBeliefs:
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
        check_number(damping, "damping", least=0, below=1)
        check_number(tolerance, "tolerance", least=0)
        max_sweeps = check_count(max_sweeps, "max_sweeps", 1)
        ratios = np.zeros((S, M)) if start is None else np.array(as_finite(start, "start", (S, M)))
        trace, known = np.empty(max_sweeps), self.weights[self.weights > -np.inf]
        rounding = ROUNDING * max(np.abs(known).max(), np.abs(self.gains).max(initial=0.0))
        tolerance = max(float(tolerance), rounding)
        how = self.weights, self.gains, ratios, float(damping), tolerance
        sweeps, change, apart = kernels.propagate(*how, max_sweeps, trace)
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

    def least(self) -> float:
        """The least cost that choices of positive weight have, of `own` and `shared` costs."""
        self._check_sizes()
        total, possible = 0.0, np.isfinite(self.weights)
        for agents, places in self.groups:
            S, chosen = len(places), np.append(0, places + 1)
            rest = self._rest(agents, places)
            own, may = self.own[np.ix_(agents, chosen)], possible[np.ix_(agents, chosen)]
            own[:, 0] = np.min(self.own[agents], axis=1, where=rest, initial=np.inf)
            may[:, 0] = rest.any(axis=1)
            value, cost = np.empty(3**S), np.empty(3**S)
            kernels.ends(self.gains[places], self.shared[places], value, cost)
            kernels.least(may, own, cost)
            total += float(cost[0])
        return total

    @functools.cached_property
    def groups(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Pairs of agents (m,) and places (s,) that are connected, through places that two agents or more can choose.

        The places that fewer can choose are in no group: nobody meets there. All agents that can choose no other are
        one group without places.
        """
        can = self.weights[:, 1:] > -np.inf
        shared = np.flatnonzero(can.sum(axis=0) >= 2)
        agents = np.flatnonzero(can[:, shared].any(axis=1))
        lonely = np.setdiff1d(np.arange(len(can)), agents)
        links = sparse.csr_matrix(can[np.ix_(agents, shared)])
        joined = sparse.bmat([[None, links], [links.T, None]]) if len(shared) else sparse.csr_matrix((0, 0))
        count, label = connected_components(joined, directed=False) if len(shared) else (0, np.zeros(0))
        of_agents, of_places = label[: len(agents)], label[len(agents) :]
        groups = [(agents[of_agents == g], shared[of_places == g]) for g in range(count)]
        return groups + ([(lonely, shared[:0])] if len(lonely) else [])

    def _rest(self, agents, places):
        """Which classes (m, S + 1) agents can choose that are none of some places."""
        rest = np.isfinite(self.weights[agents])
        rest[:, places + 1] = False
        return rest

    def _part(self, agents, places):
        """The `CappedCounts` of a group, other classes being its class of none, and their shares (m, S + 1) in that."""
        rest, chosen = self._rest(agents, places), np.append(0, places + 1)
        weights, own = self.weights[np.ix_(agents, chosen)], self.own[np.ix_(agents, chosen)]
        terms = np.where(rest, self.weights[agents], -np.inf)
        weights[:, 0] = log_sum(terms, axis=1)
        with np.errstate(invalid="ignore"):
            shares = np.where(rest, np.exp(terms - weights[:, :1]), 0.0)
        costs = np.where(rest, self.own[agents], 0.0)
        own[:, 0] = (shares * costs).sum(axis=1)
        spread = shares[:, 0] * self.spread[agents] + (shares * (costs - own[:, :1]) ** 2).sum(axis=1)
        return CappedCounts(weights, self.gains[places], own, spread, self.shared[places]), shares

    def _check_sizes(self):
        """Raise `ProblemError` if the table of a group is too large."""
        M, S = max(((len(agents), len(places)) for agents, places in self.groups), key=lambda size: size[1])
        if (M + 1) * 3**S > MOST_NUMBERS:
            raise ProblemError(
                f"{S} places and {M} agents hang together, the largest group, and need {M + 1} x 3^{S} numbers, more "
                f"than {MOST_NUMBERS}; use belief propagation (method 'bp'), which needs few"
            )


def _exact_beliefs(log_z, mean, variance, classes, met):
    found = {"log_partition": log_z, "mean": mean, "variance": variance, "classes": classes, "met": met}
    return CountBeliefs(exact=True, status=Status.CONVERGED, **found)
