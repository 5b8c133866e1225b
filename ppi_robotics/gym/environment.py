"""A problem as a gymnasium environment."""

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics.checks import as_finite, check_function, check_instance, check_seed, shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import covariance_factor
from ppi_robotics.manifold import unit
from ppi_robotics.problem import Problem, check_problem
from ppi_robotics.scales import far
from ppi_robotics.statistics import as_booleans


class Environment(gymnasium.Env):
    """A problem as an environment: an episode is one rollout of T stages, its return minus its cost.

    A step draws the noise of the plant, a reset the initial state, from the environment's `np_random`, which
    `reset(seed=...)` seeds: the same seed and number of resets meet the same noise under every policy. Rewards are
    minus the stage costs; that of stage T also holds minus the terminal cost, and ends the episode as `truncated`. An
    algorithm that bootstraps should treat that end as terminal, as the terminal cost stands for all later costs. The
    observation does not contain the time; gymnasium's `TimeAwareObservation` adds it.

    An episode whose state is beyond 1e8 of its scales, or whose state or cost is not finite, is `terminated` with
    reward -inf, as its rollout would cost infinity, and with the observation of the state before. A MuJoCo plant
    restarts its constraint solver at every step, so that with contacts rollouts agree only to the solver's tolerance.

    Spaces: actions are controls, a Box of the plant's limits, infinite where there are none; beyond them actions are
    clipped. Observations are states, a Box without bounds. Both are float64.

    `reset` and `step` return in info "time" [s] and "cost", that of the episode so far; the last step also "success",
    if the problem has a criterion. `reset(options={"initial": x})` starts from the state x (nx,).

    Args:
      problem: `Problem`.
      render_mode: None, or "rgb_array" for MuJoCo plants and ones with `draw` and `view`, see `plotting.animations`.
      observation: function from the state (nx,) to the observed vector; the state itself if None.
      camera: of the pictures of a MuJoCo plant: name or number of one of the model's cameras, or an `MjvCamera`; by
        default MuJoCo's free camera.

    Raises:
      ProblemError: if an argument cannot be used.
    """

    def __init__(
        self, problem: Problem, render_mode: str | None = None, observation: Callable | None = None, camera=None
    ):
        check_problem(problem)
        check_function(observation, "observation", "the state (nx,)")
        plant = problem.plant
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": max(round(1 / plant.dt), 1)}
        if render_mode is not None and not (isinstance(render_mode, str) and render_mode == "rgb_array"):
            raise ProblemError(f"render_mode is {shown(render_mode)}; expected None or 'rgb_array'")
        self.problem, self.render_mode, self._observation, self._size = problem, render_mode, observation, None
        self._factor = covariance_factor(problem.initial.cov)
        self._x, self._t, self._cost, self._over = None, 0, 0.0, True
        self._pictures = None if render_mode is None else _pictures(problem, camera)
        low, high = plant.control_limits.T
        self.action_space = gymnasium.spaces.Box(low, high, dtype=np.float64)
        self._size = self._observe(problem.initial.mean).shape
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, self._size, dtype=np.float64)

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Observation and info at the start of an episode.

        Raises:
          ProblemError: if options holds something else than "initial", a state (nx,).
        """
        super().reset(seed=None if seed is None else check_seed(seed))
        check_instance({} if options is None else options, "options", Mapping)
        plant, initial = self.problem.plant, self.problem.initial
        unknown = set(options or {}) - {"initial"}
        if unknown:
            raise ProblemError(f"options has {', '.join(map(shown, unknown))}; expected only 'initial', or nothing")
        drawn = self._factor @ self.np_random.standard_normal(self._factor.shape[1])
        if options:
            self._x = unit(as_finite(options["initial"], "initial", (plant.nx,)), plant.quaternions)
        else:
            self._x = plant.retract(initial.mean[None], drawn[None])[0]
        self._t, self._cost, self._over = 0, 0.0, False
        if self._pictures is not None:
            self._pictures.show(self._x)
        return self._observe(self._x), self._info()

    def step(self, action: ArrayLike) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Observation, reward, terminated, truncated and info of one stage.

        Raises:
          ProblemError: if the action is no finite vector (nu,), or no episode is under way.
        """
        if self._over:
            raise ProblemError("no episode is under way; call reset first")
        plant, cost = self.problem.plant, self.problem.cost
        u = np.clip(as_finite(action, "action", (plant.nu,)), *plant.control_limits.T)
        paid, x = float(cost.stage(self._x[None], u[None], self._t)[0]), self._next(u)
        self._t += 1
        terminated, truncated = far(self.problem, x[None]), self._t == self.problem.horizon
        if truncated and not terminated:
            paid += float(cost.terminal(x[None])[0])
        terminated = bool(terminated or not np.isfinite(paid))
        if terminated:
            paid, truncated = np.inf, False
        else:
            self._x = x
            if self._pictures is not None:
                self._pictures.show(x, u)
        self._cost += paid
        self._over = terminated or truncated
        return self._observe(self._x), -paid, terminated, truncated, self._info()

    def _next(self, u):
        """Next state (nx,) with noise, see `noise`."""
        plant, x, noise = self.problem.plant, self._x, self.problem.plant.noise
        process, control, state = (
            self.np_random.standard_normal(n) for n in (noise.factor.shape[1], len(noise.control), len(noise.state))
        )
        applied = u + np.einsum("m,mij,j->i", control, noise.control, u) if len(control) else u
        xn = plant.step(x[None], applied[None])[0]
        move = noise.factor @ process
        if len(state):
            move = move + np.einsum("m,mij,j->i", state, noise.state, x)
        return plant.retract(xn[None], move[None])[0] if noise.columns and np.isfinite(xn).all() else xn

    def _observe(self, x):
        if self._observation is None:
            return np.array(x)
        return np.array(as_finite(self._observation(np.array(x)), "observation(x)", self._size or (None,)))

    def _info(self):
        info = {"time": self._t * self.problem.plant.dt, "cost": self._cost}
        if self._over and self.problem.success is not None:
            reached = as_booleans(self.problem.success(self._x[None]), 1)[0]
            info["success"] = bool(reached and np.isfinite(self._cost))
        return info

    def render(self) -> np.ndarray | None:
        """Picture (height, width, 3) of the present state; None without a mode.

        Raises:
          ProblemError: before the first reset, or after `close`.
        """
        if self.render_mode is None:
            return None
        if self._x is None or self._pictures is None:
            raise ProblemError("there is nothing to draw; reset the environment first, and close it last")
        return self._pictures.picture()

    def close(self) -> None:
        """Free the resources of the pictures."""
        if self._pictures is not None:
            self._pictures.close()
        self._pictures = None


def _pictures(problem, camera):
    """What shows an environment: `Drawn` for plants that offer `draw` and `view`, `Filmed` for MuJoCo plants."""
    plant = problem.plant
    if hasattr(plant, "draw") and hasattr(plant, "view"):
        if camera is not None:
            raise ProblemError(f"camera is {shown(camera)}; plant '{plant.name}' draws itself, leave it out")
        return Drawn(plant)
    if hasattr(plant, "model") and hasattr(plant, "read"):
        return Filmed(plant.model, problem.initial.mean, camera)
    raise ProblemError(f"plant '{plant.name}' has no draw(x) and view to make pictures from; leave render_mode out")


class Drawn:
    """Shapes of a plant with the path of its tips so far, as in `plotting.animations`."""

    def __init__(self, plant):
        self.plant, self.drawings, self.controls = plant, [], []

    def show(self, x, u=None):
        """Show a state (nx,) and the control (nu,) that led to it, None at the start."""
        if u is None:
            self.drawings, self.controls, u = [], [], np.zeros(self.plant.nu)
        self.drawings.append(self.plant.draw(x))
        self.controls.append(u)

    def picture(self):
        """Pixels (height, width, 3)."""
        from ppi_robotics.plotting.animations import Scene  # matplotlib takes long to import

        count = len(self.drawings)
        scene = Scene(self.plant, self.drawings, np.array(self.controls), self.plant.dt * np.arange(count), "")
        return scene.frame(count - 1)[..., :3].copy()

    def close(self):
        """No resources to free."""


class Filmed:
    """Pictures of a MuJoCo model by `rendering.Film`, by default from MuJoCo's free camera, at rest."""

    def __init__(self, model, x, camera):
        import mujoco

        from ppi_robotics.rendering import Film

        if camera is None:
            camera = mujoco.MjvCamera()
            mujoco.mjv_defaultFreeCamera(model, camera)
        self.film = Film(model, np.array(x[None]), camera=camera)

    def show(self, x, _u=None):
        """Show a state (nx,)."""
        self.film.qpos[0] = x[: self.film.qpos.shape[1]]

    def picture(self):
        """Pixels (height, width, 3)."""
        return self.film[0]

    def close(self):
        """Free the resources of OpenGL."""
        self.film.artist.close()
