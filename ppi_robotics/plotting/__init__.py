"""Figures of trajectories and of cost distributions, and modules with figures of more: `plotting.risk.risk_dial`.

Every function takes records and axes to draw into, and returns the axes. Without axes it makes a figure of its own
with the package's style, without pyplot and without changing matplotlib's settings:

    axes = plotting.trajectory(problem.plant, ppi.rollout(problem, policy, samples=500))
    axes[0].figure.savefig("trajectory.png")
"""

import importlib

from ppi_robotics.plotting.costs import cost_distribution
from ppi_robotics.plotting.pages import color, style
from ppi_robotics.plotting.trajectories import trajectory

_MODULES = ("blocks", "central", "goals", "hunt", "risk", "sampling", "tables")  # each loaded on first use

__all__ = ["color", "cost_distribution", "style", "trajectory"]


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(
            f"module 'ppi_robotics.plotting' has no attribute '{name}'; see dir(ppi_robotics.plotting)"
        )
    return importlib.import_module(f"ppi_robotics.plotting.{name}")


def __dir__():
    return sorted([*__all__, *_MODULES])
