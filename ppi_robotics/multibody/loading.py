"""MuJoCo models from whatever a user has, with a message that helps where there is none."""

from pathlib import Path

import mujoco
import numpy as np

from ppi_robotics.errors import PlantError


def load(source, assets=None):
    """A compiled model and, unless the model came compiled, the specification that it was compiled from.

    Args:
      source: path of an MJCF file, MJCF text, MjSpec or MjModel.
      assets: dict from file name to bytes, for MJCF text that includes files.

    Raises:
      PlantError: with MuJoCo's own message and the file's name.
    """
    if isinstance(source, mujoco.MjModel):
        return source, None
    if isinstance(source, mujoco.MjSpec):
        spec, what = source.copy(), "the MjSpec"
    elif isinstance(source, str | bytes) and source[:200].lstrip()[:1] in ("<", b"<"):
        what = "the XML text"
        text, files = source if isinstance(source, str) else source.decode(errors="replace"), split(assets)
        spec = read(lambda: mujoco.MjSpec.from_string(text, **files), what)
    elif isinstance(source, str | Path):
        path, what = Path(source), f"'{source}'"
        if not path.is_file():
            raise PlantError(f"no file {what}; give the path of an MJCF file, its text, an MjSpec or an MjModel")
        spec = read(lambda: mujoco.MjSpec.from_file(str(path)), what)
    else:
        raise PlantError(f"the model is {source!r}; expected a path, MJCF text, an MjSpec or an MjModel")
    return read(spec.compile, what), spec


def split(assets):
    """Files by name, as MuJoCo wants them: MJCF apart from meshes and textures."""
    xml = {name for name in assets or () if name.lower().endswith((".xml", ".mjcf"))}
    return {
        "include": {name: assets[name] for name in xml},
        "assets": {name: data for name, data in (assets or {}).items() if name not in xml},
    }


def read(function, what):
    """The function's result; MuJoCo's complaint becomes a `PlantError`."""
    try:
        return function()
    except (ValueError, RuntimeError, mujoco.FatalError) as error:
        said = " ".join(str(error).split())
        raise PlantError(f"MuJoCo cannot read {what}: {said}") from error


def check(model, label):
    """Raise `PlantError` for a model whose state is more than positions, velocities and activations, or none."""
    if model.nu == 0:
        raise PlantError(f"{label} has no actuators, so there is nothing to control; add an <actuator> section")
    if model.nv == 0:
        raise PlantError(f"{label} has no joints, so nothing can move; add joints")
    if model.npluginstate or getattr(model, "nhistory", 0):
        raise PlantError(f"{label} has plugins with a state or delays, which are no part of the state; remove them")


def names_of(model):
    """Names of the state's entries (positions, velocities, activations) and of the controls."""
    positions, velocities = [], []
    for j in range(model.njnt):
        joint = model.joint(j).name or f"joint {j}"
        kind = mujoco.mjtJoint(model.jnt_type[j])
        if kind == mujoco.mjtJoint.mjJNT_FREE:
            positions += [f"{joint} {axis}" for axis in ("x", "y", "z", "qw", "qx", "qy", "qz")]
            velocities += [f"{joint} {axis} velocity" for axis in ("x", "y", "z", "roll", "pitch", "yaw")]
        elif kind == mujoco.mjtJoint.mjJNT_BALL:
            positions += [f"{joint} {axis}" for axis in ("qw", "qx", "qy", "qz")]
            velocities += [f"{joint} {axis} velocity" for axis in ("roll", "pitch", "yaw")]
        else:
            positions.append(joint)
            velocities.append(f"{joint} velocity")
    actuators = [model.actuator(i).name or f"actuator {i}" for i in range(model.nu)]
    activations = [
        f"{actuators[i]} activation" + (f" {n}" if model.actuator_actnum[i] > 1 else "")
        for i in range(model.nu)
        for n in range(max(model.actuator_actnum[i], 0))
    ]
    return (*positions, *velocities, *activations), tuple(actuators)


def units_of(model):
    """Units of the state's entries, then of the controls; empty where the model does not tell."""
    positions, velocities = [], []
    for j in range(model.njnt):
        kind = mujoco.mjtJoint(model.jnt_type[j])
        if kind == mujoco.mjtJoint.mjJNT_FREE:
            positions += ["m"] * 3 + [""] * 4
            velocities += ["m/s"] * 3 + ["rad/s"] * 3
        elif kind == mujoco.mjtJoint.mjJNT_BALL:
            positions += [""] * 4
            velocities += ["rad/s"] * 3
        else:
            slides = kind == mujoco.mjtJoint.mjJNT_SLIDE
            positions.append("m" if slides else "rad")
            velocities.append("m/s" if slides else "rad/s")
    return (*positions, *velocities, *[""] * model.na, *(control_unit(model, i) for i in range(model.nu)))


def control_unit(model, i):
    """Unit of a control: of a joint's force for a plain motor, of what a servo follows."""
    on_joint = mujoco.mjtTrn(model.actuator_trntype[i]) in (
        mujoco.mjtTrn.mjTRN_JOINT,
        mujoco.mjtTrn.mjTRN_JOINTINPARENT,
    )
    if not on_joint or mujoco.mjtDyn(model.actuator_dyntype[i]) != mujoco.mjtDyn.mjDYN_NONE:
        return ""
    kind = mujoco.mjtJoint(model.jnt_type[model.actuator_trnid[i, 0]])
    if kind not in (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE):
        return ""
    slides, gear = kind == mujoco.mjtJoint.mjJNT_SLIDE, model.actuator_gear[i, 0]
    gain, bias = model.actuator_gainprm[i, 0], model.actuator_biasprm[i]
    if mujoco.mjtBias(model.actuator_biastype[i]) == mujoco.mjtBias.mjBIAS_NONE:
        return ("N" if slides else "N m") if gain * gear == 1.0 else ""
    if gear == 1.0 and bias[1] == -gain:
        return "m" if slides else "rad"
    if gear == 1.0 and bias[1] == 0.0 and bias[2] == -gain:
        return "m/s" if slides else "rad/s"
    return ""


def quaternions_of(model):
    """Indices in qpos at which quaternions start."""
    starts = []
    for j in range(model.njnt):
        kind = mujoco.mjtJoint(model.jnt_type[j])
        if kind == mujoco.mjtJoint.mjJNT_FREE:
            starts.append(int(model.jnt_qposadr[j]) + 3)
        elif kind == mujoco.mjtJoint.mjJNT_BALL:
            starts.append(int(model.jnt_qposadr[j]))
    return tuple(starts)


def control_limits_of(model):
    """Lower and upper bounds (nu, 2) of the controls, infinite where there are none."""
    limited = model.actuator_ctrllimited.astype(bool)[:, None]
    return np.where(limited, model.actuator_ctrlrange, [-np.inf, np.inf])
