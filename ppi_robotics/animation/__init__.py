"""Animations as GIFs: a plant's trajectory, and modules with animations of more.

animation.save("animation.gif", plant, rollouts.x[0], rollouts.u[0])
animation.blocks.save("blocks.gif", play.states, play.actions, play.probabilities, "exact")
animation.hunt.save("hunt.gif", {"λ = 0.1": (hunt, path)})
"""

from ppi_robotics.animation import blocks, hunt
from ppi_robotics.plotting.animations import render, save

__all__ = ["blocks", "hunt", "render", "save"]
