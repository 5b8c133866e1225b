"""Public names: type checkers and editors read them here, and `__init__.py`, which loads each on first use."""

from . import mujoco_bodies as mujoco_bodies
from .acrobot import Acrobot as Acrobot
from .blocks.world import BlocksWorld as BlocksWorld
from .cart_pole import CartPole as CartPole
from .catalog import BY_NAME as BY_NAME
from .double_cart_pole import DoubleCartPole as DoubleCartPole
from .gridworld import GridWorld as GridWorld
from .pendulum import Pendulum as Pendulum
from .stag_hunt.world import StagHunt as StagHunt
