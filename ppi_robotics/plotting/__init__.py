"""Figures of trajectories and of cost distributions, and modules with figures of more: `plotting.risk.risk_dial`.

Every function takes records and axes to draw into, and returns the axes. Without axes it makes a figure of its own
with the package's style, without pyplot and without changing matplotlib's settings:

    axes = plotting.trajectory(problem.plant, ppi.rollout(problem, policy, samples=500))
    axes[0].figure.savefig("trajectory.png")

Each name is loaded on first use. Animations are in `ppi_robotics.animation`, videos of MuJoCo models in
`ppi_robotics.rendering`.
"""

import importlib

_WHERE = {"color": "theme", "cost_distribution": "costs", "style": "theme", "trajectory": "trajectories"}
_MODULES = ("costs", "goals", "risk", "sampling", "tables", "theme", "trajectories")
_RENAMED = {"central": "tables"}

__all__ = ["color", "cost_distribution", "style", "trajectory"]


def __getattr__(name):
    if name in _WHERE:
        value = getattr(importlib.import_module(f"ppi_robotics.plotting.{_WHERE[name]}"), name)
    elif name in _MODULES or name in _RENAMED:
        value = importlib.import_module(f"ppi_robotics.plotting.{_RENAMED.get(name, name)}")
    else:
        raise AttributeError(
            f"module 'ppi_robotics.plotting' has no attribute '{name}'; see dir(ppi_robotics.plotting)"
        )
    globals()[name] = value
    return value


def __dir__():
    return sorted([*__all__, *_MODULES])
