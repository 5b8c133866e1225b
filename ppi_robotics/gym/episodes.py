"""Episodes of a policy in gymnasium's MuJoCo environments, scored by the environment's own rewards."""

import math
import types
from dataclasses import dataclass

import gymnasium
import mujoco
import numpy as np

from ppi_robotics import intervals
from ppi_robotics.checks import as_finite, check_count, check_number, check_seed, shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import frozen
from ppi_robotics.gym.loading import label, simulation_of
from ppi_robotics.interruption import Held
from ppi_robotics.mujoco.loop import BREAKDOWNS
from ppi_robotics.mujoco.plant import MujocoPlant
from ppi_robotics.policy import LinearGaussianPolicy
from ppi_robotics.problem import Problem
from ppi_robotics.texts import with_interval


@dataclass(frozen=True, eq=False)
class Episodes:
    """Episodes in an environment; as a string, a summary.

    Attributes:
      name: of the environment.
      returns: (N,) sums of rewards, not discounted.
      lengths: (N,) steps.
      terminated, truncated: (N,) how the episodes ended, as the environment tells; `horizon` truncates as well.
      diverged: (N,) whether the simulation broke down, which ends an episode; MuJoCo would start it anew.
      costs: (N,) the problem's costs of what happened, inf where it diverged; None without a problem.
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
    def mean(self):
        """Mean return."""
        return float(self.returns.mean())

    @property
    def standard_error(self):
        """Standard error of the mean return, nan for a single episode."""
        return _standard_error(self.returns)

    def mean_interval(self, level=0.95):
        """Interval (low, high) of the mean return; None for one episode, or where one is all of the spread."""
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


def evaluate(env, policy, plant, episodes=10, seed=0, horizon=None, initial=None, problem=None):
    """Run a policy in an environment: the environment steps and rewards, the policy sees the whole state of its plant.

    Episode i is reset with seed + i, so that two policies meet the same initial states. The mean of the policy acts,
    clipped to the limits of the plant and of the action space and rounded to the type of the latter. Ctrl-C returns the
    episodes finished by then.

    Args:
      env: gymnasium environment as for `plant_of`; it is left open.
      policy: `LinearGaussianPolicy` of the plant, beyond whose end its last stage acts; or an object with
        `command(x)`, such as a `RecedingHorizon`; or a function of the environment's `MjData`, such as a `Controller`.
        What has `reset()` is reset before every episode.
      plant: `MujocoPlant` of the environment, see `plant_of`.
      episodes: number N of episodes.
      seed: of the first episode's reset.
      horizon: largest number of steps; None for the environment's own time limit.
      initial: state (nx,), or one for every episode (N, nx), in place of the environment's own initial states, set
        through its `set_state`.
      problem: `Problem` of the plant whose costs are reported, too: its stage costs of all steps taken and its terminal
        cost of the last state, also where an episode is shorter or longer than the problem.

    Returns:
      `Episodes`.

    Raises:
      ProblemError: if the arguments do not fit each other, or the environment turns actions into other controls.
    """
    simulation = simulation_of(env)
    _check(env, simulation, plant, horizon, problem)
    episodes = check_count(episodes, "episodes", 1)
    seed = check_seed(seed)
    law, states = _law(policy, plant), _states(initial, episodes, plant)
    runs = []
    with Held() as hold:
        try:
            while len(runs) < episodes and not (runs and hold.pressed):
                env.reset(seed=int(seed) + len(runs))
                _reset(policy)
                if states is not None:
                    _place(simulation, states[len(runs)])
                runs.append(_run(env, simulation, law, plant, horizon, problem))
        except KeyboardInterrupt:  # by a policy that has answered Ctrl-C
            if not runs or hold.insisted:
                raise
    returns, lengths, *ends, costs = zip(*runs, strict=True)
    flags = (frozen(end, bool) for end in ends)
    costs = None if problem is None else frozen(costs)
    cut = hold.pressed or len(runs) < episodes
    return Episodes(label(env), frozen(returns), frozen(lengths, int), *flags, costs, int(seed), cut)


def _run(env, simulation, law, plant, horizon, problem):
    """Return, length, how it ended (terminated, truncated, diverged) and cost of one episode."""
    data, space = simulation.data, env.action_space
    low, high = np.maximum(space.low, plant.control_limits[:, 0]), np.minimum(space.high, plant.control_limits[:, 1])
    total, t, x, u = 0.0, 0, [plant.read(data)], []
    terminated = truncated = diverged = False
    while not (terminated or truncated or diverged):
        wanted = as_finite(law(t, data), "the control of the policy", (plant.nu,))
        action = np.clip(wanted, low, high).astype(space.dtype)
        _, reward, terminated, truncated, _ = env.step(action)
        diverged = _broke_down(data)
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
    return total, t, bool(terminated), truncated, diverged, _cost(problem, np.array(x), np.array(u), diverged)


def _broke_down(data):
    """Whether MuJoCo gave up since the last reset; it goes on from another state then."""
    return any(data.warning[int(getattr(mujoco.mjtWarning, name))].number for name in BREAKDOWNS)


def _cost(problem, x, u, diverged):
    if problem is None:
        return None
    return math.inf if diverged else problem.cost.trajectory(x, u)


def _law(policy, plant):
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


def _reset(policy):
    """Start a policy anew, and what it asks for its plans."""
    for part in (getattr(policy, "policy", None), policy):
        if callable(getattr(part, "reset", None)):
            part.reset()


def _place(simulation, x):
    """Set the state of an environment."""
    nq, nv = simulation.model.nq, simulation.model.nv
    simulation.data.act[:] = x[nq + nv :]  # set_state leaves them, and computes all that depends on the state
    simulation.set_state(x[:nq].copy(), x[nq : nq + nv].copy())


def _states(initial, episodes, plant):
    """Initial states (N, nx), or None."""
    if initial is None:
        return None
    states = as_finite(initial, "initial")
    states = as_finite(states, "initial", (episodes, plant.nx) if states.ndim == 2 else (plant.nx,))
    return np.broadcast_to(states, (episodes, plant.nx))


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
    if problem is None:
        return
    if not isinstance(problem, Problem):
        raise ProblemError(f"problem is {shown(problem)}; expected a Problem, or None")
    own = problem.plant
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
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    found = intervals.of_mean(values, level)
    return None if isinstance(found, str) else found


def _standard_error(values):
    """Standard error of the mean: nan for a single value, inf where one is not finite."""
    if not np.isfinite(values).all():
        return math.inf
    return float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan
