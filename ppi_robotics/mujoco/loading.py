"""MuJoCo models from whatever a user has, with a message that helps where there is none."""

import copy
from collections.abc import Mapping
from pathlib import Path

import mujoco
import numpy as np

from ppi_robotics.checks import check_count, check_number, shown
from ppi_robotics.definition import of_plant
from ppi_robotics.errors import PlantError

MOST_SUBSTEPS = 1_000_000


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


def write(model, data, x):
    """Positions, velocities and activations of a simulation from a state (nx,)."""
    data.qpos[:] = x[: model.nq]
    data.qvel[:] = x[model.nq : model.nq + model.nv]
    data.act[:] = x[model.nq + model.nv :]


def add_sensors(spec, sensors):
    """Add sensors, a dict from name to the keyword arguments of `MjSpec.add_sensor`.

    Raises:
      PlantError: if MuJoCo refuses one.
    """
    for name, what in sensors.items():
        try:
            spec.add_sensor(name=name, **what)
        except (TypeError, ValueError, mujoco.FatalError) as error:
            raise PlantError(f"sensor {shown(name)} cannot be added: {error}") from error


def substeps_of(model, substeps: int | None, dt: float | None) -> int:
    """Physics steps a stage."""
    timestep = model.opt.timestep
    if dt is not None and substeps is not None:
        raise PlantError("substeps and dt are both given; give one")
    if dt is None:
        with of_plant():
            return 1 if substeps is None else check_count(substeps, "substeps", 1, MOST_SUBSTEPS)
    with of_plant():
        dt = check_number(dt, "dt", above=0, most=MOST_SUBSTEPS * timestep)
    count = round(dt / timestep)
    if count < 1 or abs(count * timestep - dt) > 1e-9 * dt:
        near = max(count, 1) * timestep
        raise PlantError(
            f"dt is {dt:g} s, no multiple of the model's timestep {timestep:g} s; give {near:g}, or change the timestep"
        )
    return count
