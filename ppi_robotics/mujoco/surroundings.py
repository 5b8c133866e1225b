"""What acts on a model and is no part of a plant's state: poses of mocap bodies, and which equality constraints act.

A plant's own model holds them, as poses of its bodies and as `eq_active0`, from where every MjData of it starts.
"""

import mujoco
import numpy as np

from ppi_robotics.checks import shown
from ppi_robotics.errors import ProblemError

SAME = 1e-9  # difference of poses that counts as none


def place(model, given, label):
    """Put mocap bodies and equality constraints of a model where a keyframe or an MjData has them.

    Args:
      model: MjModel, which is changed.
      given: name or number of a keyframe, or MjData.
      label: of the plant, for messages.

    Raises:
      ProblemError: if there is no such keyframe, or the data belongs to another model.
    """
    data = given
    if not isinstance(given, mujoco.MjData):
        data = mujoco.MjData(model)
        mujoco.mj_resetDataKeyframe(model, data, keyframe_number(model, given, label))
    check_sizes(model, data, label)
    bodies = mocap_bodies(model)
    model.body_pos[bodies], model.body_quat[bodies] = data.mocap_pos, data.mocap_quat
    model.eq_active0[:] = data.eq_active


def keyframe_number(model, given, label):
    """Number of a keyframe given by name or number.

    Raises:
      ProblemError: if there is none; the message lists those that there are.
    """
    names = [model.key(i).name or str(i) for i in range(model.nkey)]
    if isinstance(given, str) and given in names:
        return names.index(given)
    if isinstance(given, str | int | np.integer) and str(given).isdecimal() and int(given) < len(names):
        return int(given)
    raise ProblemError(f"{label} has no keyframe {shown(given)}; it has {', '.join(names) or 'none'}")


def mocap_bodies(model):
    """Numbers of the mocap bodies, in the order of their poses in an MjData."""
    bodies = np.flatnonzero(model.body_mocapid >= 0)
    return bodies[np.argsort(model.body_mocapid[bodies])]


def check_sizes(model, data, label):
    """Raise `ProblemError` unless an MjData has as many mocap bodies and equality constraints as the model."""
    sizes = len(data.mocap_pos), len(data.eq_active)
    if sizes != (model.nmocap, model.neq):
        raise ProblemError(
            f"data has {sizes[0]} mocap bodies and {sizes[1]} equality constraints, the model of {label} "
            f"{model.nmocap} and {model.neq}; give data of the plant's model"
        )


def check_surroundings(model, data, label):
    """Raise `ProblemError` if mocap bodies of an MjData stand elsewhere than in the model, or other equalities act."""
    check_sizes(model, data, label)
    if model.nmocap:
        bodies = mocap_bodies(model)
        near = np.abs(data.mocap_pos - model.body_pos[bodies]).max(axis=1) <= SAME
        along = np.abs(np.einsum("ni,ni->n", data.mocap_quat, model.body_quat[bodies]))  # either sign is one rotation
        lengths = np.linalg.norm(data.mocap_quat, axis=1) * np.linalg.norm(model.body_quat[bodies], axis=1)
        for body in bodies[~(near & (along >= (1.0 - SAME) * lengths))]:
            raise ProblemError(
                f"mocap body '{model.body(body).name or body}' is elsewhere than {label} has it; " + REMEDY
            )
    if model.neq and not np.array_equal(data.eq_active, model.eq_active0):
        i = int(np.flatnonzero(data.eq_active != model.eq_active0)[0])
        is_on = ("inactive", "active")[int(data.eq_active[i])]
        raise ProblemError(
            f"equality constraint '{model.equality(i).name or i}' is {is_on}, and not so in {label}; " + REMEDY
        )


REMEDY = "make a plant that plans with it by MujocoPlant(..., surroundings=data), or the name of a keyframe"
