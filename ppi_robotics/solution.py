"""What a solve returns: the policy, how the solve went, and a sentence that says why it stopped."""

import math
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np

from ppi_robotics.errors import Diverged, RiskBreakdown, SolveError
from ppi_robotics.gaussian import Gaussian, Record
from ppi_robotics.manifold import difference, retract
from ppi_robotics.policy import LinearGaussianPolicy
from ppi_robotics.problem import Violation
from ppi_robotics.recursion import BackwardPass, LocalModel, Value
from ppi_robotics.status import Breakdown
from ppi_robotics.values import marginals


class Status(Enum):
    """Why a solve stopped; the value of each member is the sentence."""

    CONVERGED = "converged: the last step was below the tolerance"
    MAX_ITERATIONS = "stopped at max_iterations before the tolerance was reached; raise it or loosen the tolerance"
    NO_DESCENT = "no step lowers the cost any more, at the largest damping; start elsewhere or loosen the tolerance"
    INFEASIBLE = "infeasible: no path keeps the limits; widen them, start elsewhere, or give it longer"
    RISK_BREAKDOWN = (
        "the risk weight is too averse for the noise: no finite expected cost exists; lower theta or the noise"
    )
    INDEFINITE = "the model stays indefinite at the largest damping; change the cost or its hessian option"
    NO_SAMPLES = "no sampled rollout has a finite cost; start elsewhere, sample less far, or shorten the horizon"
    CONTRADICTION = "no configuration is left that all factors allow: nothing satisfies the problem"
    MESSAGES_LOST = (
        "messages grew without bound, which proves nothing; the last beliefs are kept; damp, or use a double loop"
    )
    DIVERGED = "states or costs stopped being finite; start elsewhere or shorten the horizon"
    INTERRUPTED = "interrupted; the answer is the one found until then"

    @property
    def solved(self) -> bool:
        """Whether the answer is an optimum to the tolerance."""
        return self is Status.CONVERGED

    @property
    def lost(self) -> bool:
        """Whether the method has no answer: what is returned stands in for one."""
        lost = (Status.INFEASIBLE, Status.DIVERGED, Status.RISK_BREAKDOWN, Status.INDEFINITE, Status.NO_SAMPLES)
        return self in lost


def earned(status, *costs):
    """The status; diverged where it would say solved at a cost that is not finite."""
    return Status.DIVERGED if status.solved and not all(map(math.isfinite, costs)) else status


@dataclass(frozen=True, slots=True)
class Iteration:
    """One row of the trace.

    Attributes:
      index: counts from 1 within its start.
      phase: what was being done, for instance "full steps" or "interior point".
      cost: value of the method's objective; in multiple shooting at the path that was expanded, else after it.
      defect: largest |f(x_t, u_t) + G w_t - x_{t+1}|, over the scale of the state; 0 on rollouts.
      change: largest change of a state or control, over its size along the path.
      step: accepted step length, 0 if none was.
      damping: Levenberg-Marquardt damping of the sweep.
      barrier: weight of the interior point's logarithms; 0 without.
      start: which initial guess.
      ess: effective sample size; nan without samples.
      temperature: of the weights of samples; nan without.
      free_energy: -temperature log E exp(-cost / temperature) under the baseline, estimated by samples; nan without.
    """

    index: int
    phase: str
    cost: float
    defect: float
    change: float
    step: float
    damping: float
    barrier: float
    start: int = 0
    ess: float = math.nan
    temperature: float = math.nan
    free_energy: float = math.nan


@dataclass(frozen=True, eq=False)
class WeightedSamples(Record):
    """Rollouts of the last round of a sampling-based method.

    Attributes:
      x, u: states (N, T + 1, nx) and controls before limits act (N, T, nu).
      cost: (N,).
      weights: of the whole sequences (N,), of sum 1.
      stage_ess: effective sample size behind the gains of every stage (T,).
      kept: whether there were too few for a stage, which kept the gains of the proposal (T,).
    """

    x: np.ndarray
    u: np.ndarray
    cost: np.ndarray
    weights: np.ndarray
    stage_ess: np.ndarray
    kept: np.ndarray

    def __post_init__(self):
        for array in vars(self).values():
            array.setflags(write=False)


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a policy about the last iterate of a phase is made of.

    Attributes:
      K, cov: gains (T, nu, ndx) and covariances (T, nu, nu); None after a breakdown.
      model, sweep: local model and backward pass that they come from, if from one.
      samples: `WeightedSamples` that they come from, if from some.
      u: controls (T, nu) at the reference, in place of the iterate's own, if given.
      breakdown: of the backward pass.
    """

    K: np.ndarray | None
    cov: np.ndarray | None
    model: LocalModel | None = None
    sweep: BackwardPass | None = None
    samples: WeightedSamples | None = None
    u: np.ndarray | None = None
    breakdown: Breakdown | None = None

    @staticmethod
    def of(model: LocalModel, sweep: BackwardPass) -> "Feedback":
        """Feedback that a backward pass over a local model gives."""
        if sweep.breakdown is not None:
            return Feedback(None, None, breakdown=sweep.breakdown)
        return Feedback(sweep.K, sweep.cov, model, sweep)


@dataclass(frozen=True)
class Start:
    """How one initial guess ended.

    Attributes:
      index, status, iterations: which, how and after how many iterations.
      cost: the method's objective; nan if there is none.
      nominal_cost: noise-free closed-loop cost of its policy; inf if there is none.
      guess: what it began at: "random", "hold", "swing" or "line" as in `guesses`, or "given".
      steps: what its first phase was.
    """

    index: int
    status: Status
    iterations: int
    cost: float
    nominal_cost: float
    guess: str = "given"
    steps: str = ""

    def __post_init__(self):
        object.__setattr__(self, "status", earned(self.status, self.cost, self.nominal_cost))


@dataclass(frozen=True, eq=False)
class Solution(Record):
    """Answer of `solve`.

    Attributes:
      policy: `LinearGaussianPolicy`, the best one found.
      initial: belief over the initial state, as in the problem.
      model, sweep: local model about the policy's reference and the backward sweep that made the policy. Both are None
        where samples made it, or, without feedback, the first guess is the policy as no sweep could be completed.
      x, u: noise-free closed-loop trajectory, (T + 1, nx) and (T, nu).
      cost: the method's own objective, for instance PPI's merit.
      nominal_cost: cost of (x, u).
      status: `Status`; never solved where a cost is not finite.
      breakdown: stage and bound if a sweep broke down, else None.
      trace: `Iteration` rows of the start that was kept.
      starts: one `Start` per initial guess.
      seconds: wall time.
      method: what it was solved with.
      samples: `WeightedSamples` if the gains come from them, else None.
      proposal: what a method that samples would draw from next, else None.
      last_reference: state (nx,) that the model's last deviation is from; the others are the policy's references.
      worst: `Violation` of the limit that (x, u) exceeds most, None if it keeps all.
      interrupted: whether Ctrl-C or a callback ended the search, which may have had its answer from an earlier start.
    """

    policy: LinearGaussianPolicy
    initial: Gaussian
    model: LocalModel | None
    sweep: BackwardPass | None
    x: np.ndarray
    u: np.ndarray
    cost: float
    nominal_cost: float
    status: Status
    breakdown: Breakdown | None
    trace: tuple[Iteration, ...]
    starts: tuple[Start, ...]
    seconds: float
    method: object = None
    samples: WeightedSamples | None = None
    proposal: object = None
    last_reference: np.ndarray | None = None
    worst: Violation | None = None
    interrupted: bool = False

    def __post_init__(self):
        object.__setattr__(self, "status", earned(self.status, self.cost, self.nominal_cost))

    @property
    def value(self) -> Value | None:
        """Backward messages in deviations from the policy's reference, None if there are none."""
        return None if self.sweep is None else self.sweep.value

    @cached_property
    def belief(self) -> Gaussian | None:
        """Smoothed belief over the states under policy and tilted dynamics, mean (T + 1, nx), cov (T + 1, nx, nx)."""
        if self.sweep is None:
            return None
        reference = np.vstack((self.policy.x_ref, self.last_reference))
        quaternions = self.initial.quaternions
        start = Gaussian(difference(self.initial.mean, reference[0], quaternions), self.initial.cov)
        deviation = marginals(self.model, self.sweep, start)
        return Gaussian(retract(reference, deviation.mean, quaternions), deviation.cov, quaternions)

    @property
    def stands_in(self) -> bool:
        """Whether the policy is none of the method's: the risk-neutral one, or the first guess without feedback."""
        made = self.sweep is not None or self.samples is not None or self.proposal is not None
        return self.status.lost or not made

    @property
    def iterations(self) -> int:
        """Iterations of the start that was kept."""
        return len(self.trace)

    @property
    def violation(self) -> float:
        """By how much (x, u) leaves the limits at most, over the scale of what is limited; 0 if it keeps them."""
        return 0.0 if self.worst is None else self.worst.size

    @property
    def found_by(self) -> int:
        """How many of the starts ended at the answer's nominal cost, to one part in a thousand."""
        best = self.nominal_cost + 1e-3 * abs(self.nominal_cost)
        return sum(start.nominal_cost <= best for start in self.starts)

    def explain(self) -> str:
        """Why the solve stopped, in a sentence or two."""
        detail = f" ({self.breakdown})" if self.breakdown is not None else ""
        if self.worst is not None:
            detail += f"; {self.worst}"
        others = f"; best of {len(self.starts)} starts, found by {self.found_by}" if len(self.starts) > 1 else ""
        if self.interrupted and self.status is not Status.INTERRUPTED:
            others += "; interrupted before all starts had ended"
        return (
            f"{self.status.value}{detail} [{self.iterations} iterations, nominal cost {self.nominal_cost:.6g}{others}]"
        )

    def raise_for_status(self) -> None:
        """Raise the `SolveError` that matches the status, unless the solve converged."""
        if self.status is Status.RISK_BREAKDOWN:
            where = self.breakdown
            known = (where.stage, where.bound, where.critical) if where else ()
            raise RiskBreakdown(self.explain(), self, *known)
        if self.status is Status.DIVERGED:
            raise Diverged(self.explain(), self)
        if not self.status.solved:
            raise SolveError(self.explain(), self)
