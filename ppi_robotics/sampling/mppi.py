"""Sampling-based methods: model-predictive path integrals and what differs from them in the weights alone.

| method | lambda_policy | lambda_transition | baseline | expanded about |
|---|---|---|---|---|
| MPPI | 1 / temperature | 0 or chosen; lambda_policy for one draw of the noise | moving, fixed | samples |
| CEM | none: the best samples weigh the same | as MPPI | moving | samples |
| PredictiveSampling | none: the best sample | as MPPI | moving | samples |
"""

import functools
import math
from dataclasses import dataclass, field, replace

import numpy as np

from ppi_robotics.checks import (
    as_covariance,
    as_finite,
    check_choice,
    check_count,
    check_flag,
    check_instance,
    check_number,
    check_room,
    check_seed,
    shown,
)
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import covariance_factor, frozen
from ppi_robotics.plans import Plan, check_common
from ppi_robotics.policy import LinearGaussianPolicy
from ppi_robotics.problem import check_problem
from ppi_robotics.sampling.noise_shapes import AR1, Colored, Kernel, Splines, White
from ppi_robotics.sampling.proposal import DRAWS, MOST_SOBOL, Proposal
from ppi_robotics.sampling.rounds import SamplingSteps, applied, run_trials
from ppi_robotics.sampling.weights import LBPS, REPS, Elite, Fixed, TargetESS
from ppi_robotics.solution import Solution

RULES = (Fixed, TargetESS, LBPS, REPS, Elite)
SMOOTHINGS = (White, AR1, Colored, Kernel, Splines)
BASELINES = {"fixed": 0.0, "moving": 1.0}
WIDTH = 0.5  # of the scale of a control, the standard deviation of samples


@dataclass(frozen=True)
class MPPI:
    """Model-predictive path integrals: the posterior over control sequences by weighted rollouts.

    G. Williams et al., *Information theoretic model predictive control* (ICRA 2017). Returns time-varying linear
    feedback as all methods here do. How it stands to risk depends on the noise in its rollouts. Without any
    (`noise_draws=0`) it knows of none. With M draws a sequence, the risk weight over the noise of a whole rollout is,
    to first order, lambda_transition + (lambda_policy - lambda_transition) / M, and exactly lambda_policy / M for
    `lambda_transition=0`: with many draws it is as `lambda_transition` says, 0 being neutral, while one draw cannot
    tell luck from merit and is risk-seeking, with lambda_policy. It is the risk of sequences that do not react to the
    noise but by the gains of a proposal.

    Attributes:
      samples: control sequences a round.
      temperature: of the weights [cost], a number or a rule: `TargetESS`, `REPS`, `LBPS`, `Fixed`, `Elite`.
      spread: standard deviation of the sampled controls, a number or one for each (nu,); by default a quarter of the
        range of every control, and of half its scale where it has no limits.
      smoothing: how the samples of different stages hang together: `White`, `AR1`, `Colored`, `Kernel`, `Splines`.
      baseline: "moving" with the mean, whose limit is the optimum; "fixed" at zero controls, or the nearest within
        limits, with the samples' spread, whose limit pays for the divergence from it; or the share of the way that it
        follows.
      exploration: share of the samples, all but one at most, that are drawn about zero controls instead of the mean.
      noise_draws: rollouts a sequence, each with plant noise of its own; 0 for one rollout without noise.
      lambda_transition: risk weight over several draws [1/cost]; positive seeking, negative averse.
      draws: "normal", "antithetic" pairs, or "sobol" points.
      feedback: "sweep" for the gains of the Gaussian methods about the mean, with lambda_transition and the flat
        baseline, which takes derivatives; "samples" for weighted regression, shrunk by what chance explains, with gains
        of the proposal kept where there are too few effective samples, as at a first state that all samples share;
        "none" for the proposal's gains.
      covariance: "fixed", "diagonal" for standard deviations that follow the weighted samples, or "time" for a
        correlation over the stages that does.
      rate: share of the way that the covariance goes in a round.
      anneal: share of the correlation over the stages that the next plan of a receding horizon takes over, shifted;
        0 begins with the smoothing's own.
      proposal: policy that samples are drawn about, with its gains; None for the guess without feedback.
      conditioned: whether the next plan of a receding horizon draws its samples about the closed loop of the last one,
        so that they follow its feedback (a feedback-conditioned path integral); with a baseline that stays, White
        smoothing alone does.
      correlation: over the stages (T, T), in place of the smoothing's own.
      renewal: rounds from one renewal of the gains that samples follow to the next, where the baseline moves; 0 for
        none. One that has lowered the cost by less than the tolerance halves the spread of the samples, too.
      max_iterations: rounds.
      tolerance: smallest fraction of the cost that counts as progress; the third renewal without any in a row ends the
        search, and without renewals the tenth round.
    """

    samples: int = 1024
    temperature: object = TargetESS(0.05)
    spread: float | tuple | None = None
    smoothing: object = White()
    baseline: str | float = "moving"
    exploration: float = 0.0
    noise_draws: int = 0
    lambda_transition: float = 0.0
    draws: str = "normal"
    feedback: str = "sweep"
    covariance: str = "fixed"
    rate: float = 0.5
    anneal: float = 0.0
    proposal: LinearGaussianPolicy | None = None
    conditioned: bool = True
    correlation: np.ndarray | None = field(default=None, repr=False, compare=False)
    renewal: int = 10
    max_iterations: int = 400
    tolerance: float = 1e-2
    name = "mppi"
    starts = 2  # guesses by default: rounds explore by themselves

    def __post_init__(self):
        for name, least in (("samples", 2), ("noise_draws", 0), ("renewal", 0)):
            object.__setattr__(self, name, check_count(getattr(self, name), name, least))
        if isinstance(self.temperature, int | float | np.number) and not isinstance(self.temperature, bool):
            object.__setattr__(self, "temperature", Fixed(self.temperature))
        if not isinstance(self.temperature, RULES):
            names = ", ".join(rule.__name__ for rule in RULES)
            raise ProblemError(f"temperature is {shown(self.temperature)}; expected a positive number or {names}")
        if not isinstance(self.smoothing, SMOOTHINGS):
            names = ", ".join(kind.__name__ for kind in SMOOTHINGS)
            raise ProblemError(f"smoothing is {shown(self.smoothing)}; choose from {names}, for instance Splines(10)")
        if self.spread is not None:
            spread = as_finite(self.spread, "spread")
            if spread.ndim > 1 or not spread.size or (spread <= 0).any():
                raise ProblemError(
                    f"spread is {shown(spread)}; expected a positive standard deviation, or one for each control"
                )
        self._check_shares()
        object.__setattr__(self, "lambda_transition", check_number(self.lambda_transition, "lambda_transition"))
        if self.lambda_transition and self.noise_draws < 2:
            raise ProblemError(
                f"lambda_transition is {self.lambda_transition!r} and noise_draws {self.noise_draws}; risk over the "
                "noise takes two draws or more"
            )
        check_choice(self.draws, "draws", DRAWS)
        check_choice(self.feedback, "feedback", ("sweep", "samples", "none"))
        check_choice(self.covariance, "covariance", ("fixed", "diagonal", "time"))
        if self.proposal is not None and not isinstance(self.proposal, LinearGaussianPolicy):
            kind = type(self.proposal).__name__
            raise ProblemError(f"proposal is of type {kind}; expected a LinearGaussianPolicy, or None")
        if self.anneal and self.covariance != "time":
            raise ProblemError(
                f"anneal is {self.anneal!r} and covariance '{self.covariance}'; choose covariance 'time'"
            )
        if self.follow < 1.0 and self.covariance != "fixed":
            raise ProblemError(f"covariance is '{self.covariance}' and the baseline stays; choose baseline 'moving'")
        feedback = self.proposal is not None and self.proposal.K.any()
        if self.follow < 1.0 and feedback and not isinstance(self.smoothing, White):
            raise ProblemError(
                "a baseline that stays and a proposal with gains take White smoothing; choose baseline 'moving'"
            )
        if self.follow < 1.0 and feedback and self.noise_draws > 1:
            raise ProblemError(
                f"noise_draws is {self.noise_draws}; a baseline that stays takes a proposal with gains with one draw "
                "of the noise at most, as every draw has controls of its own"
            )
        check_common(self)

    def _check_shares(self):
        if isinstance(self.baseline, str):
            check_choice(self.baseline, "baseline", BASELINES)
        for name in ("baseline", "exploration", "rate", "anneal"):
            value = getattr(self, name)
            if isinstance(value, str) and name == "baseline":
                continue
            object.__setattr__(self, name, check_number(value, name, least=0, most=1))
            if name == "exploration" and value == 1.0:
                raise ProblemError("exploration is 1; expected a share below 1")
        check_flag(self.conditioned, "conditioned")

    @property
    def follow(self):
        """Share of the way that the baseline follows the mean."""
        return BASELINES[self.baseline] if isinstance(self.baseline, str) else float(self.baseline)

    @property
    def lambda_policy(self):
        """1 / temperature; nan where a rule sets it in every round."""
        return 1.0 / self.temperature.temperature if isinstance(self.temperature, Fixed) else math.nan

    @property
    def draws_mean(self):
        """Whether the mean itself is the first sample."""
        return isinstance(self.temperature, Elite)

    def plan(self, problem):
        """Phases on a problem."""
        plant = problem.plant
        if np.size(self.spread) not in (1, plant.nu):
            raise ProblemError(f"spread has {np.size(self.spread)} entries; the plant has {plant.nu} controls")
        if self.proposal is not None:
            self.proposal.check(problem)
        T, widths = problem.horizon, plant.nx + 2 * plant.nu
        check_room(self.samples, 8 * max(self.noise_draws, 1) * (T + 1) * widths)
        factor = self._factor(problem)
        if self.correlation is not None:
            as_covariance(self.correlation, "correlation", problem.horizon)
        numbers = plant.nu * (problem.horizon if factor is None else factor.shape[1])
        if self.draws == "sobol" and numbers > MOST_SOBOL:
            raise ProblemError(
                f"draws is 'sobol', for at most {MOST_SOBOL} numbers a sample; these have {numbers}: choose 'normal', "
                "or Splines of fewer knots"
            )
        return Plan((SamplingSteps(self),))

    def moved_on(self, solution, stages, policy):
        """The method for a plan that starts some stages after a solution's, whose policy has been shifted by them."""
        stays = self.follow < 1.0
        followed = self.conditioned and not (stays and (self.noise_draws > 1 or not isinstance(self.smoothing, White)))
        kept, before = {"proposal": policy if followed else None}, solution.proposal
        if self.anneal and before is not None:
            moved = before.u_ref, before.correlation, stages, policy.dt, self.anneal
            kept["correlation"] = self.smoothing.shifted(*moved)[1]
        return replace(self, **kept)

    def first_proposal(self, problem, x, u):
        """`Proposal` of the first round, about a guess x (T + 1, nx), u (T, nu) or the method's own."""
        plant, T, factor = problem.plant, problem.horizon, self._factor(problem)
        if self.correlation is not None:
            factor = covariance_factor(np.asarray(self.correlation, dtype=float))
        spread = WIDTH * problem.scales.control if self.spread is None else np.asarray(self.spread, dtype=float)
        scale = np.tile(spread * np.ones(plant.nu), (T if factor is None else factor.shape[1], 1))
        prior = np.clip(np.zeros((T, plant.nu)), *plant.control_limits.T)
        K = np.zeros((T, plant.nu, plant.ndx))
        if factor is not None and factor.shape[1] < T:  # what samples cannot change is left out of the guess
            u = factor @ np.linalg.lstsq(factor, u, rcond=None)[0]
        if self.proposal is not None:
            x, u, K = self.proposal.x_ref, np.array(self.proposal.u_ref), self.proposal.K
        return Proposal(x, u, K, factor, scale, prior, plant.quaternions)

    def _factor(self, problem):
        """Factor (T, r) of the correlation over the stages, None for independent ones."""
        return factor_of(self.smoothing, problem.horizon, problem.plant.dt)


@functools.lru_cache(maxsize=64)
def factor_of(smoothing, T, dt):
    """Factor (T, r) of a smoothing, None where it leaves stages independent."""
    return None if isinstance(smoothing, White) else frozen(smoothing.factor(T, dt))


@dataclass(frozen=True)
class CEM(MPPI):
    """The cross-entropy method: mean and standard deviations of the best samples. Attributes as for `MPPI`."""

    temperature: object = Elite(0.1)
    covariance: str = "diagonal"
    name = "cem"


@dataclass(frozen=True)
class PredictiveSampling(MPPI):
    """Predictive sampling: the best of the samples, the mean among them. Attributes as for `MPPI`.

    T. Howell et al., *Predictive sampling: real-time behaviour synthesis with MuJoCo* (2022).
    """

    temperature: object = Elite(1)
    smoothing: object = Splines(10)
    name = "predictive_sampling"


@dataclass(frozen=True, eq=False)
class Fan:
    """Sampled rollouts.

    Attributes:
      x, u: states (N, T + 1, nx), of several draws of the noise their mean, and controls before limits act (N, T, nu).
      cost: (N,).
      weights: (N,), of sum 1; all 0 if no cost is finite.
    """

    x: np.ndarray
    u: np.ndarray
    cost: np.ndarray
    weights: np.ndarray


def fan(problem, solution, samples=256, seed=0):
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
    ratio = proposal.log_ratio(draws, trials.x, method.follow, 0)
    weights = method.temperature.weights(trials.cost, ratio).weights
    return Fan(*map(frozen, (trials.x, applied(proposal, draws, trials.x), trials.cost, weights)))
