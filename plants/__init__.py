"""Ready-made plants, written with the public names of ppi_robotics alone."""

from plants import mujoco_bodies
from plants.acrobot import Acrobot
from plants.blocks_world import BlocksWorld
from plants.cart_pole import CartPole
from plants.double_cart_pole import DoubleCartPole
from plants.gridworld import GridWorld
from plants.pendulum import Pendulum
from plants.stag_hunt import StagHunt

BY_NAME = {plant.name: plant for plant in (Pendulum, CartPole, Acrobot, DoubleCartPole)}

__all__ = [
    "BY_NAME",
    "Acrobot",
    "BlocksWorld",
    "CartPole",
    "DoubleCartPole",
    "GridWorld",
    "Pendulum",
    "StagHunt",
    "mujoco_bodies",
]
