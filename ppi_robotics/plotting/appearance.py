"""How models look that leave it open: on white, in one color, well lit."""

import copy

import mujoco
import numpy as np

SHADOW_PIXELS = 1024  # more takes much time where a processor draws
WHITE, FLOOR, BODY = (1, 1, 1, 1), (0.74, 0.77, 0.81, 1), (0.33, 0.50, 0.68, 1)
UNCOLORED = (0.5, 0.5, 0.5, 1.0)  # MuJoCo's default of geoms
HEADLIGHT = ((0.1, 0.4, 0.5), (0.4, 0.5, 0.15))  # ambient, diffuse, specular: MuJoCo's default and ours
BESIDE_LAMPS = (0.35, 0.3, 0.1)  # ours for models with lights of their own


def for_a_light_page(model, width, height, view):
    """A copy of a model with room for pictures of a size and a `View` in range, colors and light included."""
    model = copy.copy(model)
    vis, light = model.vis, model.vis.headlight
    vis.global_.offwidth, vis.global_.offheight = max(width, vis.global_.offwidth), max(height, vis.global_.offheight)
    vis.quality.shadowsize = min(vis.quality.shadowsize, SHADOW_PIXELS)
    vis.map.znear = min(vis.map.znear, 0.3 * view.radius / model.stat.extent)
    vis.map.zfar = max(vis.map.zfar, 1.2 * (view.distance + 10 * view.radius) / model.stat.extent)
    vis.map.shadowclip = max(vis.map.shadowclip, 4.0 * view.radius / model.stat.extent)
    default, ours = HEADLIGHT
    if np.allclose([light.ambient, light.diffuse, light.specular], np.array(default)[:, None]):
        light.ambient[:], light.diffuse[:], light.specular[:] = BESIDE_LAMPS if model.nlight else ours
    bare = (model.geom_matid < 0) & (np.abs(model.geom_rgba - UNCOLORED) < 1e-6).all(axis=1)
    floor = model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE.value
    model.geom_rgba[bare & floor], model.geom_rgba[bare & ~floor] = FLOOR, BODY
    return model
