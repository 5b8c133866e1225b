"""Methods that iterate a soft policy: the general scheme, and Psi-iteration.

| method | lambda_policy | lambda_transition | baseline | expanded about |
|---|---|---|---|---|
| KLControl(lP, lS, baseline) | lP | lS | posterior, mean_only, flat | rollout; as PPI or LEQG if flat |
| PsiIteration(eta) | eta | 0 | posterior, mean_only | rollout |
"""

from dataclasses import dataclass

from ppi_robotics.checks import as_finite, check_choice, check_number, shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.methods import PPI
from ppi_robotics.plans import BASELINES, check_common, soft_plan


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

    def plan(self, problem):
        """Phases on a problem."""
        lS, count = self.lambda_transition, self.max_iterations
        if self.baseline == "flat":
            return PPI(lS, max_iterations=count).plan(problem)
        return soft_plan(problem, self.lambda_policy, lS, self.baseline, self.spread, self.tolerance)


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
    def lambda_policy(self):
        """eta."""
        return float(self.eta)

    def plan(self, problem):
        """Phases on a problem."""
        return self._scheme().plan(problem)

    def _scheme(self):
        return KLControl(self.eta, 0.0, self.baseline, self.spread, self.max_iterations, self.tolerance)
