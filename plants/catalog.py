"""The swing-up plants by their names."""

from plants.acrobot import Acrobot
from plants.cart_pole import CartPole
from plants.double_cart_pole import DoubleCartPole
from plants.pendulum import Pendulum

BY_NAME = {plant.name: plant for plant in (Pendulum, CartPole, Acrobot, DoubleCartPole)}
