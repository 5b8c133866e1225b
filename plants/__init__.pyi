"""Public names: type checkers and editors read them here, and `__init__.py`, which loads each on first use."""

from . import mujoco_bodies
from .acrobot import Acrobot
from .blocks.world import BlocksWorld
from .cart_pole import CartPole
from .catalog import BY_NAME
from .double_cart_pole import DoubleCartPole
from .gridworld import GridWorld
from .pendulum import Pendulum
from .stag_hunt.world import StagHunt

__all__ = [
    "Acrobot",
    "BY_NAME",
    "BlocksWorld",
    "CartPole",
    "DoubleCartPole",
    "GridWorld",
    "Pendulum",
    "StagHunt",
    "mujoco_bodies",
]
