"""MuJoCo models from whatever a user has, with a message that helps where there is none."""

import copy
from collections.abc import Mapping
from pathlib import Path

import mujoco
import numpy as np

from ppi_robotics.checks import shown
from ppi_robotics.errors import PlantError

INPUTS = {  # bits of an actuator's signature, in the order of its controls
    int(mujoco.mjtCtrlInput.mjINPUT_POS): "pos",
    int(mujoco.mjtCtrlInput.mjINPUT_VEL): "vel",
    int(mujoco.mjtCtrlInput.mjINPUT_FF): "ff",
    int(mujoco.mjtCtrlInput.mjINPUT_VOLTAGE): "voltage",
    int(mujoco.mjtCtrlInput.mjINPUT_PRESSURE): "pressure",
}


def load(source, assets=None):
    """A compiled model and, unless the model came compiled, the specification that it was compiled from; both copies.

    Args:
      source: path of an MJCF file, MJCF text, MjSpec or MjModel.
      assets: dict from file name to bytes, for MJCF text that includes files.

    Raises:
      PlantError: with MuJoCo's own message and the file's name.
    """
    if isinstance(source, mujoco.MjModel):
        return copy.copy(source), None
    if isinstance(source, mujoco.MjSpec):
        spec, what = source.copy(), "the MjSpec"
    elif isinstance(source, str | bytes) and source[:200].lstrip()[:1] in ("<", b"<"):
        what = "the XML text"
        text, files = source if isinstance(source, str) else source.decode(errors="replace"), split(assets)
        spec = read(lambda: mujoco.MjSpec.from_string(text, **files), what)
    elif isinstance(source, str | Path):
        path, what = Path(source), f"'{source}'"
        if not is_file(path):
            raise PlantError(
                f"no file {shown(str(source))}; give the path of an MJCF file, its text, an MjSpec or an MjModel"
            )
        spec = read(lambda: mujoco.MjSpec.from_file(str(path.absolute())), what)
    else:
        raise PlantError(f"the model is {shown(source)}; expected a path, MJCF text, an MjSpec or an MjModel")
    return read(spec.compile, what), spec


def recipe(source, assets=None):
    """What a specification can be read from again, as it cannot be pickled itself; None for a compiled model.

    An MjSpec is written as XML, whose numbers have six digits, and counts where that gives the same model.
    """
    if isinstance(source, mujoco.MjModel):
        return None
    if isinstance(source, mujoco.MjSpec):
        spec = source.copy()
        try:
            model, text = spec.compile(), spec.to_xml()
            other = mujoco.MjSpec.from_string(text).compile()
        except (ValueError, RuntimeError, mujoco.FatalError):
            return None
        return (text, None) if content(model) == content(other) else None
    text = isinstance(source, str | bytes) and source[:200].lstrip()[:1] in ("<", b"<")
    return (source, assets) if text else (str(Path(source).absolute()), None)


def content(model):
    """All numbers of a model as bytes."""
    buffer = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return buffer.tobytes()


def is_file(path):
    """Whether a path is one of a file; texts that are no path at all are none."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or with characters that no path has
        return False


def split(assets):
    """Files by name, as MuJoCo wants them: MJCF apart from meshes and textures."""
    if assets is not None and not (
        isinstance(assets, Mapping)
        and all(isinstance(k, str) and isinstance(v, bytes | str) for k, v in assets.items())
    ):
        raise PlantError(f"assets is {shown(assets)}; expected a dict from file names to bytes")
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
    refuse_sleep(model, label)
    if model.nu == 0:
        raise PlantError(f"{label} has no actuators, so there is nothing to control; add an <actuator> section")
    if model.nv == 0:
        raise PlantError(f"{label} has no joints, so nothing can move; add joints")
    if mujoco.mj_stateSize(model, int(mujoco.mjtState.mjSTATE_FULLPHYSICS)) != 1 + model.nq + model.nv + model.na:
        raise PlantError(
            f"{label} has delays, plastic parts or plugins with a state, which are no part of the state; remove them"
        )


def refuse_sleep(model, label):
    """Raise `PlantError` for options under which a step depends on more than the state: on the steps before it."""
    for name, what in (("mjENBL_SLEEP", "sleep"), ("mjENBL_IPC", "ipc")):
        if model.opt.enableflags & int(getattr(mujoco.mjtEnableBit, name, 0)):
            raise PlantError(
                f"{label} has the flag {what} enabled, with which a step depends on more than the state; "
                f'leave <flag {what}="enable"/> out'
            )


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
    actuators = [model.actuator(i).name or f"actuator {i}" for i in range(model.nactuator)]
    states, controls = (*positions, *velocities, *activations_of(model, actuators)), controls_of(model, actuators)
    return tuple(map(printable, states)), tuple(map(printable, controls))


def printable(name):
    """A name of a model with ? for control characters."""
    return "".join(c if c.isprintable() else "?" for c in name)


def activations_of(model, actuators):
    """Names of the activations, by their addresses."""
    names = {}
    for name, start, count in zip(actuators, model.actuator_actadr, model.actuator_actnum, strict=True):
        names |= {start + n: f"{name} activation" + (f" {n}" if count > 1 else "") for n in range(count)}
    return tuple(names[address] for address in sorted(names))


def controls_of(model, actuators):
    """Names of the controls, by their addresses: actuators have none, one, or several, which are named, too."""
    names = {}
    for i, name in enumerate(actuators):
        start, inputs = model.actuator_ctrladr[i], inputs_of(model, i)
        names |= {start + n: f"{name} {kind}" if len(inputs) > 1 else name for n, kind in enumerate(inputs)}
    return tuple(names[address] for address in sorted(names))


def inputs_of(model, i):
    """What the controls of an actuator are."""
    count, signature = int(model.actuator_ctrlnum[i]), int(model.actuator_ctrlspec[i])
    if mujoco.mjtGain(model.actuator_gaintype[i]) == mujoco.mjtGain.mjGAIN_SO3:
        names = ("x", "y", "z") if count == 3 else ("qw", "qx", "qy", "qz")
    else:
        names = tuple(name for bit, name in INPUTS.items() if signature & bit)
    return names if len(names) == count else tuple(map(str, range(count)))


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
    controls = [""] * model.nu
    for i in range(model.nactuator):
        for n, kind in enumerate(inputs_of(model, i)):
            controls[model.actuator_ctrladr[i] + n] = control_unit(model, i, kind)
    return (*positions, *velocities, *[""] * model.na, *controls)


def control_unit(model, i, kind):
    """Unit of a control of an actuator: of a joint's force for a plain motor, of what a servo follows."""
    on_joint = mujoco.mjtTrn(model.actuator_trntype[i]) in (
        mujoco.mjtTrn.mjTRN_JOINT,
        mujoco.mjtTrn.mjTRN_JOINTINPARENT,
    )
    joint = mujoco.mjtJoint(model.jnt_type[model.actuator_trnid[i, 0]]) if on_joint else None
    if joint not in (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE):
        return ""
    slides, gear = joint == mujoco.mjtJoint.mjJNT_SLIDE, model.actuator_gear[model.actuator_outadr[i], 0]
    force, position, rate = ("N", "m", "m/s") if slides else ("N m", "rad", "rad/s")
    if mujoco.mjtGain(model.actuator_gaintype[i]) in (mujoco.mjtGain.mjGAIN_PID, mujoco.mjtGain.mjGAIN_DCMOTOR):
        of_inputs = {"pos": position, "vel": rate, "ff": force} if gear == 1.0 else {}
        return (of_inputs | {"voltage": "V"}).get(kind, "")
    if mujoco.mjtDyn(model.actuator_dyntype[i]) != mujoco.mjtDyn.mjDYN_NONE or model.actuator_plugin[i] >= 0:
        return ""
    gain, bias = model.actuator_gainprm[i, 0], model.actuator_biasprm[i]
    if mujoco.mjtBias(model.actuator_biastype[i]) == mujoco.mjtBias.mjBIAS_NONE:
        return force if gain * gear == 1.0 else ""
    if gear == 1.0 and bias[1] == -gain:
        return position
    if gear == 1.0 and bias[1] == 0.0 and bias[2] == -gain:
        return rate
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


def write(model, data, x):
    """Positions, velocities and activations of a simulation from a state (nx,)."""
    data.qpos[:] = x[: model.nq]
    data.qvel[:] = x[model.nq : model.nq + model.nv]
    data.act[:] = x[model.nq + model.nv :]
