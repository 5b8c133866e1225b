"""Solving, evaluating and drawing with live progress, and what of them is shown."""

import os
import signal
import sys
import warnings
from contextlib import contextmanager, nullcontext

import ppi_robotics as ppi
from ppi_robotics.cli.output import progress, remark
from ppi_robotics.cli.report import Report, stop_if

DRAWN = 500  # rollouts behind the bands of a figure
SIGNS = {"eta": "η", "theta": "θ"}  # of weights in the labels of methods
NAMES = {"ilqg": "iLQG", "psi": "Psi", "predictive_sampling": "Predictive sampling"}  # where not in capitals
SAMPLED = {"sequences": "samples"} | {  # options of methods that sample, as the command line and Python call them
    name: name for name in ("temperature", "spread", "smoothing", "noise_draws", "feedback", "covariance")
}
STATISTICS = ("mean", "variance", "cvar")  # of which every evaluation gives intervals
TRACED = ("start", "index", "phase", "cost", "change", "defect", "step", "damping", "barrier")  # columns of --trace


# -- work --------------------------------------------------------------------------------------------------------------


def run_solve(problem, method, seed, starts, report: Report | None = None):
    """`Solution`, with a live line of progress; its policy is written at once if there is a report with a folder.

    A policy that only stands in for an answer is not written, lest it replace a better one.
    Where Ctrl-C ended it, the caller is to keep it and to `stop_if`.
    """
    name = label(method)
    with progress(f"{name}: solving") as say:
        solution = ppi.solve(problem, method, seed=seed, starts=starts, callback=count_iterations(say, name))
    if report is not None and not solution.stands_in:
        report.write("policy.npz", solution.policy.save)
    if not solution.status.solved:
        remark(f"{name} is not solved: {solution.explain()}")
    if report is not None and solution.stands_in:
        remark(f"{name} has no policy of its own, so policy.npz is not written")
    return solution


def run_evaluate(problem, policy, name, samples, seed):
    """`Evaluation`, with a live line of progress; where Ctrl-C ended it, as for `run_solve`."""
    with progress(f"{name}: evaluating") as say:
        return ppi.evaluate(problem, policy, samples, seed, progress=count_rollouts(say, name))


def count_iterations(say, name):
    """The callback of a solve."""

    def follow(row):
        start = f"start {row.start + 1}, " if row.start else ""
        say(f"{name}: {start}iteration {row.index}, cost {row.cost:.6g}, change {row.change:.2g}")

    return follow


def count_rollouts(say, name):
    """The progress function of an evaluation."""
    return lambda done, total: say(f"{name}: {done} of {total} rollouts", done, total)


# -- words -------------------------------------------------------------------------------------------------------------


def label(method) -> str:
    """Name of a method in tables and figures."""
    name = NAMES.get(method.name, method.name.upper())
    weights = [f"{sign} = {getattr(method, key):g}" for key, sign in SIGNS.items() if hasattr(method, key)]
    rule = getattr(getattr(method, "expansion", None), "rule", None)
    details = [*weights, rule] if rule else weights
    return f"{name} ({', '.join(details)})" if details else name


def heading(problem, seed, samples=None) -> str:
    """What a table is about."""
    plant, T, level = problem.plant, problem.horizon, noise_level(problem.plant)
    noise = f"sigma {level:g}" if hasattr(plant, "sigma") else f"{100 * level:g} % noise on the controls"
    about = f"{plant.name}: {T} stages, {T * plant.dt:g} s"
    if samples is None:
        return f"{about}, {noise}, seed {seed}"
    return f"{about}, {samples} noisy rollouts, {noise}, seed {seed}; 95 % intervals in brackets"


def noise_level(plant) -> float:
    """A plant's sigma, where it has one; else the largest noise of a control relative to its size."""
    if hasattr(plant, "sigma"):
        return plant.sigma
    factors = getattr(plant.noise, "control", None)
    return 0.0 if factors is None else float(factors.max(initial=0.0))


def setting(problem, method, seed) -> dict:
    """What was asked for, for JSON."""
    facts = {"plant": problem.plant.name, "horizon": problem.horizon, "noise": noise_level(problem.plant), "seed": seed}
    if method is None:
        return facts
    facts |= {"method": method.name, "eta": getattr(method, "eta", None), "theta": getattr(method, "theta", None)}
    if not hasattr(method, "smoothing"):
        return facts
    chosen = {name: getattr(method, field) for name, field in SAMPLED.items()}
    return facts | {name: value if isinstance(value, int | str) else repr(value) for name, value in chosen.items()}


def solve_facts(solution) -> dict:
    """How a solve ended, for JSON."""
    return {
        "status": solution.status.name.lower(),
        "iterations": solution.iterations,
        "starts": len(solution.starts),
        "nominal_cost": solution.nominal_cost,
        "critical_theta": None if solution.breakdown is None else solution.breakdown.critical,
        "solve_seconds": solution.seconds,
    }


def solve_rows(solution) -> dict[str, str]:
    """How a solve ended, for a table."""
    starts = f", best of {len(solution.starts)} starts" if len(solution.starts) > 1 else ""
    return {
        "status": solution.status.name.lower().replace("_", " "),
        "iterations": f"{solution.iterations}{starts}",
        "seconds to solve": f"{solution.seconds:.2f}",
        "nominal cost": f"{solution.nominal_cost:.6g}",
    }


def add_trace(report: Report, solution, name: str) -> None:
    """Add the iterations of a solve to a report, as a list for JSON and as a table."""
    rows = [{key: getattr(row, key) for key in TRACED} for row in solution.trace]
    report.facts["trace"] = rows
    texts = [[value if isinstance(value, str) else f"{value:.6g}" for value in row.values()] for row in rows]
    report.tables.append((f"iterations of {name}", [list(TRACED), *texts]))


def evaluate_facts(result) -> dict:
    """Statistics of the cost, for JSON."""
    names = (
        "samples",
        "mean",
        "standard_error",
        "std",
        "variance",
        "variance_standard_error",
        "success_rate",
        "diverged",
    )
    return {
        **{name: getattr(result, name) for name in names},
        "cvar": result.cvar(),
        **{f"{name}_interval": getattr(result, f"{name}_interval")() for name in (*STATISTICS, "success")},
        "no_interval": {name: why for name in STATISTICS if (why := result.why_no_interval(name)) is not None},
        "evaluate_seconds": result.seconds,
    }


def evaluate_rows(result) -> dict[str, str]:
    """Statistics of the cost, for a table."""
    from ppi_robotics.texts import share, with_interval

    rows = {
        "mean cost": with_interval(result.mean, result.mean_interval()),
        "std": f"{result.std:.4g}",
        "variance": with_interval(result.variance, result.variance_interval()),
        "CVaR 95 %": with_interval(result.cvar(), result.cvar_interval()),
    }
    if result.success_rate is not None:
        rows["success rate"] = share(result.success_rate, result.success_interval())
    if result.diverged:
        rows["diverged"] = str(result.diverged)
    return rows | {"seconds to evaluate": f"{result.seconds:.3f}"}


def gaps(results) -> list[str]:
    """Lines about the intervals that a table leaves out, from `Evaluation`s by name."""
    from ppi_robotics.statistics import missing_intervals

    return missing_intervals(results)


# -- pictures ----------------------------------------------------------------------------------------------------------


def draw_figures(problem, policy, name, results, report: Report, animate=False):
    """Write trajectory.png, cost.png and, if wanted, animation.gif of the rollout of median cost.

    Returns:
      States and controls of that rollout; None if every rollout diverged, so that there is nothing to draw.
    """
    import numpy as np

    from ppi_robotics.rollouts import nominal_rollout

    rollouts = ppi.rollout(problem, policy, min(results[name].samples, DRAWN), results[name].seed)
    stop_if(rollouts.interrupted)
    finite = np.flatnonzero(np.isfinite(rollouts.cost))
    if not len(finite):
        remark(f"{name}: every rollout diverged, there is nothing to draw")
        return None
    middle = finite[np.argsort(rollouts.cost[finite])[len(finite) // 2]]
    animate = animate and hasattr(problem.plant, "draw")

    def write_animation():
        from ppi_robotics import animation

        shown = problem.plant, rollouts.x[middle], rollouts.u[middle], f"{problem.plant.name} · {name}"
        report.write("animation.gif", lambda path: animation.save(path, *shown))

    with progress("drawing the pictures"), alongside(write_animation) if animate else nullcontext():
        from ppi_robotics import plotting

        axes = plotting.trajectory(problem.plant, rollouts, nominal_rollout(problem, policy)[:2], name)
        report.write_figure("trajectory.png", axes[0].figure)
        report.write_figure("cost.png", plotting.cost_distribution(results).figure)
    if animate and str(report.folder / "animation.gif") not in report.written:
        report.written.append(str(report.folder / "animation.gif"))
    return rollouts.x[middle], rollouts.u[middle]


@contextmanager
def alongside(work):
    """Do work in a process of its own while the body runs; where that is impossible or fails, do it here afterwards."""
    child = fork(work)
    try:
        yield
        done = child is not None and os.waitpid(child, 0)[1] == 0
    except BaseException:
        if child is not None:
            os.kill(child, signal.SIGINT)  # lets it remove what it has half written
            os.waitpid(child, 0)
        raise
    if not done:
        work()


def fork(work):
    """Start work in a copy of this process, which ends with it: the id of the copy, None where none can be made."""
    if not sys.platform.startswith("linux"):
        return None
    # Ctrl-C is held back until each process knows which it is
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with warnings.catch_warnings():
            # Python warns because of sleeping threads of numpy; the copy runs none of their code
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            code = 1
            try:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                work()
                code = 0
            finally:
                os._exit(code)  # without a word: the parent repeats what failed, and reports it
    except OSError:
        return None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return child
