"""Policies in anybody's MuJoCo loop, and a loop for those who have none of their own.

controller = ppi.Controller(solution.policy, plant)
while data.time < 5.0:
    data.ctrl[:] = controller(data)
    mujoco.mj_step(model, data)

record = ppi.run(ppi.Controller(solution.policy, plant), model, data, seconds=5.0, video="swing.mp4")
"""

import os
import sys
import time as clock
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics.checks import MOST_COUNT, as_finite, check_flag, check_number, shown
from ppi_robotics.errors import ProblemError, SimulationError
from ppi_robotics.gaussian import Record, frozen
from ppi_robotics.interruption import Held
from ppi_robotics.mujoco.plant import MujocoPlant
from ppi_robotics.policy import LinearGaussianPolicy
from ppi_robotics.streams import LARGEST_STATE

SLOWEST = 1e-6  # simulated seconds a second
REPORTS = 100  # calls of `progress` a run
REFRESH = 1 / 60  # seconds between pictures in the window
# after the first three MuJoCo resets the data and goes on; bad controls it replaces by zeros
BREAKDOWNS = ("mjWARN_BADQPOS", "mjWARN_BADQVEL", "mjWARN_BADQACC", "mjWARN_BADCTRL")
STATE = mujoco.mjtState.mjSTATE_QPOS | mujoco.mjtState.mjSTATE_QVEL | mujoco.mjtState.mjSTATE_ACT


class Planner(Protocol):
    """What can be asked for a control, such as a `RecedingHorizon`."""

    def command(self, x: np.ndarray) -> ArrayLike:
        """Control (nu,) at a state (nx,)."""


class Controller:
    """Controls for a simulation at any rate, from a policy that was planned stage by stage.

        u = clip(u_ref(s) + K(s) (x - x_ref(s))),   s = data.time - start

    x - x_ref is the plant's difference of states. The controller reads an `MjData` and writes nothing into it; it
    remembers when it started.

    Args:
      policy: `LinearGaussianPolicy` of the plant, for any horizon, beyond which its last stage acts; or an object with
        `command(x)`, such as a `RecedingHorizon`, which is asked for a control (nu,) once a stage.
      plant: `MujocoPlant`; the simulation may have another timestep or other sensors than the plant's model.
      interpolate: reference and gain linear between stages, so that the control has no steps; False holds them over a
        stage, as the policy was planned.

    Attributes:
      start: simulation time of stage 0 [s]; None before the first call, which sets it.

    Raises:
      ProblemError: if the policy does not fit the plant.
    """

    def __init__(self, policy: LinearGaussianPolicy | Planner, plant: MujocoPlant, interpolate: bool = True):
        if not all(hasattr(plant, name) for name in ("model", "read", "difference", "control_limits")):
            raise ProblemError(f"plant is {shown(plant)}; expected a MujocoPlant")
        if isinstance(policy, LinearGaussianPolicy):
            policy.check(types.SimpleNamespace(plant=plant, horizon=policy.horizon))  # any horizon will do
        elif not callable(getattr(policy, "command", None)):
            raise ProblemError(
                f"policy is {shown(policy)}; expected a LinearGaussianPolicy such as solution.policy, or an object "
                "with command(x)"
            )
        self.policy, self.plant, self.interpolate = policy, plant, check_flag(interpolate, "interpolate")
        self.reset()

    def reset(self, time: float | None = None) -> None:
        """Start over: stage 0 is at this simulation time [s], or the next call's. A planner is left as it is."""
        self.start = None if time is None else check_number(time, "time")
        self._stage, self._command = None, None

    def __call__(self, data: Any) -> np.ndarray:
        """Control (nu,) for the state and the time of an `MjData`.

        Raises:
          ProblemError: if the data belongs to a model of other sizes, or its state is not finite.
        """
        x = self._read(data)
        if self.start is None:
            self.start = float(data.time)
        elapsed = data.time - self.start
        if isinstance(self.policy, LinearGaussianPolicy):
            x_ref, u_ref, K = self._reference(elapsed)
            u = u_ref + K @ self.plant.difference(x[None], x_ref[None])[0]
        else:
            u = self._ask(x, elapsed)
        return np.clip(u, *self.plant.control_limits.T)

    def _read(self, data):
        x = self.plant.read(data)
        if not (np.abs(x) <= LARGEST_STATE).all():
            raise ProblemError(
                f"the simulation's state is not finite or out of range at {data.time:g} s; it diverged, start it again"
            )
        return x

    def _reference(self, elapsed):
        """Reference state and control, and gain."""
        if self.interpolate:
            return self.policy.interpolate(elapsed)
        t = min(max(_stage(elapsed, self.policy.dt), 0), self.policy.horizon - 1)
        return self.policy.x_ref[t], self.policy.u_ref[t], self.policy.K[t]

    def _ask(self, x, elapsed):
        """The planner's control of this stage."""
        stage = _stage(elapsed, self.plant.dt)
        if stage != self._stage:
            self._command = as_finite(self.policy.command(x), "command(x)", (self.plant.nu,)).copy()
            self._stage = stage
        return self._command


def _stage(elapsed, dt):
    """Number of the stage; times are sums of many timesteps, which round."""
    return int(np.floor(elapsed / dt + 1e-6))


@dataclass(frozen=True, eq=False)
class Run(Record):
    """What a simulation did, one row a physics step.

    Attributes:
      time: (n + 1,) [s].
      x: (n + 1, nq + nv + na) positions, velocities and activations, the state of a `MujocoPlant`.
      ctrl: (n, nu) applied controls.
      ended: "finished", "interrupted" by Ctrl-C, or "closed" with the window.
    """

    time: np.ndarray
    x: np.ndarray
    ctrl: np.ndarray
    ended: str = "finished"

    def __post_init__(self):
        for name in ("time", "x", "ctrl"):
            object.__setattr__(self, name, frozen(getattr(self, name)))


def run(
    controller: Callable[[Any], ArrayLike],
    model: Any,
    data: Any,
    seconds: float,
    viewer: bool = False,
    video: str | os.PathLike[str] | None = None,
    realtime: float | None = None,
    progress: Callable[[int, int], object] | None = None,
    push: Callable[[Any], object] | None = None,
) -> Run:
    """Simulate at the model's own timestep, with the controller asked before every step.

    Ctrl-C and closing the window end the run, which keeps what it has; the video is then as long.

    Args:
      controller: function of an `MjData` to controls (nu,), such as a `Controller`.
      model, data: `MjModel` and its `MjData`, which goes on from where it is.
      seconds: of simulated time.
      viewer: show MuJoCo's window meanwhile.
      video: path of an .mp4 or .gif to write; None for none.
      realtime: simulated seconds a second, such as 1.0, or 0.5 for slow motion; None is 1.0 with a window, and without
        one as fast as possible.
      progress: function of (steps done, steps), called now and then.
      push: function of the `MjData`, called before every step, for forces of your own in data.xfrc_applied.

    Returns:
      `Run`.

    Raises:
      ProblemError: if an argument does not fit, there is no display for the window, or the video cannot be written.
      SimulationError: if the simulation diverges; it says when and what MuJoCo said, and carries the `Run` until then.
    """
    _check(controller, model, data, progress, push)
    span, viewer = check_number(seconds, "seconds"), check_flag(viewer, "viewer")
    steps = round(min(span / model.opt.timestep, MOST_COUNT))
    if steps < 1:
        raise ProblemError(f"seconds is {span:g}; expected at least the model's timestep, {model.opt.timestep:g}")
    pace = (1.0 if viewer else None) if realtime is None else check_number(realtime, "realtime", most=1e6)
    if pace is not None and pace < SLOWEST:
        raise ProblemError(f"realtime is {pace:g}; expected simulated seconds a second, such as 1.0")
    if video is not None:
        from ppi_robotics import rendering

        rendering.check_path(video)
    simulation = Simulation(controller, model, data, push)
    with Display(model, data, viewer, pace) as display:
        ended = _advance(simulation, steps, display, progress)
    record = simulation.record(ended)
    if video is not None:
        rendering.save(video, model, record.x, record.time, data=data)
    return record


class Simulation:
    """A simulation that is recorded and stops where MuJoCo would reset it."""

    def __init__(self, controller, model, data, push):
        self.controller, self.model, self.data, self.push = controller, model, data, push
        for kind in self._breakdowns():
            data.warning[kind].number = 0  # those of earlier runs
        self.size = mujoco.mj_stateSize(model, int(STATE))
        self.time, self.x, self.ctrl = [data.time], [self._state()], []

    def step(self):
        """Ask the controller, step, record.

        Raises:
          SimulationError: if the state or the control is not finite, or MuJoCo gave up.
        """
        model, data = self.model, self.data
        ctrl = as_finite(self.controller(data), "answer of the controller", (model.nu,))
        data.ctrl[:] = ctrl
        if self.push is not None:
            self.push(data)
        mujoco.mj_step(model, data)
        reached = self._state()
        self._check(reached)
        self.time.append(data.time)
        self.x.append(reached)
        self.ctrl.append(ctrl.copy())

    def record(self, ended):
        """The `Run` so far."""
        done = len(self.ctrl)  # Ctrl-C may come between two appends
        ctrl = np.array(self.ctrl).reshape(done, self.model.nu)
        return Run(np.array(self.time[: done + 1]), np.array(self.x[: done + 1]), ctrl, ended)

    def _state(self):
        state = np.empty(self.size)
        mujoco.mj_getState(self.model, self.data, state, int(STATE))
        return state

    def _check(self, reached):
        raised = [kind for kind in self._breakdowns() if self.data.warning[kind].number]
        if raised:
            reason = mujoco.mju_warningText(raised[0], self.data.warning[raised[0]].lastinfo)
        elif not np.isfinite(reached).all():
            reason = "its state is not finite"
        elif self.data.time <= self.time[-1]:
            reason = "its time went back, as after a reset"
        else:
            return
        raise SimulationError(
            f"the simulation broke down after {self.time[-1]:g} s: {reason.rstrip('.')}; try a smaller timestep, or a "
            "policy that stays closer to its reference",
            self.record("broke down"),
        )

    @staticmethod
    def _breakdowns():
        return [int(getattr(mujoco.mjtWarning, name)) for name in BREAKDOWNS]


class Display:
    """Keeps a simulation at its pace and shows it in MuJoCo's window, or neither.

    Args:
      model, data: of the simulation.
      viewer: whether to open the window.
      pace: simulated seconds a second; None as fast as possible.

    Raises:
      ProblemError: on entering, if no window can be opened.
    """

    def __init__(self, model, data, viewer, pace):
        self.model, self.data, self.viewer, self.pace, self.window = model, data, viewer, pace, None

    def __enter__(self):
        if self.viewer:
            self.window = _open_window(self.model, self.data)
        self.began, self.first, self.shown = clock.perf_counter(), self.data.time, -np.inf
        return self

    def __exit__(self, *_):
        if self.window is not None:
            self.window.close()

    def update(self):
        """Show what is due and wait until it is time; False once the window is closed."""
        if self.window is not None:
            if not self.window.is_running():
                return False
            if clock.perf_counter() - self.shown >= REFRESH:
                self.window.sync()
                self.shown = clock.perf_counter()
        if self.pace is not None:
            ahead = (self.data.time - self.first) / self.pace - (clock.perf_counter() - self.began)
            if ahead > 0:
                clock.sleep(ahead)
        return True


def _advance(simulation, steps, display, progress):
    """Make the steps; how they ended."""
    with Held() as hold:
        try:
            for done in range(1, steps + 1):
                simulation.step()
                if progress is not None and (done == steps or done % max(steps // REPORTS, 1) == 0):
                    progress(done, steps)
                if not display.update():
                    return "closed"
                if hold.pressed and done < steps:
                    return "interrupted"
        except KeyboardInterrupt:
            if hold.insisted:
                raise
            return "interrupted"
    return "finished"


def _check(controller, model, data, progress, push):
    for name, value, kind in (("model", model, mujoco.MjModel), ("data", data, mujoco.MjData)):
        if not isinstance(value, kind):
            raise ProblemError(f"{name} is a {type(value).__name__}; expected a mujoco.{kind.__name__}")
    if (data.qpos.size, data.qvel.size, data.ctrl.size) != (model.nq, model.nv, model.nu):
        raise ProblemError(
            f"data has {data.qpos.size} positions and {data.ctrl.size} controls, the model {model.nq} and {model.nu}; "
            "give the MjData of this model"
        )
    for name, value in (("controller", controller), ("progress", progress), ("push", push)):
        if not callable(value) and (value is not None or name == "controller"):
            raise ProblemError(f"{name} is a {type(value).__name__}; expected a function")


def _open_window(model, data):
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise ProblemError("there is no display for a window; leave out viewer, and give video='motion.mp4' to see it")
    try:
        import glfw
        import mujoco.viewer

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = glfw.init()
        if not found:  # the window's own thread would fail and leave this one waiting
            raise ProblemError("the display cannot be opened; leave out viewer, and give video='motion.mp4' to see it")
        return mujoco.viewer.launch_passive(model, data)
    except (ImportError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ProblemError(f"MuJoCo's window cannot be opened: {reason}; leave out viewer, or give a video") from error
