"""Integer-valued chains that one shared action per stage moves, and messages that inference in them may start from."""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics import ProblemError
from ppi_robotics.checks import MOST_COUNT, as_logs, as_wholes, check_count, check_counts, check_sequence
from ppi_robotics.gaussian import Record, frozen


@dataclass(frozen=True, eq=False)
class CoupledChains(Record):
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
    parts: tuple[int, int] | None = None

    def __post_init__(self):
        for name in ("log_prior", "log_weights"):
            object.__setattr__(self, name, frozen(as_logs(getattr(self, name), name)))
        for name in ("start", "shifts") if self.goal is None else ("start", "shifts", "goal"):
            object.__setattr__(self, name, frozen(as_wholes(getattr(self, name), name), np.int64))
        if self.parts is not None:
            object.__setattr__(self, "parts", check_counts(self.parts, "parts", 1, MOST_COUNT, 2))
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
        if self.parts is not None and math.prod(self.parts) != A:
            raise ProblemError(f"parts are {self.parts} of {A} actions; expected (K, L) with K L = {A}")

    def _check_values(self):
        for name in ("start", "goal"):
            levels = getattr(self, name)
            if levels is not None and (levels.min() < 0 or levels.max() > self.top):
                raise ProblemError(f"{name} is {levels.tolist()}; expected levels from 0 to {self.top}")
        if self.shifts.min() < -1 or self.shifts.max() > 1:
            raise ProblemError(f"shifts go from {self.shifts.min()} to {self.shifts.max()}; expected -1, 0 and 1 alone")
        for name in ("log_prior", "log_weights"):
            if getattr(self, name).max() == -np.inf:
                raise ProblemError(f"{name} has nothing but -inf; expected logarithms of which one is finite")

    @property
    def stages(self) -> int:
        """Number of actions T."""
        return len(self.log_weights)

    @property
    def top(self) -> int:
        """Largest level m."""
        return self.log_weights.shape[1] - 1

    def after(self, start: ArrayLike, stages: int) -> "CoupledChains":
        """The same chains from other levels for the last stages.

        Raises:
          ProblemError: if there are fewer stages, or levels are out of range.
        """
        stages = check_count(stages, "stages", 1, self.stages)
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
    to_parts: tuple[np.ndarray, np.ndarray] | None = None

    def __post_init__(self):
        log_actions = as_logs(self.log_actions, "log_actions", (None, None))
        to_chains = as_logs(self.to_chains, "to_chains", (len(log_actions), None, 3))
        parts = self.to_parts
        if parts is not None:
            shape = (*to_chains.shape[:2], None)
            parts = check_sequence(parts, "to_parts", "arrays", 2)
            parts = tuple(as_logs(part, f"to_parts[{i}]", shape) for i, part in enumerate(parts))
        for name, value in (("to_chains", to_chains), ("log_actions", log_actions), ("to_parts", parts)):
            object.__setattr__(self, name, value)

    def last(self, stages: int) -> "ChainMessages":
        """The messages of the last stages alone, for the ones that are left."""
        parts = None if self.to_parts is None else tuple(part[-stages:] for part in self.to_parts)
        return ChainMessages(self.to_chains[-stages:], self.log_actions[-stages:], parts)

    def check_fits(self, chains: CoupledChains):
        """Raise `ProblemError` unless the messages are of as many stages, chains and actions."""
        T, n, A = chains.stages, chains.start.size, chains.log_prior.size
        given, expected = [self.log_actions, self.to_chains], [(T, A), (T, n, 3)]
        if self.to_parts is not None and chains.parts is not None:
            given, expected = [*given, *self.to_parts], [*expected, *((T, n, size) for size in chains.parts)]
        shapes = [np.shape(array) for array in given]
        if shapes != expected:
            raise ProblemError(f"start has messages of shapes {shapes}; expected {expected}")


# -- symmetries --------------------------------------------------------------------------------------------------------


def symmetries(chains: CoupledChains) -> list[tuple[np.ndarray, np.ndarray]]:
    """Turns of the ring of chains, and of its mirror image, that change nothing.

    Returns:
      Permutations of chains (n,) and of actions (A,) with them, without those that leave all chains in place.
    """
    ring, found = np.arange(len(chains.start)), []
    for chain in (ring, ring[::-1]):
        for images in (np.roll(chain, turn) for turn in ring):
            ends = (chains.start,) if chains.goal is None else (chains.start, chains.goal)
            if (images != ring).any() and all((levels[images] == levels).all() for levels in ends):
                of_actions = _permutation_of_actions(chains, images)
                if of_actions is not None:
                    found.append((images, of_actions))
    return found


def asymmetry(chains: CoupledChains, actions: np.ndarray, levels: np.ndarray) -> float:
    """Largest difference of probabilities of actions (T, A) and levels (T + 1, n, m + 1) to those of a symmetry."""
    worst = 0.0
    for of_chains, of_actions in symmetries(chains):
        worst = max(worst, np.abs(actions[:, of_actions] - actions).max())
        worst = max(worst, np.abs(levels[:, of_chains] - levels).max())
    return float(worst)


def _permutation_of_actions(chains, images):
    """The permutation of actions that goes with one of chains, or None."""
    moved = chains.shifts[:, images]
    order, other = (np.lexsort((*rows.T, chains.log_prior)) for rows in (chains.shifts, moved))
    same = np.array_equal(chains.shifts[order], moved[other])
    if not same or not np.array_equal(chains.log_prior[order], chains.log_prior[other]):
        return None
    permutation = np.empty(len(order), np.int64)
    permutation[order] = other
    return permutation
