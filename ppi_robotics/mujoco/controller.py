"""Policies in anybody's MuJoCo loop.

controller = ppi.Controller(solution.policy, plant)
while data.time < 5.0:
    data.ctrl[:] = controller(data)
    mujoco.mj_step(model, data)
"""

import types

import numpy as np

from ppi_robotics.checks import as_finite, check_flag, check_number, shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.policy import LinearGaussianPolicy
from ppi_robotics.streams import LARGEST_STATE


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

    def __init__(self, policy, plant, interpolate=True):
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

    def reset(self, time=None):
        """Begin anew: stage 0 is at this simulation time [s], or the next call's. A planner is left as it is."""
        self.start = None if time is None else check_number(time, "time")
        self._stage, self._command = None, None

    def __call__(self, data):
        """Control (nu,) for the state and the time of an `MjData`.

        Raises:
          ProblemError: if the data belongs to a model of other sizes, or its state is not finite.
        """
        x = self._read(data)
        if self.start is None:
            self.start = float(data.time)
        elapsed = data.time - self.start
        if isinstance(self.policy, LinearGaussianPolicy):
            x_ref, u_ref, K = self._law(elapsed)
            u = u_ref + K @ self.plant.difference(x[None], x_ref[None])[0]
        else:
            u = self._ask(x, elapsed)
        return np.clip(u, *self.plant.control_limits.T)

    def _read(self, data):
        x = self.plant.read(data)
        if not (np.abs(x) <= LARGEST_STATE).all():
            raise ProblemError(
                f"the simulation's state is not finite or out of range at {data.time:g} s; it diverged, start it anew"
            )
        return x

    def _law(self, elapsed):
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
