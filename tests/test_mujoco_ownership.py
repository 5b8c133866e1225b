"""A MuJoCo plant keeps the physics that it was made with: edits are without effect on it, or refused."""

import copy

import bodies
import mujoco
import numpy as np
import pytest

import ppi_robotics as ppi
from ppi_robotics.mujoco.model import ShownModel, arrays_of

EVERYTHING = """
<mujoco><asset><texture name="t" type="2d" builtin="flat" width="4" height="4"/><material name="m" texture="t"/>
<mesh name="tetra" vertex="0 0 0 .1 0 0 0 .1 0 0 0 .1"/><hfield name="hills" nrow="3" ncol="3" size="1 1 1 1"/></asset>
<worldbody><light name="lamp"/><camera name="eye"/><geom name="floor" type="hfield" hfield="hills" pos="0 0 -3"/>
<body name="b"><joint name="j" axis="0 1 0"/><geom name="g" size=".1" pos=".2 0 0" material="m"/><site name="s"/></body>
<body name="c" pos="0 1 0"><joint name="k" axis="0 1 0"/><geom name="h" type="mesh" mesh="tetra"/></body></worldbody>
<contact><pair name="p" geom1="g" geom2="h"/><exclude name="e" body1="b" body2="c"/></contact>
<equality><joint name="q" joint1="j" joint2="k" active="false"/></equality>
<tendon><fixed name="t"><joint joint="j" coef="1"/></fixed></tendon>
<actuator><motor name="a" joint="j"/></actuator><sensor><jointpos name="z" joint="j"/></sensor>
<custom><numeric name="n" data="1 2"/><tuple name="u"><element objtype="body" objname="b" prm="1"/></tuple></custom>
<keyframe><key name="f" qpos=".1 .2"/></keyframe></mujoco>"""
U = np.array([[0.5]])


@pytest.fixture
def plant():
    return ppi.MujocoPlant(bodies.RUNGE_KUTTA)


def changed(array):
    """Change the first entry of an array, to something else whatever it was."""
    entry = array.flat[0]
    array.flat[0] = not entry if array.dtype == bool else type(entry)(1) if entry == 0 else type(entry)(0)


def test_every_array_of_the_model_is_read_only():
    model = ShownModel(mujoco.MjModel.from_xml_string(EVERYTHING)).model
    held = [(model, arrays_of(model)), (model.opt, arrays_of(model.opt)), (model.stat, arrays_of(model.stat))]
    assert len(held[0][1]) > 300
    for owner, arrays in held:
        for name, array in arrays.items():
            with pytest.raises(ValueError, match="read-only"):
                getattr(owner, name)[...] = 0
            if array.size:
                with pytest.raises((ValueError, AttributeError)):
                    setattr(owner, name, np.zeros_like(array))


def test_every_number_of_the_model_that_is_edited_is_noticed():
    model = mujoco.MjModel.from_xml_string(EVERYTHING)
    for record in ("opt", "stat"):
        names = [name for name in dir(getattr(model, record)) if not name.startswith("_")]
        names = [name for name in names if isinstance(getattr(getattr(model, record), name), int | float)]
        assert len(names) > 3
        for name in names:
            shown = ShownModel(model)
            shown.check("it")
            setattr(getattr(shown.model, record), name, getattr(getattr(model, record), name) + 1)
            with pytest.raises(ppi.PlantError, match="the model of it was edited"):
                shown.check("it")


def test_every_array_behind_a_name_that_is_edited_is_noticed():
    model, found = mujoco.MjModel.from_xml_string(EVERYTHING), 0
    kinds = "body joint geom site camera light mesh hfield material pair exclude equality tendon actuator sensor"
    for kind in (*kinds.split(), "numeric", "tuple", "key"):
        names = [name for name in dir(getattr(model, kind)(0)) if not name.startswith("_")]
        for name in names:
            shown = ShownModel(model)
            array = getattr(getattr(shown.model, kind)(0), name)
            if not isinstance(array, np.ndarray) or not array.size:
                continue
            try:
                changed(array)
            except ValueError:  # read-only itself
                continue
            found += 1
            with pytest.raises(ppi.PlantError, match="was edited"):
                shown.check("it")
    assert found > 150


def goes_on(plant):
    """What a plant is asked for in every use of it, as functions."""
    x = plant.state()
    cost = ppi.TaskCost(stage=[ppi.SitePosition("bob", (0.0, 0.0, 0.0)), ppi.Effort(0.1)])
    return {
        "step": lambda: plant.step(x[None], U),
        "sense": lambda: plant.sense(x[None], U),
        "linearize": lambda: plant.linearize(x[None], U),
        "hold": lambda: plant.hold_controls(x),
        "problem": lambda: ppi.Problem(plant, cost, x, 3),
    }


@pytest.mark.parametrize("use", goes_on(ppi.MujocoPlant(bodies.RUNGE_KUTTA)))
def test_an_edited_plant_refuses_to_go_on_with_half_of_it(plant, use):
    problem = ppi.Problem(plant, ppi.Quadratic([1, 1], [1]), plant.state(), 3)
    plant.step(plant.state()[None], U)  # simulations are there already
    plant.model.opt.timestep = 0.02
    with pytest.raises(ppi.PlantError, match="keeps the physics that it was made with"):
        goes_on(plant)[use]()
    with pytest.raises(ppi.PlantError, match="make another MujocoPlant"):
        ppi.solve(problem, ppi.ILQG(), starts=1)


@pytest.mark.parametrize("form", ["model", "spec"])
def test_edits_of_what_a_plant_was_made_of_do_not_reach_it(form):
    make = {"model": mujoco.MjModel.from_xml_string, "spec": mujoco.MjSpec.from_string}[form]
    given, untouched = make(bodies.RUNGE_KUTTA), ppi.MujocoPlant(bodies.RUNGE_KUTTA)
    plant = ppi.MujocoPlant(given)
    x = plant.state() + 0.1
    plant.step(x[None], U)
    (given.opt if form == "model" else given.option).gravity[:] = 0
    for count in (1, 3, 100):  # batches of other sizes are made anew
        rows = np.repeat(x[None], count, axis=0), np.repeat(U, count, axis=0)
        np.testing.assert_array_equal(plant.step(*rows), untouched.step(*rows))
    if form == "spec":
        more = plant.with_sensors({"p": {"type": mujoco.mjtSensor.mjSENS_CLOCK}})
        np.testing.assert_array_equal(more.step(x[None], U), untouched.step(x[None], U))


def test_a_copy_of_the_model_can_be_edited_to_make_another_plant(plant):
    model = copy.copy(plant.model)
    model.opt.gravity[:] = 0
    x = np.array([[0.3, 0.0]])
    assert abs(ppi.MujocoPlant(model).step(x, 0 * U)[0, 1]) < 1e-12 < abs(plant.step(x, 0 * U)[0, 1])


def test_a_model_in_a_folder_is_found_from_another_one(tmp_path, monkeypatch):
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes" / "corner.obj").write_text(
        "v 0 0 0\nv .1 0 0\nv 0 .1 0\nv 0 0 .1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n"
    )
    mesh = "<asset><mesh name='corner' file='meshes/corner.obj'/></asset><worldbody><geom type='mesh' mesh='corner'/>"
    (tmp_path / "arm.xml").write_text(bodies.RUNGE_KUTTA.replace("<worldbody>", mesh))
    monkeypatch.chdir(tmp_path)
    plant = ppi.MujocoPlant("arm.xml")
    monkeypatch.chdir("/")
    assert plant.with_sensors({"p": {"type": mujoco.mjtSensor.mjSENS_CLOCK}}).model.nsensor == 3


# -- mocap bodies and switches ----------------------------------------------------------------------------------------

LED = """<mujoco model="led"><worldbody>
<body name="other" mocap="true" pos="0 3 0" quat="0 2 0 0"/>
<body name="arm" pos="0 0 .5"><joint name="j" axis="0 1 0"/>
<geom type="capsule" size=".03" fromto="0 0 0 .3 0 0"/></body>
<body name="hand" mocap="true" pos=".3 0 .5"/></worldbody>
<equality><connect name="grip" body1="arm" body2="hand" anchor=".3 0 0"/><joint name="lock" joint1="j" active="false"/>
</equality><actuator><motor joint="j" ctrlrange="-5 5"/></actuator>
<keyframe><key name="up" qpos="-1" mpos="0 3 0 0 0 .8"/><key name="turned" mquat="0 1 0 0 1 1 0 0"/>
<key name="bent" qpos=".1"/></keyframe></mujoco>"""


@pytest.fixture(scope="module")
def led():
    return ppi.MujocoPlant(LED)


def moved(data):
    data.mocap_pos[1, 2] += 0.1


def turned(data):
    data.mocap_quat[0] = 1, 0, 0, 0


def released(data):
    data.eq_active[0] = False


def locked(data):
    data.eq_active[1] = True


EDITS = {
    moved: "'hand' is elsewhere",
    turned: "'other' is",
    released: "'grip' is inactive",
    locked: "'lock' is act",
}


@pytest.mark.parametrize(("keyframe", "body"), [("up", "hand"), ("turned", "hand")])
def test_keyframes_that_move_mocap_bodies_are_refused(led, keyframe, body):
    with pytest.raises(ppi.ProblemError, match=f"mocap body '{body}' is elsewhere.*surroundings=data"):
        led.state(keyframe)
    np.testing.assert_array_equal(led.state("bent"), [0.1, 0.0])


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_data_whose_surroundings_differ_from_the_plants_are_refused(led, edit):
    data = mujoco.MjData(led.model)
    data.mocap_quat *= -2  # the same rotations
    problem = ppi.Problem(led, ppi.Quadratic([1, 1], [1]), led.state(), 3)
    policy = bodies.policy(led, 3)
    controllers = [ppi.Controller(policy, led), ppi.Controller(ppi.RecedingHorizon(problem, ppi.ILQG()), led)]
    np.testing.assert_array_equal(led.read(data), led.state())
    controllers[0](data)
    edit(data)
    with pytest.raises(ppi.ProblemError, match=EDITS[edit]):
        led.read(data)
    for controller in controllers:
        with pytest.raises(ppi.ProblemError, match=EDITS[edit]):
            controller(data)
        with pytest.raises(ppi.ProblemError, match=EDITS[edit]):
            ppi.run(controller, led.model, data, seconds=0.01)


@pytest.mark.parametrize("form", [str, mujoco.MjSpec.from_string, mujoco.MjModel.from_xml_string])
@pytest.mark.parametrize("from_data", [False, True])
def test_a_plant_steps_as_a_simulation_in_the_same_surroundings(form, from_data):
    model = mujoco.MjModel.from_xml_string(LED)
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    if from_data:
        data.eq_active[:] = False, True
    plant = ppi.MujocoPlant(form(LED), surroundings=data if from_data else "up")
    start = plant.read(data)
    np.testing.assert_array_equal(start, plant.state("up") if not from_data else start)
    if form is not mujoco.MjModel.from_xml_string:  # to which no sensors can be added
        plant = plant.with_sensors({"t": {"type": mujoco.mjtSensor.mjSENS_CLOCK}})
    mujoco.mj_step(model, data)
    stepped = plant.step(start[None], np.zeros((1, 1)))[0]
    np.testing.assert_array_equal(stepped, np.concatenate((data.qpos, data.qvel)))
    np.testing.assert_array_equal(plant.read(mujoco.MjData(plant.model)), plant.state())


def test_surroundings_that_do_not_fit_are_refused(led):
    other = mujoco.MjData(mujoco.MjModel.from_xml_string(bodies.PENDULUM))
    with pytest.raises(ppi.ProblemError, match="has 0 mocap bodies"):
        led.read(other)
    for given, message in ((other, "has 0 mocap bodies"), ("down", "no keyframe 'down'; it has up"), (1.5, "keyframe")):
        with pytest.raises(ppi.PPIError, match=message):
            ppi.MujocoPlant(LED, surroundings=given)
