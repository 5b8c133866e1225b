"""The methods: each a choice of weights, baseline and steps for the one scheme of `recursion`.

| method | lambda_policy | lambda_transition | baseline | expanded about |
|---|---|---|---|---|
| ILQG (iLQR, DDP) | Levenberg-Marquardt damping, then infinity | 0 | flat | rollout |
| LEQG(theta) | infinity | -theta | flat | rollout |
| PPI(eta) | eta | eta | flat | belief (iterated EKF and RTS smoother, multiple shooting) |
| PPI(eta, baseline) | eta | eta | posterior, mean_only | rollout |
| AICO() | 1 | 1 | flat | belief, damped |
| KLControl(lP, lS, baseline) | lP | lS | posterior, mean_only, flat | rollout; as PPI or LEQG if flat |
| PsiIteration(eta) | eta | 0 | posterior, mean_only | rollout |

With the flat baseline a soft minimum is the hard one plus a constant, and control costs act as priors: the prior
N(0, R^-1 / lP) and the control cost u'Ru / 2 are the same thing. Where the plant has limits, the interior point takes
the place of the unconstrained steps.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from ppi_robotics.checks import as_finite, check_choice, check_count, check_flag, check_number, shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.linearize import SigmaPoints
from ppi_robotics.problem import Problem, is_limited
from ppi_robotics.steps.base import Schedule
from ppi_robotics.steps.multiple_shooting import DampedMessages, FittedMultipleShooting, MultipleShooting
from ppi_robotics.steps.restoration import RestoringInteriorPoint
from ppi_robotics.steps.single_shooting import Relinearization, SingleShooting
from ppi_robotics.steps.soft_policy import SoftPolicyIteration

BASELINES = ("flat", "posterior", "mean_only")


@dataclass(frozen=True)
class ILQG:
    """Iterative LQG: risk-neutral local optimization about a rollout (W. Li and E. Todorov, 2004; Y. Tassa, 2012).

    Attributes:
      hessian: of the dynamics: "gauss_newton" leaves second derivatives out (iLQR), "exact" takes them (DDP); "auto"
        takes them where limits act.
      limits: "interior_point", or "box" for box-constrained DDP (control limits only); "auto" takes the latter on
        plants without second derivatives.
      max_iterations: of every phase.
      tolerance: converged once an accepted step lowers the cost by a smaller fraction.
      damping: of the first iteration, Levenberg-Marquardt; 0 begins with a full step, as suits a warm start. The
        interior point has one of its own.
      fresh_gains: whether the gains are computed about the last path; otherwise those of the last step go with it,
        which saves one set of derivatives. For methods that replan, on plants whose derivatives take time; interior
        points and compiled iterations always make them anew.
    """

    hessian: str = "auto"
    limits: str = "auto"
    max_iterations: int = 500
    tolerance: float = 1e-9
    damping: float = 1.0
    fresh_gains: bool = True
    name = "ilqg"

    def __post_init__(self):
        check_choice(self.hessian, "hessian", ("auto", "gauss_newton", "exact"))
        check_choice(self.limits, "limits", ("auto", "interior_point", "box"))
        object.__setattr__(self, "damping", check_number(self.damping, "damping", least=0))
        check_flag(self.fresh_gains, "fresh_gains")
        check_common(self)

    lambda_policy = math.inf
    lambda_transition = 0.0

    def plan(self, problem: Problem) -> Schedule:
        """Phases on a problem."""
        exact, limited, plant = self.hessian == "exact", is_limited(problem.plant), problem.plant
        if exact and not plant.second_derivatives:
            raise ProblemError(f"hessian is 'exact', and plant '{plant.name}' has no second derivatives; choose 'auto'")
        steps = self.tolerance, self.damping, self.fresh_gains
        if not limited:
            other = (
                SingleShooting(0.0, True, False, *steps)
                if self.hessian == "auto" and plant.second_derivatives
                else None
            )
            return Schedule((SingleShooting(0.0, exact, False, *steps),), other=other)
        walled = np.isfinite(plant.state_limits).any()
        box = self.limits == "box" or (self.limits == "auto" and not plant.second_derivatives and not walled)
        if not box:
            second = self.hessian != "gauss_newton"
            return Schedule((RestoringInteriorPoint(0.0, second),), other=self._other(plant, walled, second, steps))
        if walled:
            raise ProblemError(
                "limits is 'box', for control limits only, and the plant has state limits; choose 'interior_point'"
            )
        return Schedule((SingleShooting(0.0, exact, True, *steps),))

    def _other(self, plant, walled, second, steps):
        """The other kind of step than the interior point's, as far as the options leave it open."""
        if self.limits == "auto" and not walled:
            return SingleShooting(0.0, second and plant.second_derivatives, True, *steps)
        return RestoringInteriorPoint(0.0, False) if self.hessian == "auto" and plant.second_derivatives else None


@dataclass(frozen=True)
class LEQG:
    """Linear-exponential-quadratic Gaussian: minimizes (1/theta) log E exp(theta C) about the closed loop.

    Starts from the risk-neutral solution (P. Whittle, *Risk-sensitive optimal control*, 1990).

    Attributes:
      theta: [1/cost]; positive averse, negative seeking, 0 neutral.
      max_iterations: of every phase.
      tolerance: converged once the feedforward is smaller everywhere, over the size of the controls along the path.
    """

    theta: float
    max_iterations: int = 500
    tolerance: float = 1e-5
    name = "leqg"

    def __post_init__(self):
        object.__setattr__(self, "theta", check_number(self.theta, "theta"))
        check_common(self)

    lambda_policy = math.inf

    @property
    def lambda_transition(self) -> float:
        """-theta."""
        return -float(self.theta)

    def plan(self, problem: Problem) -> Schedule:
        """Phases on a problem."""
        return relinearized(problem, self)


def relinearized(problem, method, points=None, tilted=False):
    """Phases that go on from the risk-neutral solution: local models about rollouts, or the interior point."""
    weight, neutral = method.lambda_transition, ILQG(max_iterations=method.max_iterations).plan(problem)
    if not weight and points is None:
        return neutral
    last = Relinearization(weight, method.tolerance, points=points)
    if is_limited(problem.plant):
        last = RestoringInteriorPoint(weight, points=points, tilted=tilted)
    return replace(neutral, phases=(*neutral.phases, last))


@dataclass(frozen=True)
class PPI:
    """Posterior policy iteration: the policy given that low cost was observed, by iterated smoothing.

    K. Rawlik, M. Toussaint, S. Vijayakumar, *On stochastic optimal control and reinforcement learning by approximate
    inference* (RSS 2012). With the flat baseline one pass on a linear-quadratic model is the fixed point that the other
    baselines approach step by step.

    Attributes:
      eta: weight of the cost [1/cost]; risk-seeking for positive eta (1 is AICO's weight), the risk-neutral
        optimum for eta to 0, risk-averse for negative eta.
      baseline: what the next policy stays close to: "flat" (nothing), the "posterior" policy before, or its mean with
        the first policy's covariance ("mean_only").
      expansion: "taylor" for derivatives at the mean (extended Kalman filter), or `SigmaPoints` for means over the
        spread (unscented, cubature or Gauss-Hermite filter).
      about: "belief" (multiple shooting; sigma points stand for the smoothed belief), or "rollout" (from the
        risk-neutral solution on; sigma points stand for the spread of rollouts). Where the plant has limits, sigma
        points make the gains, and derivatives the path.
      temperature: "fixed", or "adaptive": eta is where a fit to the cost starts from, as in input inference for
        control; for costs that are sums of squares, on plants without limits.
      max_iterations: of every phase.
      tolerance: converged once no state or control changes by more, over its size along the path.
    """

    eta: float
    baseline: str = "flat"
    expansion: str | SigmaPoints = "taylor"
    about: str = "belief"
    temperature: str = "fixed"
    max_iterations: int = 500
    tolerance: float = 1e-5
    name = "ppi"

    def __post_init__(self):
        object.__setattr__(self, "eta", check_number(self.eta, "eta"))
        check_choice(self.baseline, "baseline", BASELINES)
        check_choice(self.about, "about", ("belief", "rollout"))
        if not isinstance(self.expansion, SigmaPoints) and not (
            isinstance(self.expansion, str) and self.expansion == "taylor"
        ):
            raise ProblemError(f"expansion is {shown(self.expansion)}; choose 'taylor' or SigmaPoints('cubature')")
        if self.baseline != "flat" and (self.expansion, self.about) != ("taylor", "belief"):
            raise ProblemError(f"baseline '{self.baseline}' has an expansion of its own; leave expansion and about out")
        if self.baseline != "flat" and self.eta == 0:
            raise ProblemError(f"eta is 0 and baseline '{self.baseline}'; choose 'flat', or eta other than 0")
        check_choice(self.temperature, "temperature", ("fixed", "adaptive"))
        if self.temperature == "adaptive" and (self.eta <= 0 or (self.baseline, self.about) != ("flat", "belief")):
            raise ProblemError(
                f"temperature is 'adaptive' with eta {self.eta!r}, baseline '{self.baseline}', about '{self.about}'; "
                "expected eta above 0, baseline 'flat' and about 'belief'"
            )
        check_common(self)

    @property
    def lambda_policy(self) -> float:
        """|eta|, infinite for 0."""
        return abs(float(self.eta)) or math.inf

    @property
    def lambda_transition(self) -> float:
        """eta."""
        return float(self.eta)

    def plan(self, problem: Problem) -> Schedule:
        """Phases on a problem."""
        if self.baseline != "flat":
            return _soft_schedule(problem, self.lambda_policy, self.lambda_transition, self.baseline)
        points = None if self.expansion == "taylor" else self.expansion
        if self.temperature == "adaptive":
            return self._fitted(problem, points)
        if self.eta < 0 or self.about == "rollout":
            return relinearized(problem, self, points, self.about == "belief")
        if is_limited(problem.plant):
            # The relaxed dynamics of eta > 0 would leave good swings for bad ones: the risk-neutral path comes first.
            # A saturated motor cannot make up for helpful noise that the smoothed path may count on: where it fails
            # without noise, the risk-neutral path takes its place, with PPI's gains about it.
            neutral, last = RestoringInteriorPoint(0.0), RestoringInteriorPoint(self.lambda_transition, points=points)
            other = ILQG(limits="auto" if problem.plant.second_derivatives else "interior_point").plan(problem).other
            return Schedule((neutral, last), other=other, earlier=True) if self.eta else Schedule((last,))
        fallback = () if points else (SingleShooting(self.lambda_transition),)
        return Schedule((MultipleShooting(self.lambda_transition, self.tolerance, points),), fallback)

    def _fitted(self, problem, points):
        if is_limited(problem.plant):
            raise ProblemError("temperature 'adaptive' knows no limits, and the plant has some; choose 'fixed'")
        problem.cost.residuals(problem.horizon)
        return Schedule((FittedMultipleShooting(self.eta, self.tolerance, points),))


@dataclass(frozen=True)
class AICO:
    """Approximate inference control: damped messages between the stages, with the weight of the cost at 1.

    M. Toussaint, *Robot trajectory optimization using approximate inference* (ICML 2009). Its policy is PPI's for
    eta = 1, reached by another iteration; on a linear-quadratic model one pass suffices. Control costs act as the
    prior. Where the plant has limits, the interior point takes the place of the damped messages.

    Attributes:
      max_iterations: of every phase.
      tolerance: converged once no state or control of the belief changes by more, over its size along the path.
    """

    max_iterations: int = 500
    tolerance: float = 1e-5
    name = "aico"

    def __post_init__(self):
        check_common(self)

    lambda_policy = lambda_transition = 1.0

    def plan(self, problem: Problem) -> Schedule:
        """Phases on a problem."""
        if is_limited(problem.plant):
            return PPI(1.0, max_iterations=self.max_iterations, tolerance=self.tolerance).plan(problem)
        return Schedule((DampedMessages(1.0, self.tolerance),), (SingleShooting(1.0),))


@dataclass(frozen=True)
class KLControl:
    """The general scheme: soft minimum over policies, risk over transitions, each with a weight of its own.

    *Unifying Entropy Regularization in Optimal Control* (arXiv 2512.06109). With the baselines "posterior" and
    "mean_only" the policies are iterated, and the expected cost under each, its own noise included, never exceeds that
    of the one before; the limit is the optimum for lambda_transition alone, whatever lambda_policy is. Along the way
    all local models are made about noise-free rollouts.

    Attributes:
      lambda_policy: weight of the cost against staying close to the baseline [1/cost], above 0; larger is faster.
      lambda_transition: risk weight [1/cost]; positive seeking, 0 neutral, negative averse.
      baseline: "posterior", the policy before (with the first covariance until the mean has settled); "mean_only", its
        mean with the first covariance throughout; "flat", no baseline: one soft minimum.
      spread: standard deviation of the first policy's controls, or one for each (nu,); by default its covariance is
        (lambda_policy C_uu)^-1, that of a policy that knows the control cost alone.
      max_iterations: of every phase.
      tolerance: converged once a step lowers the objective by a smaller fraction.
    """

    lambda_policy: float
    lambda_transition: float = 0.0
    baseline: str = "posterior"
    spread: float | tuple | None = None
    max_iterations: int = 2000
    tolerance: float = 1e-6
    name = "kl"

    def __post_init__(self):
        object.__setattr__(self, "lambda_policy", check_number(self.lambda_policy, "lambda_policy", above=0))
        object.__setattr__(self, "lambda_transition", check_number(self.lambda_transition, "lambda_transition"))
        check_choice(self.baseline, "baseline", BASELINES)
        if self.spread is not None:
            spread = as_finite(self.spread, "spread")
            if spread.ndim > 1 or (spread <= 0).any():
                raise ProblemError(
                    f"spread is {shown(self.spread)}; expected positive standard deviations, since a baseline with a "
                    "singular covariance never moves"
                )
        check_common(self)

    def plan(self, problem: Problem) -> Schedule:
        """Phases on a problem."""
        lS, count = self.lambda_transition, self.max_iterations
        if self.baseline == "flat":
            return PPI(lS, max_iterations=count).plan(problem)
        return _soft_schedule(problem, self.lambda_policy, lS, self.baseline, self.spread, self.tolerance)


@dataclass(frozen=True)
class PsiIteration:
    """Psi-iteration: each policy is the soft optimum close to the one before, without risk over the transitions.

    K. Rawlik, M. Toussaint, S. Vijayakumar (RSS 2012), the model-based form; its limit is the risk-neutral optimum.

    Attributes:
      eta: weight of the cost against staying close to the policy before [1/cost], above 0.
      others: as for `KLControl`.
    """

    eta: float
    baseline: str = "posterior"
    spread: float | tuple | None = None
    max_iterations: int = 2000
    tolerance: float = 1e-6
    name = "psi"

    def __post_init__(self):
        object.__setattr__(self, "eta", check_number(self.eta, "eta", above=0))
        self._scheme()

    lambda_transition = 0.0

    @property
    def lambda_policy(self) -> float:
        """eta."""
        return float(self.eta)

    def plan(self, problem: Problem) -> Schedule:
        """Phases on a problem."""
        return self._scheme().plan(problem)

    def _scheme(self):
        return KLControl(self.eta, 0.0, self.baseline, self.spread, self.max_iterations, self.tolerance)


def _soft_schedule(problem, lambda_policy, lambda_transition, baseline, spread=None, tolerance=1e-6):
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
    steps = SoftPolicyIteration(lambda_policy, lambda_transition, baseline == "mean_only", spread, tolerance)
    return Schedule((SingleShooting(), steps) if lambda_transition < 0.0 else (steps,))


def check_common(method):
    """Check the arguments that all methods share, and keep them as plain numbers."""
    object.__setattr__(method, "max_iterations", check_count(method.max_iterations, "max_iterations", 1))
    object.__setattr__(method, "tolerance", check_number(method.tolerance, "tolerance", above=0))
