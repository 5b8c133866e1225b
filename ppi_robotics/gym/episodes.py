"""Episodes of a policy in gymnasium's MuJoCo environments, scored by the environment's own rewards."""

import math
import types
from dataclasses import dataclass

import gymnasium
import mujoco
import numpy as np

from ppi_robotics.checks import as_finite, check_count, check_number, check_seed, shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import frozen
from ppi_robotics.gym.loading import label, simulation_of
from ppi_robotics.interruption import Held
from ppi_robotics.mujoco.loop import BREAKDOWNS
from ppi_robotics.mujoco.plant import MujocoPlant
from ppi_robotics.policy import LinearGaussianPolicy
from ppi_robotics.problem import Problem
from ppi_robotics.statistics import Evaluation
from ppi_robotics.texts import with_interval


@dataclass(frozen=True, eq=False)
class Episodes:
    """Episodes in an environment; as a string, a summary.

    Attributes:
      name: of the environment.
      returns: (N,) sums of rewards, not discounted.
      lengths: (N,) steps.
      terminated, truncated: (N,) how the episodes ended, by the environment; `horizon` truncates as well.
      diverged: (N,) whether the simulation broke down, which ends an episode; MuJoCo would restart it.
      costs: (N,) costs of the episodes in the problem, inf where one diverged; None without a problem.
      seed: episode i was reset with seed + i.
      interrupted: whether Ctrl-C was pressed; the episodes are those finished by then.
    """

    name: str
    returns: np.ndarray
    lengths: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    diverged: np.ndarray
    costs: np.ndarray | None
    seed: int
    interrupted: bool = False

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(self.returns.mean())

    @property
    def standard_error(self) -> float:
        """Standard error of the mean return, nan for a single episode."""
        return Evaluation(self.returns).standard_error if len(self.returns) > 1 else math.nan

    def mean_interval(self, level: float = 0.95) -> tuple[float, float] | None:
        """Interval (low, high) of the mean return; None for one episode, or where one dominates the variance."""
        return _interval(self.returns, check_number(level, "level", above=0.0, below=1.0))

    def __str__(self):
        shortest, longest = self.lengths.min(), self.lengths.max()
        steps = f"{longest} steps" if shortest == longest else f"{shortest} to {longest} steps"
        ends = ", ".join(
            f"{np.count_nonzero(getattr(self, how))} {how}"
            for how in ("terminated", "truncated", "diverged")
            if how != "diverged" or self.diverged.any()
        )
        cost = ""
        if self.costs is not None:
            cost = f"\ncost {with_interval(float(self.costs.mean()), _interval(self.costs))}"
        mean = with_interval(self.mean, self.mean_interval())
        note = "\ninterrupted: these are the episodes finished by then" if self.interrupted else ""
        counted = f"{len(self.returns)} episodes of {steps}, seed {self.seed}"
        return f"{self.name}: return {mean}, {counted}\n{ends}{cost}{note}"


def evaluate(
    env: gymnasium.Env,
    policy,
    plant: MujocoPlant,
    episodes: int = 10,
    seed: int = 0,
    horizon: int | None = None,
    initial=None,
    problem: Problem | None = None,
) -> Episodes:
    """Run a policy in an environment: the environment steps and rewards, the policy sees the whole state of its plant.

    Episode i is reset with seed + i, so that two policies meet the same initial states. The mean of the policy acts,
    clipped to the limits of the plant and of the action space and rounded to the type of the latter. Ctrl-C returns the
    episodes finished by then.

    Args:
      env: gymnasium environment as for `plant_of`; it is left open.
      policy: `LinearGaussianPolicy` of the plant, whose last stage goes on beyond its end; or an object with
        `command(x)`, such as a `RecedingHorizon`; or a function of the environment's `MjData`, such as a `Controller`.
        What has `reset()` is reset before every episode.
      plant: `MujocoPlant` of the environment, see `plant_of`.
      episodes: number N of episodes.
      seed: of the first episode's reset.
      horizon: largest number of steps; None for the environment's own time limit.
      initial: state (nx,), or one for every episode (N, nx), in place of the environment's own initial states, set
        through its `set_state`.
      problem: `Problem` of the plant whose costs are reported as well: stage costs of all steps taken and the terminal
        cost of the last state, also where an episode is shorter or longer than the problem.

    Returns:
      `Episodes`.

    Raises:
      ProblemError: if the arguments do not fit each other, or the environment turns actions into other controls.
    """
    simulation = simulation_of(env)
    _check(env, simulation, plant, horizon, problem)
    episodes, seed = check_count(episodes, "episodes", 1), int(check_seed(seed))
    act, runs = _controls(policy, plant), []
    if initial is not None:
        initial = as_finite(initial, "initial")
        initial = as_finite(initial, "initial", (episodes, plant.nx) if initial.ndim == 2 else (plant.nx,))
        initial = np.broadcast_to(initial, (episodes, plant.nx))
    with Held() as hold:
        try:
            while len(runs) < episodes and not (runs and hold.pressed):
                env.reset(seed=seed + len(runs))
                for part in (getattr(policy, "policy", None), policy):  # also the policy within a controller
                    if callable(getattr(part, "reset", None)):
                        part.reset()
                if initial is not None:
                    _place(simulation, initial[len(runs)])
                runs.append(_run(env, simulation, act, plant, horizon, problem))
        except KeyboardInterrupt:  # by a policy that has answered Ctrl-C
            if not runs or hold.insisted:
                raise
    returns, lengths, *ends, costs = zip(*runs, strict=True)
    flags = (frozen(end, bool) for end in ends)
    costs = None if problem is None else frozen(costs)
    cut = hold.pressed or len(runs) < episodes
    return Episodes(label(env), frozen(returns), frozen(lengths, int), *flags, costs, seed, cut)


def _run(env, simulation, act, plant, horizon, problem):
    """Return, length, how it ended (terminated, truncated, diverged) and cost of one episode."""
    data, space = simulation.data, env.action_space
    low, high = np.maximum(space.low, plant.control_limits[:, 0]), np.minimum(space.high, plant.control_limits[:, 1])
    total, t, x, u = 0.0, 0, [plant.read(data)], []
    terminated = truncated = diverged = False
    while not (terminated or truncated or diverged):
        wanted = as_finite(act(t, data), "the control of the policy", (plant.nu,))
        action = np.clip(wanted, low, high).astype(space.dtype)
        _, reward, terminated, truncated, _ = env.step(action)
        # after a breakdown MuJoCo goes on from another state
        diverged = any(data.warning[int(getattr(mujoco.mjtWarning, name))].number for name in BREAKDOWNS)
        if not diverged and not np.array_equal(data.ctrl, action):
            raise ProblemError(
                f"the environment turned the action {action.tolist()} into the controls {data.ctrl.tolist()}; "
                "give it without wrappers that change actions"
            )
        total, t = total + float(reward), t + 1
        x.append(plant.read(data))
        u.append(action.astype(float))
        diverged = diverged or not np.isfinite(x[-1]).all()
        truncated = bool(truncated) or (t == horizon and not terminated)
    cost = math.inf if diverged or problem is None else problem.cost.trajectory(np.array(x), np.array(u))
    return total, t, bool(terminated), truncated, diverged, cost


def _controls(policy, plant):
    """A function from stage and MjData to the control."""
    if isinstance(policy, LinearGaussianPolicy):
        policy.check(types.SimpleNamespace(plant=plant, horizon=policy.horizon))  # any horizon will do
        return lambda t, data: policy.mean(min(t, policy.horizon - 1), plant.read(data))
    if callable(getattr(policy, "command", None)):
        return lambda _, data: policy.command(plant.read(data))
    if callable(policy) and not isinstance(policy, type):
        return lambda _, data: policy(data)
    raise ProblemError(
        f"policy is {shown(policy)}; expected a LinearGaussianPolicy such as solution.policy, a RecedingHorizon or a "
        "Controller"
    )


def _place(simulation, x):
    """Set the state of an environment."""
    nq, nv = simulation.model.nq, simulation.model.nv
    simulation.data.act[:] = x[nq + nv :]  # set_state leaves them, and computes all that depends on the state
    simulation.set_state(x[:nq].copy(), x[nq : nq + nv].copy())


def _check(env, simulation, plant, horizon, problem):
    """Raise `ProblemError` unless environment, plant, horizon and problem fit each other."""
    model = simulation.model
    if not isinstance(plant, MujocoPlant):
        raise ProblemError(f"plant is {shown(plant)}; expected a MujocoPlant such as ppi.gym.plant_of(env)")
    sizes = [(m.nq, m.nv, m.na, m.nu) for m in (plant.model, model)]
    if sizes[0] != sizes[1]:
        raise ProblemError(
            f"plant '{plant.name}' has {sizes[0]} positions, velocities, activations and controls, the environment "
            f"{sizes[1]}; make the plant by ppi.gym.plant_of(env)"
        )
    seconds = simulation.frame_skip * model.opt.timestep
    if not math.isclose(plant.dt, seconds, rel_tol=1e-9):
        raise ProblemError(
            f"a stage of plant '{plant.name}' lasts {plant.dt:g} s, a step of the environment {seconds:g} s; "
            "make the plant by ppi.gym.plant_of(env)"
        )
    if not isinstance(env.action_space, gymnasium.spaces.Box) or env.action_space.shape != (plant.nu,):
        raise ProblemError(f"the action space is {env.action_space}; expected a Box of the {plant.nu} controls")
    if not (env.action_space.low < env.action_space.high).all():  # as gymnasium makes of actuators without a ctrlrange
        raise ProblemError(f"the action space {env.action_space} is empty; give the model's actuators a ctrlrange")
    if horizon is not None:
        horizon = check_count(horizon, "horizon", 1)
    elif not _has_time_limit(env):
        raise ProblemError("the environment has no time limit, so its episodes may never end; give a horizon")
    if problem is not None and not isinstance(problem, Problem):
        raise ProblemError(f"problem is {shown(problem)}; expected a Problem, or None")
    own = plant if problem is None else problem.plant
    if (own.nx, own.nu, own.dt) != (plant.nx, plant.nu, plant.dt):
        raise ProblemError(f"the problem is about {own!r}, the environment about {plant!r}; state it for that one")


def _has_time_limit(env):
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, gymnasium.wrappers.TimeLimit):
            return True
        env = env.env
    return False


def _interval(values, level=0.95):
    """Interval of the mean, None where there is none."""
    return Evaluation(values).mean_interval(level) if len(values) > 1 else None
