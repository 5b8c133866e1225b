"""Several goals at once: optimal policies for a soft minimum of terminal costs, mixed from those of its parts.

    C_T = -(1/l) log sum_i w_i exp(-l C_T^i)        z_t^i = exp(-l V_t^i)

    z_t(x) = sum_i w_i z_t^i(x)        pi_t(u | x) = sum_i [w_i z_t^i(x) / z_t(x)] pi_t^i(u | x)

for components of the same plant, noise, stage cost and baseline. Exact where lambda_policy = lambda_transition = l > 0,
because `recursion` is linear in z there and nowhere else.

Source: *Unifying Entropy Regularization in Optimal Control*, arXiv 2512.06109, equation 40.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics.checks import as_finite, check_count, check_instance, check_seed
from ppi_robotics.composition.path_integrals import Forward, PathIntegral, check_weight
from ppi_robotics.entropic import log_sum
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import Record, covariance_factor, frozen
from ppi_robotics.policy import LinearGaussianPolicy
from ppi_robotics.problem import Problem, check_problem
from ppi_robotics.recursion import Value
from ppi_robotics.rollouts import Rollouts, rollout
from ppi_robotics.solution import Solution
from ppi_robotics.texts import as_table, with_error, with_interval

SAME = 1e-8  # relative difference, beyond rounding, from which on the models of components are not the same


def compose(
    components: Sequence[Problem] | Sequence[Solution],
    weights: ArrayLike,
    weight: float | None = None,
    baseline: LinearGaussianPolicy | None = None,
    samples: int | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> "MixturePolicy | SampledMixture":
    """The optimal policy for several goals, from components that differ in their terminal cost alone.

    Args:
      components: `Solution`s of linear-quadratic problems by PPI(eta) with the flat baseline, or AICO(): the answer is
        exact, a `MixturePolicy`. That terminal costs are quadratic cannot be checked. Or `Problem`s, which may be
        nonlinear: the answer is a `SampledMixture`, exact up to the errors that it states, and the arguments from
        `weight` on are for it alone.
      weights: w_i, one for each component, not negative; they need not sum to 1.
      weight: l [1/cost], above 0.
      baseline: `LinearGaussianPolicy` that the composed policy stays close to.
      samples: number of rollouts an estimate, 10,000 by default.
      seed, threads: as for `path_integral`.

    Returns:
      `MixturePolicy` or `SampledMixture`.

    Raises:
      ProblemError: if an argument cannot be used, or if the components differ in more than their terminal cost or were
        solved with lambda_policy other than lambda_transition, for which no mixture is optimal.
    """
    components = tuple(components) if isinstance(components, list | tuple) else ()
    kinds = [kind for kind in (Solution, Problem) if components and all(isinstance(c, kind) for c in components)]
    if not kinds:
        raise ProblemError("components is no list of Solutions, nor one of Problems; give at least one of either kind")
    weights = _checked_weights(weights, len(components))
    if kinds == [Problem]:
        if weight is None or baseline is None:
            raise ProblemError("problems are composed by rollouts: give weight and baseline, or solutions to mix")
        forward = Forward(components[0], baseline, 10_000 if samples is None else samples, seed, threads)
        return _sampled(components, weights, check_weight(weight), forward)
    if weight is not None or baseline is not None or samples is not None:
        raise ProblemError(
            "solutions have weight and baseline of their own; give these, and samples, with problems only"
        )
    return _mixed(components, weights)


# -- exact, linear-quadratic -------------------------------------------------------------------------------------------


def _mixed(solutions, weights):
    for i, solution in enumerate(solutions):
        _check_synchronized(i, solution)
    first = solutions[0]
    for i, solution in enumerate(solutions[1:], 1):
        _check_same_model(i, first, solution)
    policies, values = tuple(s.policy for s in solutions), tuple(s.value for s in solutions)
    return MixturePolicy(policies, values, frozen(weights), first.sweep.lambda_policy)


def _check_synchronized(i, solution):
    if solution.sweep is None or solution.sweep.breakdown is not None:
        raise ProblemError(f"component {i} has no values: {solution.explain()}; compose solutions that converged")
    if getattr(solution.method, "baseline", "flat") != "flat":
        raise ProblemError(
            f"component {i} has baseline '{solution.method.baseline}', a policy of its own; components need a common "
            "one: solve with the flat baseline"
        )
    lP, lS = solution.sweep.lambda_policy, solution.sweep.lambda_transition
    if lP != lS:
        raise ProblemError(
            f"component {i} was solved with lambda_policy {lP:g} and lambda_transition {lS:g}; a mixture is optimal "
            "only where both are equal and positive: solve with PPI(eta), eta above 0"
        )
    if any(row.barrier for row in solution.trace) or solution.policy.quaternions or solution.model.E.size:
        raise ProblemError(
            f"component {i} is not linear-quadratic (it has limits, quaternions or noise that grows); "
            "compose problems by rollouts: give them with weight and baseline"
        )


def _check_same_model(i, first, other):
    if first.sweep.lambda_policy != other.sweep.lambda_policy:
        raise ProblemError(
            f"component {i} was solved with weight {other.sweep.lambda_policy:g}, component 0 with "
            f"{first.sweep.lambda_policy:g}; solve all with the same"
        )
    a, b = first.policy, other.policy
    if (a.plant, a.x_ref.shape, a.u_ref.shape, a.dt) != (b.plant, b.x_ref.shape, b.u_ref.shape, b.dt):
        raise ProblemError(
            f"component {i} has {b.horizon} stages of {b.dt:g} s of plant '{b.plant}', component 0 {a.horizon} of "
            f"{a.dt:g} s of '{a.plant}'; components share plant and horizon"
        )
    for (what, one, size), (_, two, other_size) in zip(_absolute(first), _absolute(other), strict=True):
        if one.shape != two.shape or (np.abs(one - two) > SAME * (size + other_size)).any():
            raise ProblemError(
                f"component {i} differs from component 0 in its {what}; linear-quadratic components share all but the "
                "terminal cost. For nonlinear ones, compose problems: give them with weight and baseline"
            )


def _absolute(solution):
    """Dynamics and stage costs in states and controls themselves: names, arrays, and sizes of what they are sums of."""
    model, x, u = solution.model, solution.policy.x_ref, solution.policy.u_ref
    T = len(u)
    z, c, c0 = np.hstack((x, u)), np.hstack((model.cx[:T], model.cu)), model.c0[:T]
    F = np.concatenate((model.A, model.B), axis=2)
    C = np.block([[model.Cxx[:T], model.Cux.transpose(0, 2, 1)], [model.Cux, model.Cuu]])
    noise = model.G @ model.G.transpose(0, 2, 1)
    # the last state of the reference is not kept, so that the offset of the last stage remains unchecked
    offset = x[1:] + model.d[:-1], -_times(F, z)[:-1]
    gradient = c, -_times(C, z)
    constant = c0, -np.einsum("ti,ti->t", c, z), 0.5 * np.einsum("ti,ti->t", _times(C, z), z)
    sizes = np.abs(x[1:]) + np.abs(model.d[:-1]) + _times(np.abs(F), np.abs(z))[:-1]
    yield "dynamics", F, np.abs(F)
    yield "dynamics", sum(offset), sizes
    yield "noise", noise, np.abs(noise)
    yield "stage cost", C, np.abs(C)
    yield "stage cost", sum(gradient), np.abs(c) + _times(np.abs(C), np.abs(z))
    yield "stage cost", sum(constant), sum(map(np.abs, constant))


def _times(matrices, vectors):
    return np.einsum("tij,tj->ti", matrices, vectors)


# -- sampled -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class MixtureEstimate:
    """What rollouts say about a composed problem at a state.

    Attributes:
      composite: `PathIntegral` of the composed problem: value and first control of the mixture.
      components: `PathIntegral`s of the components, by the same rollouts.
      responsibilities: shares (n,) of the components in the mixture.
      responsibilities_standard_error: (n,).
    """

    composite: PathIntegral
    components: tuple[PathIntegral, ...]
    responsibilities: np.ndarray
    responsibilities_standard_error: np.ndarray

    def __str__(self) -> str:
        shares = zip(self.responsibilities, self.responsibilities_standard_error, strict=True)
        rows = [("component", "value, 95 % interval", "share ± standard error", "ESS")]
        for i, (part, share) in enumerate(zip(self.components, shares, strict=True)):
            rows.append((str(i), with_interval(part.value, part.interval), with_error(*share), f"{part.ess:.4g}"))
        return "\n".join([str(self.composite), *as_table(rows)])


@dataclass(frozen=True, eq=False)
class SampledMixture(Record):
    """A composed problem whose values and controls are estimated where they are asked for, by rollouts.

    One set of rollouts under the common baseline serves all components, as they differ in the terminal cost alone.

    Attributes:
      problems: of the components; their terminal costs are finite.
      weights: w_i (n,).
      weight: l [1/cost].
      forward: the rollouts, see `path_integral`.
    """

    problems: tuple[Problem, ...]
    weights: np.ndarray
    weight: float
    forward: Forward

    def estimate(self, t: int, x: ArrayLike) -> MixtureEstimate:
        """`MixtureEstimate` at stage t, 0 to T - 1, in state x (nx,).

        Raises:
          ProblemError: as `path_integral`.
        """
        n, nu = len(self.problems), self.problems[0].plant.nu
        sums = self.forward.gather(self._score, self.weight, x, t)
        # the share of a component is the mean of its share at the final state, under the weights of the composite
        shares, errors = (frozen(part[nu:]) for part in sums.means(n))
        return MixtureEstimate(sums.estimate(n), tuple(sums.estimate(i) for i in range(n)), shares, errors)

    def _score(self, cost, final):
        """Log weights (N, n + 1) of the components and the composite, and the components' shares (N, n) in it."""
        terms, shares = (np.full((len(cost), len(self.problems)), fill) for fill in (-np.inf, 0.0))
        composite, sound = np.full(len(cost), -np.inf), np.isfinite(cost)
        if sound.any():
            ends = np.stack([problem.cost.terminal(final[sound]) for problem in self.problems], axis=1)
            if not np.isfinite(ends).all():
                i = int(np.argmin(np.isfinite(ends).all(axis=0)))
                raise ProblemError(f"the terminal cost of component {i} is not finite everywhere; give a finite one")
            terms[sound] = -self.weight * (cost[sound, None] - ends[:, :1] + ends)
            joint = terms[sound] + log(self.weights)
            composite[sound] = log_sum(joint)
            shares[sound] = np.exp(joint - composite[sound, None])
        return np.column_stack((terms, composite)), shares


def _sampled(problems, weights, weight, forward):
    runs = rollout(problems[0], forward.baseline, samples=16, seed=forward.seed, stochastic=True)
    sound = np.isfinite(runs.cost)
    x, u = runs.x[sound, :-1], runs.u[sound]
    x, u = x.reshape(-1, x.shape[2]), u.reshape(-1, u.shape[2])
    for i, problem in enumerate(problems[1:], 1):
        _check_same_problem(i, problems[0], problem, x, u)
    return SampledMixture(problems, frozen(weights), weight, forward)


def _check_same_problem(i, first, other, x, u):
    """Raise `ProblemError` unless problems agree in all but the terminal cost, as far as states and controls show."""
    a, b = first.plant, other.plant
    sizes = [(p.plant.name, p.plant.nx, p.plant.nu, p.plant.dt, p.horizon, p.first_stage) for p in (first, other)]
    what = ""
    if sizes[0] != sizes[1] or not np.array_equal(a.control_limits, b.control_limits):
        what = "plant or horizon"
    elif any(not np.array_equal(getattr(a.noise, n), getattr(b.noise, n)) for n in ("process", "control", "state")):
        what = "noise"
    elif len(x) and a is not b and _differ(a.step(x, u), b.step(x, u)):
        what = "dynamics"
    elif len(x) and _differ(first.cost.stage(x, u), other.cost.stage(x, u)):
        what = "stage cost"
    if what:
        raise ProblemError(
            f"component {i} differs from component 0 in its {what}; components share all but the terminal cost"
        )


def _differ(one, other):
    return np.abs(one - other).max() > SAME * np.abs(one).max()


def _checked_weights(weights, count):
    weights = as_finite(weights, "weights", (count,))
    if (weights < 0.0).any() or not weights.any():
        raise ProblemError(f"weights are {weights.tolist()}; expected none below 0, and one above")
    return weights


@dataclass(frozen=True, eq=False)
class MixturePolicy:
    """Mixture of linear-Gaussian policies, whose shares depend on the state: optimal for the soft minimum of goals.

    Attributes:
      policies: of the components.
      values: `Value`s of the components, in deviations from their policies' references.
      weights: w_i (n,).
      weight: l [1/cost].
    """

    policies: tuple[LinearGaussianPolicy, ...]
    values: tuple[Value, ...]
    weights: np.ndarray
    weight: float

    @property
    def horizon(self) -> int:
        """Number of stages T."""
        return self.policies[0].horizon

    def responsibilities(self, t: int, x: ArrayLike) -> np.ndarray:
        """Shares (..., n) of the components at stage t, 0 to T - 1, in states x (..., nx); they sum to 1."""
        terms = self._log_terms(t, x)
        return np.exp(terms - log_sum(terms)[..., None])

    def value(self, t: int, x: ArrayLike) -> np.ndarray:
        """Value (...) of the composed problem at stage t, 0 to T - 1, in states x (..., nx).

        It is relative to the baseline of the components, which is the flat one.
        """
        return -log_sum(self._log_terms(t, x)) / self.weight

    def mean(self, t: int, x: ArrayLike) -> np.ndarray:
        """Mean control (..., nu) at stage t in states x (..., nx)."""
        return np.einsum("...i,...iu->...u", self.responsibilities(t, x), self._each("mean", t, x))

    def sample(self, t: int, x: ArrayLike, rng: np.random.Generator) -> np.ndarray:
        """Control (..., nu) drawn at stage t in states x (..., nx) with a numpy Generator."""
        shares = self.responsibilities(t, x)
        check_instance(rng, "rng", np.random.Generator, "such as numpy.random.default_rng(0)")
        # a uniform number of [0, 1) may exceed a sum of shares that is rounded to less than 1
        below = np.cumsum(shares, axis=-1)[..., :-1] <= rng.random(shares.shape[:-1])[..., None]
        chosen = below.sum(axis=-1)[..., None, None]
        return np.take_along_axis(self._each("sample", t, x, rng), chosen, axis=-2)[..., 0, :]

    def rollout(self, problem: Problem, samples: int = 1, seed: int = 0) -> Rollouts:
        """Sample trajectories in which every control is drawn from the mixture.

        Sample i meets the same initial state and noise at every number of samples and under every mixture.

        Args:
          problem: `Problem` whose plant, noise, initial state and cost apply.
          samples: number N of rollouts.
          seed: of the noise and of the draws.

        Returns:
          `Rollouts`.

        Raises:
          ProblemError: if a policy does not fit the problem, or its noise grows with state or control.
        """
        check_problem(problem)
        for policy in self.policies:
            policy.check(problem)
        samples = check_count(samples, "samples", 1)
        seed = check_seed(seed)
        plant, T, noise = problem.plant, problem.horizon, problem.plant.noise
        if noise.growing:
            raise ProblemError(f"plant '{plant.name}' has noise that grows; give one with additive noise alone")
        draws, disturbances = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
        factor = covariance_factor(problem.initial.cov)
        w = disturbances.standard_normal((samples, factor.shape[1] + T * noise.columns))
        start, w = np.split(w, [factor.shape[1]], axis=1)
        w = w.reshape(samples, T, noise.columns) @ noise.factor.T
        x, u = np.empty((samples, T + 1, plant.nx)), np.empty((samples, T, plant.nu))
        x[:, 0] = problem.initial.mean + start @ factor.T
        for t in range(T):
            u[:, t] = np.clip(self.sample(t, x[:, t], draws), *plant.control_limits.T)
            x[:, t + 1] = plant.step(x[:, t], u[:, t]) + w[:, t]
        return Rollouts(x, u, problem.cost.stages(x, u).sum(axis=1), 0, int(seed), plant.dt)

    def _each(self, what, t, x, *args):
        """Means or samples (..., n, nu) of the components."""
        return np.stack([getattr(policy, what)(t, x, *args) for policy in self.policies], axis=-2)

    def _log_terms(self, t, x):
        """Logarithms (..., n) of w_i z_t^i(x)."""
        t = check_count(t, "t", 0, self.horizon - 1)
        x = as_finite(x, "x")
        if x.ndim == 0 or x.shape[-1] != self.policies[0].x_ref.shape[1]:
            raise ProblemError(f"x has shape {x.shape}; expected (..., {self.policies[0].x_ref.shape[1]})")
        values = []
        for policy, V in zip(self.policies, self.values, strict=True):
            dx = x - policy.x_ref[t]
            values.append(0.5 * np.einsum("...i,ij,...j", dx, V.P[t], dx) + dx @ V.p[t] + V.p0[t])
        return log(self.weights) - self.weight * np.stack(values, axis=-1)


def log(weights: np.ndarray) -> np.ndarray:
    """Logarithms of weights, -inf for 0."""
    with np.errstate(divide="ignore"):
        return np.log(weights)
