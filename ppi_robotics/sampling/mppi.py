"""Sampling-based methods: model-predictive path integrals and what differs from them in the weights alone.

| method | lambda_policy | lambda_transition | baseline | expanded about |
|---|---|---|---|---|
| MPPI | 1 / temperature | 0 or chosen; lambda_policy for one draw of the noise | moving, fixed | samples |
| CEM | none: the best samples weigh the same | as MPPI | moving | samples |
| PredictiveSampling | none: the best sample | as MPPI | moving | samples |

An `MPPI` has four parts: the distribution that control sequences are drawn from (`ProposalOptions`), the standard
deviations and the correlation of their noise (`NoiseOptions`), their weights (`WeightOptions`), and where the gains of
the policy come from (`FeedbackOptions`).
"""

import functools
import math
import typing
from dataclasses import KW_ONLY, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ppi_robotics.checks import (
    as_finite,
    check_choice,
    check_count,
    check_instance,
    check_number,
    check_room,
    check_seed,
    shown,
)
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import frozen
from ppi_robotics.methods import check_common
from ppi_robotics.policy import LinearGaussianPolicy
from ppi_robotics.problem import Problem, check_problem
from ppi_robotics.sampling.noise_shapes import Fitted, Shape, Splines, White
from ppi_robotics.sampling.proposal import DRAWS, MOST_SOBOL, Proposal
from ppi_robotics.sampling.rounds import SamplingSteps, applied, run_trials
from ppi_robotics.sampling.weights import Elite, Fixed, Rule, TargetESS
from ppi_robotics.solution import Solution
from ppi_robotics.steps.base import Schedule

BASELINES = {"fixed": 0.0, "moving": 1.0}
WIDTH = 0.5  # of the scale of a control, the standard deviation of samples


def _names(kinds):
    return ", ".join(kind.__name__ for kind in typing.get_args(kinds) if kind is not Fitted)


@dataclass(frozen=True)
class ProposalOptions:
    """The distribution that control sequences are drawn from.

    Attributes:
      samples: control sequences a round.
      draws: "normal", "antithetic" pairs, or "sobol" points.
      proposal: policy about whose closed loop sequences are drawn; None for the guess without feedback. The plans of a
        receding horizon are drawn about the closed loop of the last one; with a baseline that stays, where the noise is
        `White` and has one draw at most.
    """

    samples: int = 1024
    _: KW_ONLY
    draws: str = "normal"
    proposal: LinearGaussianPolicy | None = None

    def __post_init__(self):
        _set(self, samples=check_count(self.samples, "samples", 2))
        check_choice(self.draws, "draws", DRAWS)
        if self.proposal is not None and not isinstance(self.proposal, LinearGaussianPolicy):
            kind = type(self.proposal).__name__
            raise ProblemError(f"proposal is of type {kind}; expected a LinearGaussianPolicy, or None")

    def _check_draws(self, numbers):
        """Refuse more random numbers a sample than there are directions of quasi-random points for."""
        if self.draws == "sobol" and numbers > MOST_SOBOL:
            raise ProblemError(
                f"draws is 'sobol', for at most {MOST_SOBOL} numbers a sample; these have {numbers}: choose 'normal', "
                "or Splines of fewer knots"
            )


@dataclass(frozen=True)
class WeightOptions:
    """Weights of the sampled sequences.

    Attributes:
      temperature: of the weights [cost], a number or a rule: `TargetESS`, `REPS`, `LBPS`, `Fixed`, `Elite`.
      baseline: "moving" with the mean, whose limit is the optimum; "fixed" at zero controls, or the nearest within
        limits, with the standard deviation of the samples, whose limit pays for the divergence from it; or the share of
        the way that it follows.
      noise_draws: rollouts a sequence, each with plant noise of its own; 0 for one rollout without noise.
      lambda_transition: risk weight over several draws [1/cost]; positive seeking, negative averse.
    """

    temperature: float | Rule = TargetESS(0.05)
    _: KW_ONLY
    baseline: str | float = "moving"
    noise_draws: int = 0
    lambda_transition: float = 0.0

    def __post_init__(self):
        rule, baseline = self.temperature, self.baseline
        if isinstance(rule, int | float | np.number) and not isinstance(rule, bool):
            rule = Fixed(rule)
        if not isinstance(rule, Rule):
            raise ProblemError(f"temperature is {shown(rule)}; expected a positive number or {_names(Rule)}")
        if isinstance(baseline, str):
            check_choice(baseline, "baseline", BASELINES)
        else:
            baseline = check_number(baseline, "baseline", least=0, most=1)
        draws = check_count(self.noise_draws, "noise_draws", 0)
        weight = check_number(self.lambda_transition, "lambda_transition")
        if weight and draws < 2:
            raise ProblemError(
                f"lambda_transition is {weight!r} and noise_draws {draws}; risk over the noise takes two draws or more"
            )
        _set(self, temperature=rule, baseline=baseline, noise_draws=draws, lambda_transition=weight)

    @property
    def follow(self) -> float:
        """Share of the way that the baseline follows the mean."""
        return BASELINES[self.baseline] if isinstance(self.baseline, str) else self.baseline

    @property
    def lambda_policy(self) -> float:
        """1 / temperature; nan where a rule sets it in every round."""
        return 1.0 / self.temperature.temperature if isinstance(self.temperature, Fixed) else math.nan

    @property
    def draws_mean(self) -> bool:
        """Whether the mean itself is the first sample."""
        return isinstance(self.temperature, Elite)


@dataclass(frozen=True)
class NoiseOptions:
    """Standard deviations of the sampled controls, and their correlation over the stages.

    Attributes:
      spread: standard deviation of the sampled controls, a number or one for each (nu,); by default a quarter of the
        range of every control, and of half its scale where it has no limits.
      smoothing: correlation of the samples over the stages: `White`, `AR1`, `Colored`, `Kernel`, `Splines`.
      covariance: "fixed", "diagonal" for standard deviations that follow the weighted samples half way in every round,
        or "time" for a correlation over the stages that does.
      anneal: share of the fitted correlation over the stages that the next plan of a receding horizon takes over; 0
        begins with the smoothing's own.
    """

    spread: float | tuple[float, ...] | None = None
    smoothing: Shape = White()
    _: KW_ONLY
    covariance: str = "fixed"
    anneal: float = 0.0

    def __post_init__(self):
        if self.spread is not None:
            spread = as_finite(self.spread, "spread")
            if spread.ndim > 1 or not spread.size or (spread <= 0).any():
                raise ProblemError(
                    f"spread is {shown(spread)}; expected a positive standard deviation, or one for each control"
                )
        if not isinstance(self.smoothing, Shape):
            raise ProblemError(
                f"smoothing is {shown(self.smoothing)}; choose from {_names(Shape)}, for instance Splines(10)"
            )
        check_choice(self.covariance, "covariance", ("fixed", "diagonal", "time"))
        _set(self, anneal=check_number(self.anneal, "anneal", least=0, most=1))
        if self.anneal and self.covariance != "time":
            raise ProblemError(
                f"anneal is {self.anneal!r} and covariance '{self.covariance}'; choose covariance 'time'"
            )

    def _factor(self, problem):
        """Factor L (T, r) of the correlation over the stages, None where they are independent."""
        given = self.smoothing, problem.horizon, problem.plant.dt
        return self.smoothing.factor(*given[1:]) if isinstance(self.smoothing, Fitted) else _factor_of(*given)

    def _scale(self, problem, rows):
        """Standard deviations (rows, nu)."""
        spread = WIDTH * problem.scales.control if self.spread is None else np.asarray(self.spread, dtype=float)
        return np.tile(spread * np.ones(problem.plant.nu), (rows, 1))


@dataclass(frozen=True, kw_only=True)
class FeedbackOptions:
    """Where the gains of the policy come from.

    Attributes:
      feedback: "sweep" for the gains of the Gaussian methods about the mean, with lambda_transition and the flat
        baseline, which takes derivatives; "samples" for weighted regression, shrunk by what chance explains, with gains
        of the proposal kept where there are too few effective samples, as at a first state that all samples share;
        "none" for the proposal's gains.
      renewal: rounds from one renewal of the gains that samples follow to the next, where the baseline moves; 0 for
        none. One that has lowered the cost by less than the tolerance halves the standard deviations, too.
    """

    feedback: str = "sweep"
    renewal: int = 10

    def __post_init__(self):
        check_choice(self.feedback, "feedback", ("sweep", "samples", "none"))
        _set(self, renewal=check_count(self.renewal, "renewal", 0))


@dataclass(frozen=True)
class MPPI(FeedbackOptions, NoiseOptions, WeightOptions, ProposalOptions):
    """Model-predictive path integrals: the posterior over control sequences by weighted rollouts.

    G. Williams et al., *Information theoretic model predictive control* (ICRA 2017). Returns time-varying linear
    feedback as all methods here do. How it stands to risk depends on the noise in its rollouts. Without any
    (`noise_draws=0`) it knows of none. With M draws a sequence, the risk weight over the noise of a whole rollout is,
    to first order, lambda_transition + (lambda_policy - lambda_transition) / M, and exactly lambda_policy / M for
    `lambda_transition=0`: with many draws it is as `lambda_transition` says, 0 being neutral, while one draw cannot
    tell luck from merit and is risk-seeking, with lambda_policy. It is the risk of sequences that do not react to the
    noise but by the gains of a proposal.

    Attributes:
      max_iterations: rounds.
      tolerance: smallest fraction of the cost that counts as progress; the third renewal without any in a row ends the
        search, and without renewals the tenth round.
    """

    _: KW_ONLY
    max_iterations: int = 400
    tolerance: float = 1e-2
    name = "mppi"
    starts = 2  # guesses by default: rounds explore by themselves

    def __post_init__(self):
        for part in MPPI.__bases__:
            part.__post_init__(self)
        check_common(self)
        if self.follow == 1.0:
            return
        if self.covariance != "fixed":
            raise ProblemError(f"covariance is '{self.covariance}' and the baseline stays; choose baseline 'moving'")
        if self.proposal is None or not self.proposal.K.any():
            return
        if not isinstance(self.smoothing, White):
            raise ProblemError(
                "a baseline that stays and a proposal with gains take White smoothing; choose baseline 'moving'"
            )
        if self.noise_draws > 1:
            raise ProblemError(
                f"noise_draws is {self.noise_draws}; a baseline that stays takes a proposal with gains with one draw "
                "of the noise at most, as every draw has controls of its own"
            )

    def plan(self, problem: Problem) -> Schedule:
        """Phases on a problem."""
        plant, T = problem.plant, problem.horizon
        if np.size(self.spread) not in (1, plant.nu):
            raise ProblemError(f"spread has {np.size(self.spread)} entries; the plant has {plant.nu} controls")
        if self.proposal is not None:
            self.proposal.check(problem)
        check_room(self.samples, 8 * max(self.noise_draws, 1) * (T + 1) * (plant.nx + 2 * plant.nu))
        factor = self._factor(problem)
        self._check_draws(plant.nu * (T if factor is None else factor.shape[1]))
        return Schedule((SamplingSteps(self),))

    def moved_on(self, solution: Solution, stages: int, policy: LinearGaussianPolicy) -> "MPPI":
        """The method for a plan that starts some stages after a solution's, whose policy has been shifted by them."""
        follows = self.follow == 1.0 or (self.noise_draws <= 1 and isinstance(self.smoothing, White))
        changes, before = {"proposal": policy if follows else None}, solution.proposal
        if self.anneal and before is not None:
            prior = self.smoothing.prior if isinstance(self.smoothing, Fitted) else self.smoothing
            changes["smoothing"] = Fitted(prior.shifted(before.correlation, stages, policy.dt, self.anneal), prior)
        return replace(self, **changes)

    def first_proposal(self, problem: Problem, x: np.ndarray, u: np.ndarray) -> Proposal:
        """`Proposal` of the first round, about a guess x (T + 1, nx), u (T, nu) or the method's own."""
        plant, T, factor = problem.plant, problem.horizon, self._factor(problem)
        scale = self._scale(problem, T if factor is None else factor.shape[1])
        prior = np.clip(np.zeros((T, plant.nu)), *plant.control_limits.T)
        K = np.zeros((T, plant.nu, plant.ndx))
        if factor is not None and factor.shape[1] < T:  # what samples cannot change is left out of the guess
            u = factor @ np.linalg.lstsq(factor, u, rcond=None)[0]
        if self.proposal is not None:
            x, u, K = self.proposal.x_ref, np.array(self.proposal.u_ref), self.proposal.K
        return Proposal(x, u, K, factor, scale, prior, plant.quaternions)


def _set(method, **values):
    for name, value in values.items():
        object.__setattr__(method, name, value)


@functools.lru_cache(maxsize=64)
def _factor_of(smoothing, T, dt):
    return None if isinstance(smoothing, White) else frozen(smoothing.factor(T, dt))


@dataclass(frozen=True)
class CEM(MPPI):
    """The cross-entropy method: mean and standard deviations of the best samples. Attributes as for `MPPI`."""

    temperature: float | Rule = Elite(0.1)
    covariance: str = "diagonal"
    name = "cem"


@dataclass(frozen=True)
class PredictiveSampling(MPPI):
    """Predictive sampling: the best of the samples, the mean among them. Attributes as for `MPPI`.

    T. Howell et al., *Predictive sampling: real-time behaviour synthesis with MuJoCo* (2022).
    """

    temperature: float | Rule = Elite(1)
    smoothing: Shape = Splines(10)
    name = "predictive_sampling"


@dataclass(frozen=True, eq=False)
class Fan:
    """Sampled rollouts.

    Attributes:
      x, u: states (N, T + 1, nx), of several draws of the noise their mean, and controls before limits act (N, T, nu).
      cost: (N,).
      weights: (N,), of sum 1; all 0 if no cost is finite.
    """

    x: NDArray[np.float64]
    u: NDArray[np.float64]
    cost: NDArray[np.float64]
    weights: NDArray[np.float64]


def fan(problem: Problem, solution: Solution, samples: int = 256, seed: int = 0) -> Fan:
    """`Fan` about the answer of a sampling-based method: of its last round if it kept that, else drawn again.

    Args:
      problem: `Problem`.
      solution: `Solution` of `MPPI`, `CEM` or `PredictiveSampling`.
      samples: number to draw.
      seed: of controls and noise.

    Raises:
      ProblemError: if the method does not sample, or a number is out of range.
    """
    samples = check_count(samples, "samples", 2)
    seed = check_seed(seed)
    check_problem(problem)
    check_instance(solution, "solution", Solution)
    method, kept = solution.method, solution.samples
    if not hasattr(method, "first_proposal") or solution.proposal is None:
        raise ProblemError(f"the solution's method is {shown(method)}, which does not sample; choose MPPI or CEM")
    if kept is not None:
        return Fan(kept.x, kept.u, kept.cost, kept.weights)
    check_room(samples, 8 * (problem.horizon + 1) * (problem.plant.nx + 2 * problem.plant.nu))
    proposal = replace(solution.proposal, x_ref=solution.x, u_ref=solution.u)
    draws = proposal.sample(method.draws, samples, seed, 0)
    risk = method.noise_draws, method.lambda_transition
    trials = run_trials(problem, proposal, draws.push, seed, 0, *risk, True)
    ratio = proposal.log_ratio(draws, trials.x, method.follow)
    weights = method.temperature.weights(trials.cost, ratio).weights
    return Fan(*map(frozen, (trials.x, applied(proposal, draws, trials.x), trials.cost, weights)))
