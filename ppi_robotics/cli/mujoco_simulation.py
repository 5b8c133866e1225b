"""Simulations of the command `mujoco`: a policy or a planner in closed loop with MuJoCo, under the plant's noise."""

from dataclasses import dataclass, replace

import numpy as np

import ppi_robotics as ppi
from ppi_robotics.cli.output import label, progress
from ppi_robotics.cli.work import run_solve, stop_if

REPLAN_ITERATIONS = 3  # of a replan, which is warm-started: a real-time iteration


@dataclass(frozen=True, eq=False)
class Loop:
    """What receding-horizon control did.

    Attributes:
      rollouts: `Rollouts` of the one simulation, stage by stage.
      report: `PlanningReport`.
      success: whether the final state meets the task's criterion.
    """

    rollouts: ppi.Rollouts
    report: object
    success: bool


class Disturbance:
    """Adds the noise of a plant's controls to those of an `MjData`, drawn once a stage."""

    def __init__(self, plant, rng):
        self.plant, self.rng, self.steps = plant, rng, 0

    def __call__(self, data):
        """Disturb the controls of the next physics step."""
        factors = self.plant.noise.control
        if self.steps % self.plant.substeps == 0:
            self.drawn = self.rng.standard_normal(len(factors))
        self.steps += 1
        data.ctrl += np.einsum("kij,j,k->i", factors, data.ctrl, self.drawn)


def run_mpc(problem, method, seed, starts, viewer):
    """`Loop` of replanning at every stage for as many stages as the horizon has, with a live line of progress."""
    plant, rng, name = problem.plant, np.random.default_rng(seed), label(method)
    first, x = run_solve(problem, method, seed, starts), start(problem, rng)
    stop_if(first.interrupted)
    short = replace(method, max_iterations=REPLAN_ITERATIONS)
    with progress(f"{name}: replanning") as say:
        with ppi.RecedingHorizon(problem, short, seed=seed, policy=first.policy) as mpc:
            mpc.prepare(x)
            record = simulate(problem, mpc, x, rng, viewer, count_steps(say, f"{name}: replanning", plant))
        report = replace(mpc.report(), first_seconds=first.seconds)
    stop_if(record.ended == "interrupted")
    x, u = record.x[:: plant.substeps], record.ctrl[:: plant.substeps]
    cost = np.array([problem.cost.trajectory(x, u)])
    return Loop(ppi.Rollouts(x[None], u[None], cost, first=0, seed=seed), report, bool(problem.success(x[-1:])[0]))


def show(problem, policy, seed):
    """Play a policy under noise in MuJoCo's window, at the speed of life."""
    rng = np.random.default_rng(seed)
    simulate(problem, policy, start(problem, rng), rng, True)


def simulate(problem, policy, x, rng, viewer, say=None):
    """`Run` of a policy or a planner from a state (nx,) over the problem's horizon."""
    import mujoco

    plant = problem.plant
    data = mujoco.MjData(plant.model)
    plant.write(data, x)
    controller, seconds = ppi.Controller(policy, plant, interpolate=False), problem.horizon * plant.dt
    return ppi.run(controller, plant.model, data, seconds, viewer, progress=say, push=Disturbance(plant, rng))


def start(problem, rng):
    """A state (nx,) drawn from the initial belief."""
    from ppi_robotics.gaussian import covariance_factor

    factor = covariance_factor(problem.initial.cov)
    moved = factor @ rng.standard_normal(factor.shape[1])
    return problem.plant.retract(problem.initial.mean, moved)


def count_steps(say, text, plant):
    """The progress function of a simulation."""
    step = plant.model.opt.timestep
    return lambda done, total: say(f"{text}, {done * step:.2f} of {total * step:.2f} s")
