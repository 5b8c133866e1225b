"""Pictures of a MuJoCo model without OpenGL: outlines of its geoms and the tree of its bodies, from the side."""

import mujoco
import numpy as np
from matplotlib.colors import to_rgb

from ppi_robotics.plotting.canvas import BACKGROUND, EMPTY, INK, LARGE, LINK, MARGIN, SCENERY, TIP, Canvas

SHOWN_GROUPS = 3  # MuJoCo shows geoms of groups 0 to 2 by default
SHAPE = mujoco.mjtGeom
CIRCLE = np.stack([np.cos(a := np.linspace(0, 2 * np.pi, 48, endpoint=False)), np.sin(a)], axis=1)
CORNERS = np.stack(np.meshgrid([-1, 1], [-1, 1], [-1, 1]), axis=-1).reshape(-1, 3)
HEIGHTS = np.linspace(-1, 1, 25)
SPHERE = np.array([(r * x, r * y, z) for r, z in zip(np.sqrt(1 - HEIGHTS**2), HEIGHTS, strict=True) for x, y in CIRCLE])


class StickFigure:
    """Draws poses of a model into arrays, seen in parallel projection.

    Args:
      model: `MjModel`.
      width, height: pixels.
      view: `View` of the motion.
    """

    def __init__(self, model, width, height, view):
        self.model, self.view, self.size, self.canvas = model, view, (width, height), Canvas(width, height)
        shown = (model.geom_group < SHOWN_GROUPS) & (model.geom_rgba[:, 3] > 0)
        self.clouds = {geom: _cloud(model, geom) for geom in np.flatnonzero(shown & (model.geom_rbound > 0))}
        self.floors = np.flatnonzero(shown & (model.geom_type == SHAPE.mjGEOM_PLANE))
        moves = model.body_weldid != 0
        self.moving = np.flatnonzero(moves)
        self.joined = [body for body in self.moving if moves[model.body_parentid[body]]]
        angle = np.radians(view.side)
        self.away = np.array([np.cos(angle), np.sin(angle), 0.0])
        self.onto = np.array([[np.sin(angle), -np.cos(angle), 0.0], [0.0, 0.0, 1.0]])
        self.scale = min(width, height) / (2 * view.radius)

    def draw(self, data, index, moment):
        """Picture (height, width, 3) of a pose."""
        (width, height), canvas = self.size, self.canvas

        def to_pixels(points):
            return (points - self.view.center(index)) @ self.onto.T * self.scale + (width / 2, height / 2)

        canvas.bar(0, 0, width, height, BACKGROUND)
        for floor in self.floors:
            if data.geom_xmat[floor, 8] > 0.99:  # the ground as a line, where it is level
                level = to_pixels(data.geom_xpos[floor])[1]
                canvas.bar(0, 0, width, max(level, 0), EMPTY)
                canvas.line([(0, level), (width, level)], SCENERY, 1.5)
        for geom in sorted(self.clouds, key=lambda geom: -data.geom_xpos[geom] @ self.away):
            points, radius = self.clouds[geom]
            places = to_pixels(data.geom_xpos[geom] + points @ data.geom_xmat[geom].reshape(3, 3).T)
            canvas.fill(_outline(places, radius * self.scale), _color(self.model, geom), INK, 1.0)
        places = to_pixels(data.xpos)
        for body in self.joined:
            canvas.line(places[[self.model.body_parentid[body], body]], LINK, 3.0)
        for body in self.moving:
            canvas.fill(places[body] + 4.5 * CIRCLE, TIP, BACKGROUND, 1.0)
        canvas.text(MARGIN, height - 22, f"{moment:.2f} s", INK, LARGE)
        return canvas.pixels[..., :3].copy()

    def close(self):
        """No resources to free."""


def _cloud(model, geom):
    """Points (k, 3) in the geom's frame and a radius; the convex hull of the balls is that of the geom."""
    kind, (a, b, c) = model.geom_type[geom], model.geom_size[geom]
    if kind == SHAPE.mjGEOM_SPHERE:
        return np.zeros((1, 3)), a
    if kind == SHAPE.mjGEOM_CAPSULE:
        return np.array([[0, 0, -b], [0, 0, b]]), a
    if kind == SHAPE.mjGEOM_CYLINDER:
        return np.array([(a * x, a * y, z) for z in (-b, b) for x, y in CIRCLE]), 0.0
    if kind == SHAPE.mjGEOM_ELLIPSOID:
        return SPHERE * (a, b, c), 0.0
    if kind == SHAPE.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        first = model.mesh_vertadr[mesh]
        return model.mesh_vert[first : first + model.mesh_vertnum[mesh]].astype(float), 0.0
    box = model.geom_aabb[geom]
    return box[:3] + CORNERS * box[3:], 0.0


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
