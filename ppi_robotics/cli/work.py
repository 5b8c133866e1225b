"""What the commands do: solving, evaluating and drawing with live progress, into a folder of files."""

import io
import logging
import os
import signal
import sys
import warnings
from contextlib import contextmanager, nullcontext

import ppi_robotics as ppi
from ppi_robotics.cli.output import CompileNotice, label, progress, remark
from ppi_robotics.errors import ProblemError
from ppi_robotics.files import write_whole

DRAWN = 500  # rollouts behind the bands of a figure


class Interrupted(Exception):
    """Ctrl-C in a session; the message says what is written."""


class Files:
    """The folder for output, made when the first file is written.

    Attributes:
      folder: path, or None if nothing is to be written.
      written: paths of the files so far.
      interrupted: whether Ctrl-C ended the work, so that results are those of until then.

    Raises:
      ProblemError: if the folder cannot be made or written to.
    """

    def __init__(self, folder):
        self.folder, self.written, self.interrupted = folder, [], False
        if folder is None:
            return
        try:
            nearest = next(p for p in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(p))
            usable = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
        except OSError as error:
            raise ProblemError(f"--out is '{folder}', which fails ({error.strerror}); give a folder") from error
        if not usable:
            reason = "cannot be written to" if nearest.is_dir() else "is no folder"
            raise ProblemError(f"--out is '{folder}', but '{nearest}' {reason}; give a folder that can be made")

    @property
    def policy(self):
        """Path of the policy of a solve, None where it was not written."""
        path = str(self.folder / "policy.npz")
        return path if path in self.written else None

    @contextmanager
    def until_interrupted(self):
        """Context whose body ends with Ctrl-C, which is noted; what the body has kept by then is shown."""
        try:
            yield
        except KeyboardInterrupt:
            self.interrupted = True

    def write(self, name, save):
        """Write a file by a function of its path."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ProblemError(f"cannot make folder '{self.folder}' ({error.strerror}); give another --out") from error
        save(self.folder / name)
        self.written.append(str(self.folder / name))

    def facts(self):
        """The files and whether the work was interrupted, for JSON."""
        return {"files": self.written, "interrupted": self.interrupted}

    def end(self, code):
        """The exit code, unless the work was interrupted.

        Raises:
          Interrupted: then; it says what is written.
        """
        if self.interrupted:
            raise Interrupted(f"interrupted; written so far: {', '.join(self.written) or 'nothing'}")
        return code


@contextmanager
def session(problem, folder):
    """The `Files` of a command; within, compiling is announced, and Ctrl-C ends the body and is noted in the files."""
    files, notice, log = Files(folder), CompileNotice(problem.plant.name), logging.getLogger("ppi_robotics")
    log.addHandler(notice)
    try:
        with files.until_interrupted():
            yield files
    finally:
        log.removeHandler(notice)


def run_solve(problem, method, seed, starts, files=None):
    """`Solution`, with a live line of progress; its policy is written at once if there are files.

    A policy that only stands in for an answer is not written, lest it replace a better one.
    Where Ctrl-C ended it, the caller is to keep it and to `stop_if`.
    """
    name = label(method)
    with progress(f"{name}: solving") as say:
        solution = ppi.solve(problem, method, seed=seed, starts=starts, callback=count_iterations(say, name))
    if files is not None and not solution.stands_in:
        files.write("policy.npz", solution.policy.save)
    remark_unless_solved(solution, name)
    if files is not None and solution.stands_in:
        remark(f"{name} has no policy of its own, so policy.npz is not written")
    return solution


def exit_code(solution):
    """0 if solved, else 1."""
    return 0 if solution.status.solved else 1


def remark_unless_solved(solution, name):
    """Say why a solve did not end in an answer to rely on."""
    if not solution.status.solved:
        remark(f"{name} is not solved: {solution.explain()}")


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
    return lambda done, total: say(f"{name}: {done} of {total} rollouts")


def stop_if(interrupted):
    """Go on with Ctrl-C where a solve or an evaluation has returned what it had, and that is kept."""
    if interrupted:
        raise KeyboardInterrupt


def draw_figures(problem, policy, name, results, files, animate=False):
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

    def write_animation():
        from ppi_robotics import animation

        shown = problem.plant, rollouts.x[middle], rollouts.u[middle], f"{problem.plant.name} · {name}"
        files.write("animation.gif", lambda path: animation.save(path, *shown))

    with progress("drawing the pictures"), alongside(write_animation) if animate else nullcontext():
        from ppi_robotics import plotting

        axes = plotting.trajectory(problem.plant, rollouts, nominal_rollout(problem, policy)[:2], name)
        write_figure(axes[0].figure, "trajectory.png", files)
        draw_costs(results, files)
    if animate and str(files.folder / "animation.gif") not in files.written:
        files.written.append(str(files.folder / "animation.gif"))
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


def draw_costs(results, files):
    """Write cost.png."""
    from ppi_robotics import plotting

    write_figure(plotting.cost_distribution(results).figure, "cost.png", files)


def write_figure(figure, name, files):
    """Write a figure, all of it or nothing."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    files.write(name, lambda path: write_whole(path, buffer.getvalue()))
