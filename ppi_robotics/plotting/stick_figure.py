"""Pictures of a MuJoCo model without OpenGL: outlines of its geoms and the tree of its bodies, from the side."""

import functools

import mujoco
import numpy as np
from matplotlib.colors import to_rgb

from ppi_robotics.plotting.canvas import BACKGROUND, EMPTY, INK, LARGE, LINK, MARGIN, SCENERY, TIP, Canvas
from ppi_robotics.plotting.framing import SHOWN_GROUPS

SHAPE = mujoco.mjtGeom
CIRCLE = np.stack([np.cos(a := np.linspace(0, 2 * np.pi, 48, endpoint=False)), np.sin(a)], axis=1)
CORNERS = np.stack(np.meshgrid([-1, 1], [-1, 1], [-1, 1]), axis=-1).reshape(-1, 3)


class StickFigure:
    """Draws poses of a model into arrays, seen in parallel projection.

    Args:
      model: `MjModel`.
      width, height: pixels.
    """

    def __init__(self, model, width, height):
        self.model, self.width, self.height = model, width, height
        self.canvas = Canvas(width, height)
        self.clouds = {geom: _cloud(model, geom) for geom in range(model.ngeom) if _drawn(model, geom)}
        self.floors = np.flatnonzero((model.geom_type == SHAPE.mjGEOM_PLANE) & (model.geom_group < SHOWN_GROUPS))
        self.colors = {geom: _color(model, geom) for geom in self.clouds}

    def draw(self, data, view, index, moment):
        """Picture (height, width, 3) of a pose."""
        angle = np.radians(view.side)
        onto = np.array([[np.sin(angle), -np.cos(angle), 0.0], [0.0, 0.0, 1.0]])
        away = np.array([np.cos(angle), np.sin(angle), 0.0])
        scale = min(self.width, self.height) / (2 * view.radius)
        center = view.center(index)

        def to_pixels(points):
            return (points - center) @ onto.T * scale + (self.width / 2, self.height / 2)

        self.canvas.bar(0, 0, self.width, self.height, BACKGROUND)
        self._draw_floors(data, to_pixels)
        for geom in sorted(self.clouds, key=lambda geom: -data.geom_xpos[geom] @ away):
            points, radius = self.clouds[geom]
            rotation = data.geom_xmat[geom].reshape(3, 3)
            outline = _outline(to_pixels(data.geom_xpos[geom] + points @ rotation.T), radius * scale)
            self.canvas.fill(outline, self.colors[geom], INK, 1.0)
        self._draw_tree(data, to_pixels)
        self.canvas.text(MARGIN, self.height - 22, f"{moment:.2f} s", INK, LARGE)
        return self.canvas.pixels[..., :3].copy()

    def close(self):
        """Nothing is held."""

    def _draw_floors(self, data, to_pixels):
        """The ground as a line, for floors that are level."""
        for floor in self.floors:
            if data.geom_xmat[floor].reshape(3, 3)[2, 2] > 0.99:
                level = to_pixels(data.geom_xpos[floor])[1]
                self.canvas.bar(0, 0, self.width, max(level, 0), EMPTY)
                self.canvas.line([(0, level), (self.width, level)], SCENERY, 1.5)

    def _draw_tree(self, data, to_pixels):
        """Lines from bodies to their parents, those fixed to the world left out, and dots at their origins."""
        model, places = self.model, to_pixels(data.xpos)
        moving = [body for body in range(1, model.nbody) if model.body_weldid[body] != 0]
        for body in moving:
            parent = model.body_parentid[body]
            if model.body_weldid[parent] != 0:
                self.canvas.line(places[[parent, body]], LINK, 3.0)
        for body in moving:
            self.canvas.fill(places[body] + 4.5 * CIRCLE, TIP, BACKGROUND, 1.0)


def _drawn(model, geom):
    return model.geom_group[geom] < SHOWN_GROUPS and model.geom_rbound[geom] > 0 and model.geom_rgba[geom, 3] > 0


def _cloud(model, geom):
    """Points (k, 3) in the geom's frame and a radius about them, whose hull is the geom's, for a mesh as well."""
    kind, (a, b, c) = model.geom_type[geom], model.geom_size[geom]
    if kind == SHAPE.mjGEOM_SPHERE:
        return np.zeros((1, 3)), a
    if kind == SHAPE.mjGEOM_CAPSULE:
        return np.array([[0, 0, -b], [0, 0, b]]), a
    if kind == SHAPE.mjGEOM_CYLINDER:
        return np.array([(a * x, a * y, z) for z in (-b, b) for x, y in CIRCLE]), 0.0
    if kind == SHAPE.mjGEOM_ELLIPSOID:
        return _sphere() * (a, b, c), 0.0
    if kind == SHAPE.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        first = model.mesh_vertadr[mesh]
        return model.mesh_vert[first : first + model.mesh_vertnum[mesh]].astype(float), 0.0
    box = model.geom_aabb[geom]
    return box[:3] + CORNERS * box[3:], 0.0


@functools.cache
def _sphere():
    """Points spread over the unit sphere."""
    height = np.linspace(-1, 1, 25)
    ring = np.sqrt(1 - height**2)
    return np.array([(r * x, r * y, z) for r, z in zip(ring, height, strict=True) for x, y in CIRCLE[::2]])


def _outline(points, radius):
    """Hull (49, 2) of points and a radius about them, by the farthest point in every direction."""
    farthest = points[np.argmax(points @ CIRCLE.T, axis=0)]
    outline = farthest + radius * CIRCLE
    return np.vstack([outline, outline[:1]])


def _color(model, geom):
    """The geom's color, a little paler."""
    material = model.geom_matid[geom]
    own = (model.mat_rgba[material] if material >= 0 else model.geom_rgba[geom])[:3]
    return tuple(0.65 * own + 0.35 * np.array(to_rgb(BACKGROUND)))
