"""The methods: each a choice of weights, expansion and step for the one scheme of `messages`.

| method | lambda_policy | lambda_transition | expanded about |
|---|---|---|---|
| ILQG (iLQR, DDP) | Levenberg-Marquardt damping, then infinity | 0 | rollout |
| LEQG(theta) | infinity | -theta | rollout |
| PPI(eta) | eta | eta | belief (iterated EKF and RTS smoother, multiple shooting) |

Where the plant has limits, the interior point takes the place of the unconstrained steps.
"""

import math
from dataclasses import dataclass

import numpy as np

from ppi_robotics.errors import ProblemError
from ppi_robotics.interior_point import InteriorPoint
from ppi_robotics.steps import DampedShooting, FullSteps, HalfSteps


@dataclass(frozen=True)
class Plan:
    """Phases of a method on a problem.

    Attributes:
      phases: run one after the other, each from where the one before ended.
      fallback: run from the initial guess where the last phase does not serve: it does not converge, or its policy,
        without noise, misses the problem's success criterion or a limit.
      earlier: whether the path of an earlier phase takes the last one's place where that does not serve.
    """

    phases: tuple
    fallback: tuple = ()
    earlier: bool = False


@dataclass(frozen=True)
class ILQG:
    """Iterative LQG: risk-neutral local optimization about a rollout (W. Li and E. Todorov, 2004; Y. Tassa, 2012).

    Attributes:
      hessian: of the dynamics: "gauss_newton" leaves second derivatives out (iLQR), "exact" takes them (DDP); "auto"
        takes them where limits act.
      limits: "interior_point", or "box" for box-constrained DDP (control limits only).
      max_iterations: of every phase.
      tolerance: converged once an accepted step lowers the cost by a smaller fraction.
    """

    hessian: str = "auto"
    limits: str = "interior_point"
    max_iterations: int = 500
    tolerance: float = 1e-9
    name = "ilqg"

    def __post_init__(self):
        _check_choice("hessian", self.hessian, ("auto", "gauss_newton", "exact"))
        _check_choice("limits", self.limits, ("interior_point", "box"))
        _check_common(self)

    lambda_policy = math.inf
    lambda_transition = 0.0

    def plan(self, problem):
        """Phases on a problem."""
        exact, limited = self.hessian == "exact", is_limited(problem.plant)
        if not limited:
            return Plan((DampedShooting(0.0, exact, False, self.tolerance),))
        if self.limits == "interior_point":
            return Plan((InteriorPoint(0.0, self.hessian != "gauss_newton"),))
        if np.isfinite(problem.plant.state_limits).any():
            raise ProblemError(
                "limits is 'box', for control limits only, and the plant has state limits; choose 'interior_point'"
            )
        return Plan((DampedShooting(0.0, exact, True, self.tolerance),))


@dataclass(frozen=True)
class LEQG:
    """Linear-exponential-quadratic Gaussian: minimises (1/theta) log E exp(theta C) about the closed loop.

    Starts from the risk-neutral solution (P. Whittle, *Risk-sensitive optimal control*, 1990; MATH sections F.6, F.7).

    Attributes:
      theta: [1/cost]; positive averse, negative seeking, 0 neutral.
      max_iterations: of every phase.
      tolerance: converged once the feedforward is smaller everywhere.
    """

    theta: float
    max_iterations: int = 500
    tolerance: float = 1e-5
    name = "leqg"

    def __post_init__(self):
        _check_number("theta", self.theta)
        _check_common(self)

    lambda_policy = math.inf

    @property
    def lambda_transition(self):
        """-theta."""
        return -float(self.theta)

    def plan(self, problem):
        """Phases on a problem."""
        if np.isfinite(problem.plant.state_limits).any():
            raise ProblemError(
                "LEQG and negative eta know control limits only, and the plant has state limits; choose PPI or ILQG"
            )
        neutral = ILQG(max_iterations=self.max_iterations).plan(problem).phases
        return Plan((*neutral, HalfSteps(self.lambda_transition, self.tolerance))) if self.theta else Plan(neutral)


@dataclass(frozen=True)
class PPI:
    """Posterior policy iteration: the policy given that low cost was observed, by iterated smoothing.

    K. Rawlik, M. Toussaint, S. Vijayakumar, *On stochastic optimal control and reinforcement learning by approximate
    inference* (RSS 2012). With the flat baseline one pass on a linear-quadratic model is its fixed point.

    Attributes:
      eta: weight of the cost [1/cost]; risk-seeking for positive eta (1 is AICO's weight), the risk-neutral
        optimum for eta to 0, risk-averse for negative eta.
      max_iterations: of every phase.
      tolerance: converged once no state or control changes by more.
    """

    eta: float
    max_iterations: int = 500
    tolerance: float = 1e-5
    name = "ppi"

    def __post_init__(self):
        _check_number("eta", self.eta)
        _check_common(self)

    @property
    def lambda_policy(self):
        """|eta|, infinite for 0."""
        return abs(float(self.eta)) or math.inf

    @property
    def lambda_transition(self):
        """eta."""
        return float(self.eta)

    def plan(self, problem):
        """Phases on a problem."""
        if self.eta < 0:
            return LEQG(-self.eta, self.max_iterations, self.tolerance).plan(problem)
        if is_limited(problem.plant):
            # The relaxed dynamics of eta > 0 would leave good swings for bad ones: the risk-neutral path comes first.
            # A saturated motor cannot make up for helpful noise that the smoothed path may count on: where it fails
            # without noise, the risk-neutral path takes its place, with PPI's gains about it.
            neutral = InteriorPoint(0.0)
            return (
                Plan((neutral, InteriorPoint(self.lambda_transition)), earlier=True) if self.eta else Plan((neutral,))
            )
        return Plan((FullSteps(self.lambda_transition, self.tolerance),), (DampedShooting(self.lambda_transition),))


METHODS = {method.name: method for method in (PPI, ILQG, LEQG)}


def is_limited(plant):
    """Whether any control or state has a limit."""
    return bool(np.isfinite(plant.control_limits).any() or np.isfinite(plant.state_limits).any())


def _check_choice(name, value, choices):
    if value not in choices:
        raise ProblemError(f"{name} is {value!r}; choose from {', '.join(choices)}")


def _check_number(name, value):
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise ProblemError(f"{name} is {value!r}; expected a finite number")


def _check_common(method):
    count = method.max_iterations
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise ProblemError(f"max_iterations is {count!r}; expected a whole number, at least 1")
    _check_number("tolerance", method.tolerance)
    if method.tolerance <= 0:
        raise ProblemError(f"tolerance is {method.tolerance!r}; expected a positive number")
