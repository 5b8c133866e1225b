"""MuJoCo's renderer without a window.

MuJoCo's own `Renderer` takes the OpenGL that the environment named when mujoco was first imported, which on a machine
without a display is one that cannot work. Here the way to OpenGL is chosen when it is needed.
"""

import importlib
import os
import sys

import mujoco
import numpy as np

from ppi_robotics.plotting.appearance import WHITE

MAX_GEOMS = 10_000
MAX_LINES, PIECES = 33, 11  # in each direction of a floor, and of a line, which fades with distance
LAMP = np.array([0.25, 0.35, -0.9])  # direction of our light


class NoOpenGL(Exception):
    """No way to OpenGL works; says why."""


class Offscreen:
    """Draws poses of a model into arrays, on white where it has no sky, with lines on floors that have no texture.

    Args:
      model: `MjModel` with room for the pictures in its offscreen buffer.
      width, height: pixels.
      camera: `MjvCamera`, or None to frame what moves.

    Raises:
      NoOpenGL: if there is no OpenGL.
    """

    def __init__(self, model, width, height, camera=None):
        self.model, self.given = model, camera
        self.context, self.resources = _open(model)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self.resources)
        self.scene, self.option = mujoco.MjvScene(model, maxgeom=MAX_GEOMS), mujoco.MjvOption()
        self.area = mujoco.MjrRect(0, 0, width, height)
        skyboxes = model.tex_type == mujoco.mjtTexture.mjTEXTURE_SKYBOX.value if model.ntex else np.zeros(0, bool)
        self.plain = not skyboxes.any()

    def draw(self, data, view, index, _moment):
        """Picture (height, width, 3) of a pose."""
        camera = self.given or view.camera(index)
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(self.model, data, self.option, None, camera, everything, self.scene)
        self._rule_floors(data, view, view.center(index))
        if not self.model.nlight:
            self._hang_lamp(view, view.center(index))
        if self.plain:
            self._hang_background()
        pixels = np.empty((self.area.height, self.area.width, 3), dtype=np.uint8)
        self.context.make_current()
        mujoco.mjr_render(self.area, self.scene, self.resources)
        mujoco.mjr_readPixels(pixels, None, self.area, self.resources)
        return np.ascontiguousarray(pixels[::-1])

    def close(self):
        """Give back what OpenGL holds."""
        self.context.make_current()
        self.resources.free()
        self.context.free()

    def _decor(self, kind, size, place, rotation, color, emission=0.0):
        """One more geom in the scene, of no shine and no shadow."""
        scene = self.scene
        if scene.ngeom == scene.maxgeom:
            return None
        geom = scene.geoms[scene.ngeom]
        mujoco.mjv_initGeom(geom, kind, np.array(size, float), place, rotation.ravel(), np.array(color, np.float32))
        geom.category, geom.segid = mujoco.mjtCatBit.mjCAT_DECOR, -1
        geom.emission, geom.specular, geom.reflectance = emission, 0.0, 0.0
        scene.ngeom += 1
        return geom

    def _hang_background(self):
        """A shining plane far behind everything, as MuJoCo's background is black."""
        eye = self.scene.camera[0]
        place, forward, up = (np.array(part, dtype=float) for part in (eye.pos, eye.forward, eye.up))
        far = 0.95 * eye.frustum_far
        rotation = np.stack([np.cross(forward, up), up, -forward], axis=1)
        plane = mujoco.mjtGeom.mjGEOM_PLANE.value
        self._decor(plane, (2 * far, 2 * far, 1.0), place + far * forward, rotation, WHITE, emission=1.0)

    def _rule_floors(self, data, view, center):
        """Lines on floors of no texture, so that motion is seen; round distances apart."""
        model, spacing = self.model, _round_down(view.radius)
        reach = 0.5 * MAX_LINES * spacing
        for floor in np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE.value):
            if model.geom_matid[floor] >= 0 or not self.option.geomgroup[model.geom_group[floor]]:
                continue
            axes, place = data.geom_xmat[floor].reshape(3, 3), data.geom_xpos[floor]
            middle = (axes.T @ (center - place))[:2]
            half = np.where(model.geom_size[floor, :2] > 0, model.geom_size[floor, :2], np.inf)  # 0 is endless
            low, high = np.maximum(middle - reach, -half), np.minimum(middle + reach, half)
            for axis in (0, 1):
                for at in spacing * np.arange(np.ceil(low[axis] / spacing), np.floor(high[axis] / spacing) + 1):
                    cuts = np.linspace(low, high, PIECES + 1)
                    cuts[:, axis] = at
                    fade = 1 - (np.linalg.norm((cuts[1:] + cuts[:-1]) / 2 - middle, axis=1) / reach) ** 2
                    cuts = place + np.hstack([cuts, np.full((len(cuts), 1), 0.006 * view.radius)]) @ axes.T
                    for start, end, alpha in zip(cuts[:-1], cuts[1:], fade, strict=True):
                        self._line(start, end, alpha)

    def _line(self, start, end, alpha):
        """A white line, unless it is too faint or has no length."""
        if alpha > 0.02 and (start != end).any():
            line = mujoco.mjtGeom.mjGEOM_LINE.value
            geom = self._decor(line, np.zeros(3), np.zeros(3), np.eye(3), (1, 1, 1, alpha), emission=1.0)
            if geom is not None:
                mujoco.mjv_connector(geom, line, 1.0, start, end)

    def _hang_lamp(self, view, center):
        """A light from above, whose shadows show how high things are."""
        scene = self.scene
        if scene.nlight == len(scene.lights):
            return
        lamp = scene.lights[scene.nlight]
        lamp.pos[:], lamp.dir[:] = center - 10 * view.radius * LAMP, LAMP
        lamp.ambient[:], lamp.diffuse[:], lamp.specular[:] = 0.0, 0.45, 0.1
        lamp.attenuation[:], lamp.cutoff, lamp.exponent = (1, 0, 0), 180.0, 0.0
        lamp.type, lamp.headlight, lamp.castshadow = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL.value, 0, 1
        scene.nlight += 1


def _round_down(length):
    """The largest of ..., 0.1, 0.2, 0.5, 1, 2, 5, ... that is no longer."""
    decade = 10.0 ** np.floor(np.log10(length))
    return decade * max(digit for digit in (1, 2, 5) if digit * decade <= length * (1 + 1e-9))


def _open(model):
    """An OpenGL context and the model's resources in it, by the first way that works."""
    reasons = []
    for name, make in _ways():
        try:
            context = make()(model.vis.global_.offwidth, model.vis.global_.offheight)
            context.make_current()
            return context, mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        except Exception as error:  # missing libraries show in many ways
            reasons.append(f"{name}: {' '.join(str(error).split()) or type(error).__name__}")
    raise NoOpenGL("; ".join(reasons) or "MUJOCO_GL turns it off")


def _ways():
    """Names and sources of context classes: the one that MUJOCO_GL names, else EGL on Linux, then MuJoCo's default."""
    chosen = os.environ.get("MUJOCO_GL", "").strip().lower()
    if chosen in ("disable", "disabled", "off", "false", "0"):
        return
    default = "MuJoCo's default", lambda: mujoco.GLContext
    if chosen in ("egl", "osmesa", "glfw"):
        yield chosen, lambda: importlib.import_module(f"mujoco.{chosen}").GLContext
    elif not sys.platform.startswith("linux"):
        yield default
    else:
        yield "egl", lambda: importlib.import_module("mujoco.egl").GLContext
        if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
            yield default
