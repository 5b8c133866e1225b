"""Pictures of poses by mujoco.Renderer, without a window.

Models without colors, lights or a sky of their own appear in blue on a white page, under a light that casts shadows and
over a floor with grid lines. Colors and ranges are set in a copy of the compiled model; the light, the lines and the
background are added to the scene, as a compiled model has no room for them.
"""

import copy
import importlib
import os
import sys
from unittest.mock import patch

import mujoco
import numpy as np

SHADOW_PIXELS = 1024  # more takes much time where a processor draws
WHITE, FLOOR, BODY = (1, 1, 1, 1), (0.74, 0.77, 0.81, 1), (0.33, 0.50, 0.68, 1)
UNCOLORED = (0.5, 0.5, 0.5, 1.0)  # MuJoCo's default of geoms
HEADLIGHT = ((0.1, 0.4, 0.5), (0.4, 0.5, 0.15))  # ambient, diffuse, specular: MuJoCo's default and ours
BESIDE_LAMPS = (0.35, 0.3, 0.1)  # headlight of models with lights of their own
LINES = 33  # on a floor, in each direction
LAMP = np.array([0.25, 0.35, -0.9])  # direction of the light that is added


class NoOpenGL(Exception):
    """OpenGL is not available; the message gives the reasons."""


class Offscreen:
    """Draws poses of a model into arrays.

    Args:
      model: `MjModel` as `on_a_light_page` returns it.
      width, height: pixels.
      view: `View` of the motion.
      camera: `MjvCamera`, or None for the camera of `view`.

    Raises:
      NoOpenGL: if there is no OpenGL.
    """

    def __init__(self, model, width, height, view, camera=None):
        self.model, self.view, self.given = model, view, camera
        self.renderer = _open(model, width, height)
        self.scene, self.spacing = self.renderer.scene, _round_down(_floor_scale(model, view))
        self.plain = not np.any(model.tex_type == mujoco.mjtTexture.mjTEXTURE_SKYBOX.value)
        self.scene.flags[mujoco.mjtRndFlag.mjRND_FOG] = self.plain and camera is None  # floors fade into the background
        ruled = (model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE.value) & (model.geom_matid < 0)
        self.floors = np.flatnonzero(ruled & (mujoco.MjvOption().geomgroup[model.geom_group] > 0))

    def draw(self, data, index, _moment):
        """Picture (height, width, 3) of a pose."""
        self.renderer.update_scene(data, self.given or self.view.camera(index))
        center = self.view.center(index)
        for floor in self.floors:
            self._add_grid(
                data.geom_xpos[floor], data.geom_xmat[floor].reshape(3, 3), self.model.geom_size[floor, :2], center
            )
        if not self.model.nlight:
            self._add_light(center)
        if self.plain:
            self._add_background()
        return self.renderer.render()

    def close(self):
        """Free the resources of OpenGL."""
        self.renderer.close()

    def _add_grid(self, place, axes, size, center):
        """Grid lines on a floor, a round distance apart, so that motion is visible."""
        spacing, middle = self.spacing, (axes.T @ (center - place))[:2]
        half = np.where(size > 0, size, np.inf)  # 0 is endless
        low, high = np.maximum(middle - LINES * spacing / 2, -half), np.minimum(middle + LINES * spacing / 2, half)
        for axis in (0, 1):
            for at in spacing * np.arange(np.ceil(low[axis] / spacing), np.floor(high[axis] / spacing) + 1):
                ends = np.stack([low, high])
                ends[:, axis] = at
                ends = place + np.hstack([ends, np.full((2, 1), 0.01 * spacing)]) @ axes.T
                line = self._decor(mujoco.mjtGeom.mjGEOM_LINE, np.zeros(3), np.zeros(3), np.eye(3))
                if line is not None:
                    mujoco.mjv_connector(line, mujoco.mjtGeom.mjGEOM_LINE.value, 1.0, *ends)

    def _add_background(self):
        """A white emissive plane behind everything, as MuJoCo's background is black."""
        eye = self.scene.camera[0]
        place, forward, up = (np.array(part, dtype=float) for part in (eye.pos, eye.forward, eye.up))
        far = 0.95 * eye.frustum_far
        rotation = np.stack([np.cross(forward, up), up, -forward], axis=1)
        self._decor(mujoco.mjtGeom.mjGEOM_PLANE, np.array([2 * far, 2 * far, 1.0]), place + far * forward, rotation)

    def _add_light(self, center):
        """A directional light from above, whose shadows show heights."""
        scene = self.scene
        if scene.nlight == len(scene.lights):
            return
        lamp = scene.lights[scene.nlight]
        lamp.pos[:], lamp.dir[:] = center - 10 * self.view.radius * LAMP, LAMP
        lamp.ambient[:], lamp.diffuse[:], lamp.specular[:] = 0.0, 0.45, 0.1
        lamp.attenuation[:], lamp.cutoff, lamp.exponent = (1, 0, 0), 180.0, 0.0
        lamp.type, lamp.headlight, lamp.castshadow = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL.value, 0, 1
        scene.nlight += 1

    def _decor(self, kind, size, place, rotation):
        """A white emissive geom added to the scene; None where there is no room."""
        scene = self.scene
        if scene.ngeom == scene.maxgeom:
            return None
        geom = scene.geoms[scene.ngeom]
        mujoco.mjv_initGeom(geom, kind.value, size, place, rotation.ravel(), np.array(WHITE, np.float32))
        geom.category, geom.segid = mujoco.mjtCatBit.mjCAT_DECOR, -1
        geom.emission, geom.specular, geom.reflectance = 1.0, 0.0, 0.0
        scene.ngeom += 1
        return geom


def on_a_light_page(model, width, height, view):
    """A copy of a model with default colors and headlight replaced, and sizes and ranges that fit the picture."""
    model = copy.copy(model)
    vis, light = model.vis, model.vis.headlight
    vis.global_.offwidth, vis.global_.offheight = max(width, vis.global_.offwidth), max(height, vis.global_.offheight)
    vis.quality.shadowsize = min(vis.quality.shadowsize, SHADOW_PIXELS)
    vis.map.znear = min(vis.map.znear, 0.3 * view.radius / model.stat.extent)
    vis.map.zfar = max(vis.map.zfar, 1.2 * (view.distance + 10 * view.radius) / model.stat.extent)
    scale = _floor_scale(model, view)
    vis.map.fogstart = (view.distance + 2.0 * scale) / model.stat.extent
    vis.map.fogend = (view.distance + 9.0 * scale) / model.stat.extent
    vis.rgba.fog[:] = WHITE
    vis.map.shadowclip = max(vis.map.shadowclip, 4.0 * view.radius / model.stat.extent)
    default, ours = HEADLIGHT
    if np.allclose([light.ambient, light.diffuse, light.specular], np.array(default)[:, None]):
        light.ambient[:], light.diffuse[:], light.specular[:] = BESIDE_LAMPS if model.nlight else ours
    bare = (model.geom_matid < 0) & (np.abs(model.geom_rgba - UNCOLORED) < 1e-6).all(axis=1)
    floor = model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE.value
    model.geom_rgba[bare & floor], model.geom_rgba[bare & ~floor] = FLOOR, BODY
    return model


def _floor_scale(model, view):
    """Radius of the view, or its height above the lowest floor if that is larger [m]."""
    floors = model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE.value
    return max([view.radius, *(view.centers[:, 2].max() - model.geom_pos[floors, 2])])


def _round_down(length):
    """The largest of ..., 0.1, 0.2, 0.5, 1, 2, 5, ... that does not exceed a length."""
    decade = 10.0 ** np.floor(np.log10(length))
    return decade * max(digit for digit in (1, 2, 5) if digit * decade <= length * (1 + 1e-9))


def _open(model, width, height):
    """A renderer with the first OpenGL context that works.

    mujoco.Renderer takes the context class that was chosen when mujoco was first imported, which fails on a machine
    without a display unless MUJOCO_GL was set before; here the class is chosen when it is needed.
    """
    reasons = []
    for name in _contexts():
        try:
            context = importlib.import_module(f"mujoco.{name}").GLContext
            with patch.object(sys.modules[mujoco.Renderer.__module__].gl_context, "GLContext", context):
                return mujoco.Renderer(model, height, width)
        except Exception as error:  # missing libraries raise many kinds of errors
            reasons.append(f"{name}: {' '.join(str(error).split()) or type(error).__name__}")
    raise NoOpenGL("; ".join(reasons) or "MUJOCO_GL turns it off")


def _contexts():
    """Names of mujoco's context modules to try: that of MUJOCO_GL, otherwise those of the system."""
    chosen = os.environ.get("MUJOCO_GL", "").strip().lower()
    if chosen in ("disable", "disabled", "off", "false", "0"):
        return ()
    if chosen in ("egl", "osmesa", "glfw"):
        return (chosen,)
    if sys.platform.startswith("linux"):
        window = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        return ("egl", "glfw") if window else ("egl",)
    return ("cgl", "glfw") if sys.platform == "darwin" else ("glfw",)
