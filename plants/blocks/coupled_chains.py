"""Integer-valued chains that one shared action per stage moves."""

import math
from dataclasses import dataclass, replace

import numpy as np

from ppi_robotics.checks import MOST_COUNT, as_logs, as_wholes, check_count, check_counts
from ppi_robotics.errors import ProblemError
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
    parts: tuple | None = None

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
            values = getattr(self, name)
            if values.max() == -np.inf:
                raise ProblemError(f"{name} has nothing but -inf; expected logarithms of which one is finite")

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
        stages = check_count(stages, "stages", 1, self.stages)
        return replace(self, start=start, log_weights=self.log_weights[self.stages - stages :])
