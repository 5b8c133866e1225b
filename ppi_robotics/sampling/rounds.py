"""Rounds of sampling: draw control sequences, roll them out, weigh them, move the mean to that of the weighted ones.

    log w_n = -lP C(x^n, u^n) + log p(u^n) / q(u^n),     u_ref <- sum_n w_n u^n

With the baseline p at the mean itself this is posterior policy iteration by samples, whose limit is the optimum; with a
baseline that stays, the limit is the optimum of the cost and the divergence from it. G. Williams et al., *Information
theoretic model predictive control* (ICRA 2017).

Sequences that are drawn without feedback spread their trajectories ever further on an unstable plant, and few of them
are of use. Where the baseline moves, gains are renewed every so many rounds, and samples stay about the closed loop, as
in G. Williams et al., *Robust sampling based model predictive control with sparse objective information* (RSS 2018).
"""

import math
from contextlib import closing
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np

from ppi_robotics.entropic import entropic
from ppi_robotics.interruption import check
from ppi_robotics.kernels.compiler import ROLLOUT_LANES
from ppi_robotics.linearize import taylor
from ppi_robotics.parallel import in_threads
from ppi_robotics.recursion import Baseline, backward
from ppi_robotics.rollouts import CHUNK, loop_of, shooting
from ppi_robotics.sampling.feedback import regress
from ppi_robotics.sampling.proposal import Proposal, feedback, mean_of
from ppi_robotics.solution import Feedback, Iteration, Status, WeightedSamples
from ppi_robotics.steps.base import Iterate, Phase, change_of
from ppi_robotics.steps.single_shooting import box_about

PATIENCE = 10  # rounds without progress after which there is none to come
TASKS = 8  # of a round's rollouts, so that threads finish together
HALVINGS = 3  # of the standard deviations, one after the other


@dataclass(frozen=True, slots=True)
class SampledIterate(Iterate):
    """Rollout of the mean, and what rounds carry along.

    Attributes:
      search: `Shooting`, rollouts without noise.
      first, proposal: of the first round and of the next one.
      lowest: cost of the mean when it last fell by more than the tolerance.
      stalled: rounds since then; where gains are renewed, renewals that each have halved the standard deviations.
      share: what is left of the first standard deviations at renewals.
      rounds: so far.
      count: samples drawn so far.
      lambda_policy: of the last round.
      samples: of the last round: trials, controls, weighting and the log-weights of every stage; None where gains do
        not come from samples.
    """

    search: object = None
    first: Proposal | None = None
    proposal: Proposal | None = None
    lowest: float = math.inf
    stalled: int = 0
    share: float = 1.0
    rounds: int = 0
    count: int = 0
    lambda_policy: float = math.nan
    samples: tuple | None = None


@dataclass(frozen=True)
class SamplingSteps(Phase):
    """Rounds of sampling with the settings of an `MPPI`.

    Attributes:
      method: `MPPI`.
      seed: of controls and noise.
    """

    method: object
    seed: int = 0
    name = "sampling"

    def seeded(self, seed):
        """The same with another seed."""
        return replace(self, seed=seed)

    def proposal(self, iterate):
        """Of the next round."""
        return iterate.proposal

    def begin(self, problem, x, u):
        """Iterate at the rollout of the guess, or of the method's own proposal.

        Where that has no finite cost, samples may; they are drawn about what was given.
        """
        search = shooting(problem, problem.plant.control_limits)
        proposal = self.method.first_proposal(problem, x, u)
        x, u, cost = search.rollout(proposal.x_ref, proposal.u_ref, proposal.K)
        if not math.isfinite(cost):
            x, u, cost = np.vstack((proposal.x_ref[: len(u)], proposal.x_ref[-1:])), proposal.u_ref, math.inf
        proposal = replace(proposal, x_ref=x, u_ref=u)
        carried = {"search": search, "first": proposal, "proposal": proposal, "lowest": cost}
        return SampledIterate(x, u, np.empty((len(u), 0)), cost, **carried)

    def advance(self, problem, iterate, index):
        """One round."""
        method, proposal, count = self.method, iterate.proposal, iterate.count
        draws = proposal.sample(method.draws, method.samples, self.seed, count)
        if method.draws_mean:
            draws.push[0] = draws.latent[0] = 0.0
        recorded = method.feedback == "samples" or (method.follow < 1.0 and proposal.K.any())
        risk = method.noise_draws, method.lambda_transition
        trials = run_trials(problem, proposal, draws.push, self.seed, count, *risk, recorded)
        with np.errstate(invalid="ignore", over="ignore"):  # along states that are not finite
            ratio = proposal.log_ratio(draws, trials.x, method.follow)
        ratio = np.where(np.isfinite(trials.cost), ratio, 0.0)
        weighting = method.temperature.weights(trials.cost, ratio)
        after = replace(iterate, count=count + method.samples, lambda_policy=weighting.lambda_policy)
        if not weighting.valid:
            return replace(after, status=Status.NO_SAMPLES), self._row(index, iterate.cost, 0.0, weighting)
        u_ref = proposal.u_ref + mean_of(weighting.weights, draws.push)
        x, u, cost = iterate.search.rollout(proposal.x_ref, u_ref, proposal.K)
        row = self._row(index, cost, change_of(problem, (x, proposal.u_ref), (x, u)), weighting)
        if not math.isfinite(cost):  # the mean of good controls may be a bad one: other samples may tell
            return self._settle(problem, after, iterate.x, iterate.u, math.inf), row
        if method.feedback == "samples":
            log_weights = self._ahead(proposal, draws, trials, weighting)
            after = replace(after, samples=(trials, applied(proposal, draws, trials.x), weighting, log_weights))
        if method.covariance != "fixed":
            proposal = proposal.fitted(method.covariance, draws, weighting.weights, iterate.first)
        after = replace(after, proposal=replace(proposal, x_ref=x, u_ref=u))
        return self._settle(problem, after, x, u, cost), row

    def expand(self, problem, iterate):
        """Local model about the iterate, and bounds of the feedforward."""
        return taylor(problem, iterate.x, iterate.u), box_about(iterate.u, problem.plant.control_limits)

    def conclude(self, problem, iterate, method):
        """Gains by regression on the last round's samples, by a backward pass about the mean, or the proposal's own."""
        T = problem.horizon
        if method.feedback == "sweep":
            weight = iterate.lambda_policy if iterate.lambda_policy > 0.0 else math.inf
            risk = weight if method.noise_draws == 1 and math.isfinite(weight) else method.lambda_transition
            model, sweep = self._swept(problem, iterate, weight, risk)
            if sweep.breakdown is None:
                return Feedback.of(model, sweep)
        own = iterate.proposal.K, np.tile(np.diag(np.mean(iterate.proposal.scale**2, axis=0)), (T, 1, 1))
        if iterate.samples is None:
            return Feedback(*own)
        trials, u, weighting, log_weights = iterate.samples
        found = regress(trials.x, u, log_weights, iterate.x[:-1], own, problem.plant.quaternions)
        samples = WeightedSamples(trials.x, u, trials.cost, weighting.weights, found.ess, found.kept)
        at_reference = None if self._deterministic else np.where(np.isnan(found.u), iterate.u, found.u)
        return Feedback(found.K, found.cov, samples=samples, u=at_reference)

    @property
    def _deterministic(self):
        """Whether the cost of the mean without noise is what counts."""
        return self.method.follow == 1.0 and not self.method.noise_draws

    def _swept(self, problem, iterate, weight, risk):
        """Local model and sweep about the iterate; close to the baseline where that stays."""
        first = iterate.first
        if self.method.follow == 1.0 or first.factor is not None or not math.isfinite(weight):
            weights = SimpleNamespace(lambda_policy=weight, lambda_transition=risk)
            return self.last_pass(problem, iterate, weights)
        mean = first.prior + self.method.follow * (iterate.u - first.prior)
        cov = np.einsum("ti,ij->tij", first.scale**2, np.eye(first.scale.shape[1]))
        model, _ = self.expand(problem, iterate)
        return model, backward(model, weight, risk, Baseline(np.zeros_like(first.K), mean - iterate.u, cov))

    def _ahead(self, proposal, draws, trials, weighting):
        """Log-weights (N, T) for the controls of every stage: of what is still to come, where stages are independent.

        Elite samples have no temperature, and controls correlated over time depend on costs already paid: their
        weights are those of the whole sequences.
        """
        weight, T = weighting.lambda_policy, draws.push.shape[1]
        if not weight > 0.0 or proposal.factor is not None:
            return np.repeat(weighting.log_weights[:, None], T, axis=1)
        ahead = -weight * np.where(np.isfinite(trials.to_go[:, :T]), trials.to_go[:, :T], np.inf)
        if self.method.follow < 1.0:
            ahead += proposal.log_ratio_ahead(draws, trials.x, self.method.follow)
        return np.where(np.isfinite(trials.cost)[:, None], ahead, -np.inf)

    def _settle(self, problem, iterate, x, u, cost):
        """The iterate after a round, with the status if nothing is gained any more.

        Only with a round behind it does an iterate get feedback: without any the guess is the answer. Where the cost of
        the mean without noise is what counts, it stays at the best one so far.
        """
        stays = (self._deterministic or not math.isfinite(cost)) and cost > iterate.cost
        moved = {} if stays else {"x": x, "u": u, "cost": cost}
        after = replace(iterate, completed=True, rounds=iterate.rounds + 1, **moved)
        if not self.method.renewal or self.method.follow < 1.0 or self.method.feedback == "none":
            return self._judged(after, cost, PATIENCE)
        return after if after.rounds % self.method.renewal else self._renewed(problem, after)

    def _judged(self, iterate, cost, patience):
        """The iterate with a status once as many rounds or renewals have gained no more than the tolerance."""
        enough = self.method.tolerance * abs(iterate.lowest) if math.isfinite(iterate.lowest) else 0.0
        gained = cost < iterate.lowest - enough
        stalled = 0 if gained else iterate.stalled + 1
        status = Status.CONVERGED if stalled >= patience else None
        return replace(iterate, status=status, lowest=cost if gained else iterate.lowest, stalled=stalled)

    def _renewed(self, problem, iterate):
        """The iterate with samples about its closed loop, under new gains; half as far where nothing was gained."""
        K, first = self.conclude(problem, iterate, self.method).K, iterate.first
        after = self._judged(iterate, iterate.cost, HALVINGS)
        share = 0.5 * iterate.share if after.stalled else iterate.share
        fresh = {"factor": first.factor, "scale": share * first.scale}  # fitted ones have shrunk
        proposal = replace(iterate.proposal, x_ref=iterate.x, u_ref=iterate.u, K=K, **fresh)
        return replace(after, proposal=proposal, share=share)

    def _row(self, index, cost, change, weighting):
        weights = weighting.ess, 1.0 / weighting.lambda_policy, weighting.free_energy
        return Iteration(index, self.name, cost, 0.0, change, 1.0, 0.0, 0.0, 0, *weights)


def applied(proposal, draws, x):
    """Controls (N, T, nu) of samples along their states x (N, T + 1, nx), before limits act."""
    u = proposal.u_ref + draws.push
    return u + feedback(proposal, x) if proposal.K.any() else u


@dataclass(frozen=True, slots=True)
class Trials:
    """What came of N control sequences.

    Attributes:
      cost: (N,); over several draws of the plant's noise, their risk-weighted mean.
      to_go: costs of the stages t to T (N, T + 1), or None; likewise.
      x: states (N, T + 1, nx), or None; their mean over the draws of the noise.
    """

    cost: np.ndarray
    to_go: np.ndarray | None
    x: np.ndarray | None


def run_trials(problem, proposal, push, seed, first, noise_draws, weight, recorded):
    """Rollouts of control sequences about a proposal's closed loop.

    Args:
      problem: `Problem`.
      proposal: `Proposal`.
      push: (N, T, nu).
      seed, first: of the plant's noise; sequence i meets the same in every call.
      noise_draws: rollouts a sequence, each with noise of its own; 0 for one without noise.
      weight: of the risk over the draws, R_weight[C].
      recorded: whether states and costs to go are wanted.

    A rollout that leaves the plant's state limits costs infinity.

    Returns:
      `Trials`.
    """
    plant, T, repeats = problem.plant, problem.horizon, max(noise_draws, 1)
    law = SimpleNamespace(x_ref=proposal.x_ref[:T], u_ref=proposal.u_ref, K=proposal.K)
    loop = loop_of(problem, law, seed, False, noise_draws > 0, repeats)
    N, walls = len(push) * repeats, plant.state_limits
    recorded = recorded or bool(np.isfinite(walls).any())
    cost, final = np.empty(N), np.empty((N, plant.nx))
    stages = np.empty((N, T + 1)) if recorded else None
    x, u = (np.empty((N, T + 1, plant.nx)), np.empty((N, T, plant.nu))) if recorded else (None, None)
    lanes = ROLLOUT_LANES * -(-N // (TASKS * ROLLOUT_LANES))
    rows = max(min(lanes, CHUNK, loop.most) // repeats, 1)  # sequences a task

    def run(row):
        part = slice(row * repeats, min((row + rows) * repeats, N))
        kept = (None, None, None) if x is None else (x[part], u[part], stages[part])
        pushed = push[row : row + rows]
        loop.run(first * repeats + part.start, cost[part], final[part], *kept[:2], push=pushed, stages=kept[2])

    if loop.few >= N:
        loop.run(first * repeats, cost, final, x, u, push=push, stages=stages, threads=None)
    else:
        with closing(in_threads(run, range(0, len(push), rows))) as parts:
            for _ in parts:
                check()
    if np.isfinite(walls).any():
        cost[((x < walls[:, 0]) | (x > walls[:, 1])).any(axis=(1, 2))] = np.inf
    to_go = None if stages is None else np.cumsum(stages[:, ::-1], axis=1)[:, ::-1]
    if repeats == 1:
        return Trials(cost, to_go, x)
    with np.errstate(invalid="ignore"):
        to_go = None if to_go is None else entropic(to_go.reshape(-1, repeats, T + 1), weight, 1)
    x = None if x is None else x.reshape(-1, repeats, *x.shape[1:]).mean(axis=1)
    return Trials(entropic(cost.reshape(-1, repeats), weight, 1), to_go, x)
