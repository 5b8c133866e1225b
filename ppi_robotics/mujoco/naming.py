"""Names, units and limits of the states and controls of a MuJoCo model."""

import mujoco
import numpy as np

INPUTS = {  # bits of an actuator's signature, in the order of its controls
    int(mujoco.mjtCtrlInput.mjINPUT_POS): "pos",
    int(mujoco.mjtCtrlInput.mjINPUT_VEL): "vel",
    int(mujoco.mjtCtrlInput.mjINPUT_FF): "ff",
    int(mujoco.mjtCtrlInput.mjINPUT_VOLTAGE): "voltage",
    int(mujoco.mjtCtrlInput.mjINPUT_PRESSURE): "pressure",
}
FREE, BALL = int(mujoco.mjtJoint.mjJNT_FREE), int(mujoco.mjtJoint.mjJNT_BALL)
SLIDE, HINGE = int(mujoco.mjtJoint.mjJNT_SLIDE), int(mujoco.mjtJoint.mjJNT_HINGE)
PLACE, QUATERNION, ROTATION = ("x", "y", "z"), ("qw", "qx", "qy", "qz"), ("roll", "pitch", "yaw")
JOINTS = {  # of positions: what follows the joint's name, and units; then of velocities
    FREE: ((*PLACE, *QUATERNION), ("m",) * 3 + ("",) * 4, (*PLACE, *ROTATION), ("m/s",) * 3 + ("rad/s",) * 3),
    BALL: (QUATERNION, ("",) * 4, ROTATION, ("rad/s",) * 3),
    SLIDE: (("",), ("m",), ("",), ("m/s",)),
    HINGE: (("",), ("rad",), ("",), ("rad/s",)),
}


def names_of(model) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the state's entries (positions, velocities, activations) and of the controls."""
    positions, velocities = [], []
    for j, kind in enumerate(model.jnt_type):
        joint, (axes, _, rates, _) = model.joint(j).name or f"joint {j}", JOINTS[kind]
        positions += [f"{joint} {axis}" if axis else joint for axis in axes]
        velocities += [f"{joint} {axis} velocity" if axis else f"{joint} velocity" for axis in rates]
    actuators = [model.actuator(i).name or f"actuator {i}" for i in range(model.nactuator)]
    states, controls = (*positions, *velocities, *activations_of(model, actuators)), controls_of(model, actuators)
    return tuple(map(printable, states)), tuple(map(printable, controls))


def units_of(model) -> tuple[str, ...]:
    """Units of the state's entries, then of the controls; empty where the model does not tell."""
    joints = [JOINTS[kind] for kind in model.jnt_type]
    states, controls = [unit for of in (1, 3) for joint in joints for unit in joint[of]], [""] * model.nu
    for i in range(model.nactuator):
        for n, kind in enumerate(inputs_of(model, i)):
            controls[model.actuator_ctrladr[i] + n] = control_unit(model, i, kind)
    return (*states, *[""] * model.na, *controls)


def quaternions_of(model) -> tuple[int, ...]:
    """Indices in qpos at which quaternions start."""
    starts = zip(model.jnt_type, model.jnt_qposadr.tolist(), strict=True)
    return tuple(start + 3 * (kind == FREE) for kind, start in starts if kind in (FREE, BALL))


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


def control_unit(model, i, kind):
    """Unit of a control of an actuator: of a joint's force for a plain motor, of what a servo follows."""
    on_joint = mujoco.mjtTrn(model.actuator_trntype[i]) in (
        mujoco.mjtTrn.mjTRN_JOINT,
        mujoco.mjtTrn.mjTRN_JOINTINPARENT,
    )
    joint = model.jnt_type[model.actuator_trnid[i, 0]] if on_joint else None
    if joint not in (HINGE, SLIDE):
        return ""
    slides, gear = joint == SLIDE, model.actuator_gear[model.actuator_outadr[i], 0]
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


def control_limits_of(model):
    """Lower and upper bounds (nu, 2) of the controls, infinite where there are none."""
    limited = model.actuator_ctrllimited.astype(bool)[:, None]
    return np.where(limited, model.actuator_ctrlrange, [-np.inf, np.inf])


def printable(name):
    """A name of a model with ? for control characters."""
    return "".join(c if c.isprintable() else "?" for c in name)


def name_of(model) -> str:
    """Name of a model: the first word of its table of names."""
    given = model.names[: model.names.index(b"\0")].decode(errors="replace")
    return printable(given) or "mujoco"
