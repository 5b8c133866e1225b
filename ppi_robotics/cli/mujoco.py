"""The command `mujoco`: tasks of ready-made bodies and of any MJCF file, solved once or by receding horizon."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import ppi_robotics as ppi
from ppi_robotics.cli.app import command
from ppi_robotics.cli.methods import Method
from ppi_robotics.cli.mujoco_tasks import Task
from ppi_robotics.cli.output import progress, remark
from ppi_robotics.cli.problems import Samples, Solving
from ppi_robotics.cli.report import Report, stop_if
from ppi_robotics.cli.robots import policy_of
from ppi_robotics.cli.runs import (
    add_trace,
    draw_figures,
    evaluate_facts,
    evaluate_rows,
    gaps,
    heading,
    label,
    run_evaluate,
    run_solve,
    setting,
    solve_facts,
    solve_rows,
)
from ppi_robotics.errors import ProblemError

SEQUENCES = 256  # a round of methods that sample; physics takes longer than compiled plants
STARTS = {"balance": 1, "stand": 1, "reach": 2}  # small deviations have one optimum, and any way to a place will do
PLANNING = {  # keys for JSON, and fields of `PlanningReport`
    "replans": "replans",
    "adopted": "adopted",
    "failed": "failures",
    "last_failure": "message",
    "deadline_misses": "misses",
    "deadline_seconds": "deadline",
    "mean_replan_seconds": "mean_seconds",
    "max_replan_seconds": "max_seconds",
    "first_plan_seconds": "first_seconds",
}
REPLAN_ITERATIONS = 3  # of a replan, which is warm-started: a real-time iteration


@command("mujoco")
def mujoco(
    report: Report,
    task: Task,
    method: Method,
    how: Solving,
    mpc: bool = False,
    samples: Samples = 1000,
    video: Annotated[Path | None, "FILE"] = None,
    viewer: bool = False,
):
    """Solve a task of a MuJoCo model, evaluate the policy under noise, and draw and film it.

    Args:
      mpc: plan anew at every stage, in closed loop with the simulation; by ilqg unless --method says otherwise.
      video: an .mp4 or .gif to write in place of animation.gif in the folder.
      viewer: show the motion in MuJoCo's window.
    """
    check_window(viewer)
    folder, name, problem = task.make()
    method.name = method.name or ("ilqg" if mpc else "ppi")
    method = method.make(problem.horizon, task.given.get("method"), samples=SEQUENCES)
    method.plan(problem)  # refuses what it cannot solve
    if video is not None:
        from ppi_robotics import rendering

        rendering.check_path(video)
    report.begin(problem.plant.name, how.out or Path("out", folder))
    report.facts = setting(problem, method, how.seed) | {"task": name, "dt": problem.plant.dt}
    report.title = f"{name}, {heading(problem, how.seed, None if mpc else samples)}"
    how = replace(how, starts=how.starts or STARTS.get(name))
    if mpc:
        solve_by_replanning(report, problem, method, how, viewer, video)
    else:
        solve_once(report, problem, method, how, samples, viewer, video)


def solve_once(report: Report, problem, method, how: Solving, samples, viewer, video):
    """Solve, evaluate, draw and film."""
    name = label(method)
    solution = run_solve(problem, method, how.seed, how.starts, report)
    met = bool(problem.success(solution.x[-1:])[0])
    report.solved = solution.status.solved and met
    rows = solve_rows(solution) | {"success without noise": "yes" if met else "no"}
    report.add(solve_facts(solution) | {"success": met, "policy": policy_of(report)}, columns={name: rows})
    if how.trace:
        add_trace(report, solution, name)
    stop_if(solution.interrupted)
    if solution.status.solved and not met:
        remark(
            f"{name} converged, but its policy misses the task at the end even without noise; give more stages with "
            "--horizon, more --starts, or a goal within reach"
        )
    result = run_evaluate(problem, solution.policy, name, samples, how.seed)
    report.add(evaluate_facts(result), columns={name: evaluate_rows(result)}, lines=gaps({name: result}))
    stop_if(result.interrupted)
    shown = draw_figures(problem, solution.policy, name, {name: result}, report)
    if shown is not None:
        film(problem.plant, shown[0], video, report)
    if viewer:
        import numpy as np

        rng = np.random.default_rng(how.seed)
        simulate(problem, solution.policy, start(problem, rng), rng, True)


def solve_by_replanning(report: Report, problem, method, how: Solving, viewer, video):
    """Simulate receding-horizon control, draw and film it."""
    from ppi_robotics import plotting

    name = label(method)
    rollouts, planning = run_mpc(problem, method, how, viewer)
    cost, met = float(rollouts.cost[0]), bool(problem.success(rollouts.x[0, -1:])[0])
    facts = {key: getattr(planning, name) for key, name in PLANNING.items()}
    report.add({"success": met, "cost": cost} | facts, columns={name: planning_rows(planning, cost, met)})
    report.solved = met
    with progress("drawing the picture"):
        figure = plotting.trajectory(problem.plant, rollouts, name=name)[0].figure
        figure.legends[0].remove()  # a single run has no spread
        report.write_figure("trajectory.png", figure)
    film(problem.plant, rollouts.x[0], video, report)
    if not met:
        remark(f"{name} misses the task after {problem.horizon} stages; give more with --horizon")


# -- simulations -------------------------------------------------------------------------------------------------------


class Disturbance:
    """Adds the noise of a plant's controls to those of an `MjData`, drawn once a stage."""

    def __init__(self, plant, rng):
        self.plant, self.rng, self.steps = plant, rng, 0

    def __call__(self, data):
        """Disturb the controls of the next physics step."""
        import numpy as np

        factors = self.plant.noise.control
        if self.steps % self.plant.substeps == 0:
            self.drawn = self.rng.standard_normal(len(factors))
        self.steps += 1
        data.ctrl += np.einsum("kij,j,k->i", factors, data.ctrl, self.drawn)


def run_mpc(problem, method, how: Solving, viewer):
    """Replan at every stage for as many stages as the horizon has.

    Returns:
      `Rollouts` of the one simulation, stage by stage, and the `PlanningReport`.
    """
    import numpy as np

    plant, rng, name = problem.plant, np.random.default_rng(how.seed), label(method)
    step, text = plant.model.opt.timestep, f"{name}: replanning"
    first, x = run_solve(problem, method, how.seed, how.starts), start(problem, rng)
    stop_if(first.interrupted)
    short = replace(method, max_iterations=REPLAN_ITERATIONS)
    with progress(text) as say, ppi.RecedingHorizon(problem, short, seed=how.seed, policy=first.policy) as mpc:

        def follow(done, total):
            say(f"{text}, {done * step:.2f} of {total * step:.2f} s", done, total)

        mpc.prepare(x)
        record = simulate(problem, mpc, x, rng, viewer, follow)
        planning = replace(mpc.report(), first_seconds=first.seconds)
    stop_if(record.ended == "interrupted")
    x, u = record.x[:: plant.substeps], record.ctrl[:: plant.substeps]
    cost = np.array([problem.cost.trajectory(x, u)])
    return ppi.Rollouts(x[None], u[None], cost, first=0, seed=how.seed), planning


def simulate(problem, policy, x, rng, viewer, follow=None):
    """`Run` of a policy or a planner from a state (nx,) over the problem's horizon, under the plant's noise."""
    from mujoco import MjData

    plant = problem.plant
    data = MjData(plant.model)
    plant.write(data, x)
    controller, seconds = ppi.Controller(policy, plant, interpolate=False), problem.horizon * plant.dt
    return ppi.run(controller, plant.model, data, seconds, viewer, progress=follow, push=Disturbance(plant, rng))


def start(problem, rng):
    """A state (nx,) drawn from the initial belief."""
    from ppi_robotics.gaussian import covariance_factor

    factor = covariance_factor(problem.initial.cov)
    return problem.plant.retract(problem.initial.mean, factor @ rng.standard_normal(factor.shape[1]))


# -- what is shown -----------------------------------------------------------------------------------------------------


def planning_rows(planning, cost: float, met: bool) -> dict[str, str]:
    """How receding-horizon control went, for a table."""
    failures = planning.failures
    return {
        "success at the end": "yes" if met else "no",
        "cost of the run": f"{cost:.6g}",
        "replans": str(planning.replans),
        "failed": f"{failures} (last: {planning.message})" if failures else "0",
        "past the deadline": f"{planning.misses} (of {1e3 * planning.deadline:.3g} ms)",
        "ms to replan": f"{1e3 * planning.mean_seconds:.3g}, at most {1e3 * planning.max_seconds:.3g}",
        "seconds for the first plan": f"{planning.first_seconds:.2f}",
    }


def film(plant, x, video: Path | None, report: Report) -> None:
    """Write states (T + 1, nx) as animation.gif into the folder, or as a video elsewhere."""
    from ppi_robotics import rendering

    with progress("drawing the animation"):
        if video is None:
            report.write("animation.gif", lambda path: rendering.save(path, plant.model, x, plant.dt))
        else:
            rendering.save(video, plant.model, x, plant.dt)
            report.written.append(str(video))


def check_window(viewer: bool) -> None:
    """Raise `ProblemError` if a window is wanted where there is no display."""
    if viewer and sys.platform.startswith("linux") and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        raise ProblemError("--viewer needs a display, and there is none; leave it out, and give --video motion.mp4")
