"""Gymnasium both ways: policies in its MuJoCo environments, and problems as environments of its kind.

    env = gymnasium.make("InvertedPendulum-v5")
    plant = ppi.gym.plant_of(env)
    print(ppi.gym.evaluate(env, solution.policy, plant, episodes=20))

    env = ppi.gym.Environment(problem)

    mdp = ppi.gym.mdp_of(gymnasium.make("FrozenLake-v1"))

Needs the package gymnasium: pip install ppi-robotics[gym]. M. Towers et al., *Gymnasium: a standard interface for
reinforcement learning environments* (arXiv 2407.17032).
"""

from ppi_robotics.errors import ProblemError

try:
    import gymnasium  # noqa: F401
except ModuleNotFoundError as error:
    raise ProblemError("ppi.gym needs the package gymnasium; pip install ppi-robotics[gym]") from error

from ppi_robotics.gym.environment import Environment
from ppi_robotics.gym.episodes import Episodes, evaluate
from ppi_robotics.gym.loading import mdp_of, plant_of

__all__ = ["Environment", "Episodes", "evaluate", "mdp_of", "plant_of"]
