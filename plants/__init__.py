"""Ready-made plants, written with the public names of ppi_robotics alone."""

from plants.cart_pole import CartPole

__all__ = ["CartPole"]
