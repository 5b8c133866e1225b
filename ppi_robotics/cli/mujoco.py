"""The command `mujoco`: tasks of ready-made bodies and of any MJCF file, solved once or by receding horizon."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ppi_robotics.cli.arguments import (
    METHODS,
    Eta,
    Json,
    Out,
    Samples,
    Seed,
    Starts,
    Theta,
    check_counts,
    listed,
    make_method,
    option,
    real,
    whole,
)
from ppi_robotics.cli.mujoco_task import Wish, make_task
from ppi_robotics.cli.output import (
    evaluate_facts,
    evaluate_rows,
    gaps,
    heading,
    label,
    progress,
    remark,
    setting,
    show_json,
    show_table,
    solve_facts,
    solve_rows,
)
from ppi_robotics.cli.work import draw_figures, run_evaluate, run_solve, session, stop_if, write_figure
from ppi_robotics.errors import ProblemError

Model = Annotated[
    str, typer.Argument(metavar="BODY|FILE.xml", help="A body; `ppi-robotics plants` lists them. Or any MJCF file.")
]
TaskName = Annotated[
    str | None,
    typer.Option("--task", metavar="NAME", help="Of a file: balance (the default), swingup or reach; or of a body."),
]
Goal = Annotated[
    str | None,
    typer.Option("--goal", metavar="X,Y,...", help="Place to reach in meters; positions or a keyframe to swing up to."),
]
Keyframe = Annotated[
    str | None,
    typer.Option("--keyframe", metavar="K", help="Where to start, or what to balance; the default state otherwise."),
]
Site = Annotated[str | None, typer.Option("--site", metavar="NAME", help="What reaches; the only site by default.")]
AnyMethod = Annotated[
    str | None,
    typer.Option("--method", metavar="NAME", help=f"{listed(METHODS)}; ppi by default, ilqg with --mpc."),
]
Mpc = Annotated[bool, typer.Option("--mpc", help="Plan anew at every stage, in closed loop with the simulation.")]
Noise = Annotated[
    float | None,
    option("--noise", "S", "Noise of the controls relative to their size; the task's own by default.", real),
]
Stages = Annotated[int | None, option("--horizon", "T", "Stages, not seconds; the task's own by default.", whole)]
Substeps = Annotated[int | None, option("--substeps", "N", "Physics steps a stage; about 20 ms by default.", whole)]
Video = Annotated[
    Path | None,
    typer.Option("--video", metavar="FILE", help="An .mp4 or .gif to write in place of animation.gif in the folder."),
]
Viewer = Annotated[bool, typer.Option("--viewer", help="Show the motion in MuJoCo's window.")]
SEQUENCES = 256  # a round of methods that sample; physics takes longer than compiled plants
STARTS = {"balance": 1, "stand": 1, "reach": 2}  # small deviations have one optimum, and any way to a place will do


def mujoco(
    model: Model,
    task: TaskName = None,
    goal: Goal = None,
    keyframe: Keyframe = None,
    site: Site = None,
    method: AnyMethod = None,
    eta: Eta = None,
    theta: Theta = None,
    mpc: Mpc = False,
    horizon: Stages = None,
    substeps: Substeps = None,
    noise: Noise = None,
    starts: Starts = None,
    samples: Samples = 1000,
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
    video: Video = None,
    viewer: Viewer = False,
):
    """Solve a task of a MuJoCo model, evaluate the policy under noise, and draw and film it."""
    check_counts(seed, starts, samples)
    check_window(viewer)
    folder, task, problem = make_task(model, Wish(task, goal, keyframe, site, horizon, substeps, noise))
    method = make_method(method or ("ilqg" if mpc else "ppi"), eta, theta, problem.horizon, samples=SEQUENCES)
    method.plan(problem)  # refuses what it cannot solve
    if video is not None:
        from ppi_robotics import rendering

        rendering.check_path(video)
    told, solved = Told(), False
    with session(problem, out or Path("out", folder)) as files:
        facts = setting(problem, method, seed) | {"task": task, "dt": problem.plant.dt}
        starts = starts or STARTS.get(task)
        if mpc:
            solved = replanned(problem, method, seed, starts, viewer, video, files, told)
        else:
            solved = solved_once(problem, method, seed, starts, samples, viewer, video, files, told)
    if not told.rows:
        return files.end(1)
    if as_json:
        show_json(facts | told.facts | files.facts())
    else:
        title = f"{task}, {heading(problem, seed, None if mpc else samples)}"
        show_table(title, {label(method): told.rows}, files, told.lines)
    return files.end(0 if solved else 1)


class Told:
    """What is to be told about a task, gathered as it becomes known.

    Attributes:
      facts: for JSON.
      rows, lines: for a table and below it.
    """

    def __init__(self):
        self.facts, self.rows, self.lines = {}, {}, []

    def add(self, facts, rows, lines=()):
        """Tell more."""
        self.facts |= facts
        self.rows |= rows
        self.lines += lines


def solved_once(problem, method, seed, starts, samples, viewer, video, files, told):
    """Whether one solve meets the task."""
    name = label(method)
    solution = run_solve(problem, method, seed, starts, files)
    met = bool(problem.success(solution.x[-1:])[0])
    facts = solve_facts(solution) | {"success": met, "policy": files.policy}
    told.add(facts, solve_rows(solution) | {"success without noise": "yes" if met else "no"})
    stop_if(solution.interrupted)
    if solution.status.solved and not met:
        remark(
            f"{name} converged, but its policy misses the task at the end even without noise; give more stages with "
            "--horizon, more --starts, or a goal within reach"
        )
    results = {name: run_evaluate(problem, solution.policy, name, samples, seed)}
    told.add(evaluate_facts(results[name]), evaluate_rows(results[name]), gaps(results))
    stop_if(results[name].interrupted)
    shown = draw_figures(problem, solution.policy, name, results, files)
    if shown is not None:
        film(problem.plant, shown[0], video, files)
    if viewer:
        from ppi_robotics.cli.mujoco_simulation import show

        show(problem, solution.policy, seed)
    return solution.status.solved and met


def replanned(problem, method, seed, starts, viewer, video, files, told):
    """Whether receding-horizon control meets the task."""
    from ppi_robotics import plotting
    from ppi_robotics.cli.mujoco_simulation import run_mpc

    loop = run_mpc(problem, method, seed, starts, viewer)
    told.add(loop_facts(loop), loop_rows(loop))
    with progress("drawing the picture"):
        figure = plotting.trajectory(problem.plant, loop.rollouts, name=label(method))[0].figure
        figure.legends[0].remove()  # a single run has no spread
        write_figure(figure, "trajectory.png", files)
    film(problem.plant, loop.rollouts.x[0], video, files)
    if not loop.success:
        remark(f"{label(method)} misses the task after {problem.horizon} stages; give more with --horizon")
    return loop.success


def loop_facts(loop):
    """How receding-horizon control went, for JSON."""
    report = loop.report
    return {
        "success": loop.success,
        "cost": float(loop.rollouts.cost[0]),
        "replans": report.replans,
        "adopted": report.adopted,
        "failed": report.failures,
        "last_failure": report.message,
        "deadline_misses": report.misses,
        "deadline_seconds": report.deadline,
        "mean_replan_seconds": report.mean_seconds,
        "max_replan_seconds": report.max_seconds,
        "first_plan_seconds": report.first_seconds,
    }


def loop_rows(loop):
    """How receding-horizon control went, for a table."""
    report = loop.report
    failed = f"{report.failures} (last: {report.message})" if report.failures else "0"
    return {
        "success at the end": "yes" if loop.success else "no",
        "cost of the run": f"{loop.rollouts.cost[0]:.6g}",
        "replans": str(report.replans),
        "failed": failed,
        "past the deadline": f"{report.misses} (of {1e3 * report.deadline:.3g} ms)",
        "ms to replan": f"{1e3 * report.mean_seconds:.3g}, at most {1e3 * report.max_seconds:.3g}",
        "seconds for the first plan": f"{report.first_seconds:.2f}",
    }


def film(plant, x, video, files):
    """Write states (T + 1, nx) as animation.gif into the folder, or as a video elsewhere."""
    from ppi_robotics import rendering

    with progress("drawing the animation"):
        if video is None:
            files.write("animation.gif", lambda path: rendering.save(path, plant.model, x, plant.dt))
        else:
            rendering.save(video, plant.model, x, plant.dt)
            files.written.append(str(video))


def check_window(viewer):
    """Raise `ProblemError` if a window is wanted where there is no display."""
    if viewer and sys.platform.startswith("linux") and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        raise ProblemError("--viewer needs a display, and there is none; leave it out, and give --video motion.mp4")
