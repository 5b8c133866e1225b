"""What a method amounts to on a problem: its phases; and the checks that methods share."""

from dataclasses import dataclass

import numpy as np

from ppi_robotics.checks import check_count, check_number
from ppi_robotics.errors import ProblemError
from ppi_robotics.steps.damped import DampedShooting
from ppi_robotics.steps.phase import Phase
from ppi_robotics.steps.soft import SoftSteps

BASELINES = ("flat", "posterior", "mean_only")


@dataclass(frozen=True)
class Plan:
    """Phases of a method on a problem.

    Attributes:
      phases: run one after the other, each from where the one before ended.
      fallback: run from the initial guess where the last phase does not serve: it does not converge, or its policy,
        without noise, misses the problem's success criterion or a limit.
      other: takes the place of the first phase in some starts: it ends at the same optima, but may find others, by
        steps of another kind.
      earlier: whether the path of an earlier phase takes the last one's place where that does not serve.
    """

    phases: tuple
    fallback: tuple = ()
    other: Phase | None = None
    earlier: bool = False

    @property
    def is_complete(self):
        """Whether there is a phase, and all others are phases as well."""
        if not (isinstance(self.phases, tuple) and self.phases and isinstance(self.fallback, tuple)):
            return False
        return all(isinstance(phase, Phase) for phase in (*self.phases, *self.fallback, self.other or self.phases[0]))

    def starting(self, otherwise):
        """Phases of a start, the first of them the other one if so wanted and there is one."""
        return (self.other, *self.phases[1:]) if otherwise and self.other is not None else self.phases


def soft_plan(problem, lambda_policy, lambda_transition, baseline, spread=None, tolerance=1e-6):
    """Phases of an iterated soft policy; averse ones start from the risk-neutral solution.

    Raises:
      ProblemError: if the plant has limits, or `spread` does not fit it.
    """
    if is_limited(problem.plant):
        raise ProblemError(
            f"baseline '{baseline}' knows no limits, and the plant has some; "
            "choose a method without a baseline, such as PPI(eta) or ILQG()"
        )
    if np.size(spread) not in (1, problem.plant.nu):
        raise ProblemError(f"spread has {np.size(spread)} entries; the plant has {problem.plant.nu} controls")
    steps = SoftSteps(lambda_policy, lambda_transition, baseline == "mean_only", spread, tolerance)
    return Plan((DampedShooting(), steps) if lambda_transition < 0.0 else (steps,))


def is_limited(plant):
    """Whether any control or state has a limit."""
    return bool(np.isfinite(plant.control_limits).any() or np.isfinite(plant.state_limits).any())


def check_common(method):
    """Check the arguments that all methods share, and keep them as plain numbers."""
    object.__setattr__(method, "max_iterations", check_count(method.max_iterations, "max_iterations", 1))
    object.__setattr__(method, "tolerance", check_number(method.tolerance, "tolerance", above=0))
