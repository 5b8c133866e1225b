"""MuJoCo plants: one contract for small models and for models of others, derivatives, and wrong definitions."""

import importlib.util
import warnings
from pathlib import Path

import bodies
import mujoco
import numpy as np
import pytest
from oracles import close

import ppi_robotics as ppi
from ppi_robotics.mujoco.simulation import Simulations
from ppi_robotics.problem import Plant

SUITE = ("cartpole", "acrobot", "pendulum", "reacher", "cheetah", "hopper", "humanoid")
GYMNASIUM = ("inverted_double_pendulum", "reacher")


def from_suite(name):
    with warnings.catch_warnings():  # glfw wants a display, absl and MuJoCo's own `settotalmass` are on their way out
        warnings.simplefilter("ignore")
        pytest.importorskip("dm_control")
        xml, assets = importlib.import_module(f"dm_control.suite.{name}").get_model_and_assets()
        return ppi.MujocoPlant(xml, assets=assets)


def from_gymnasium(name):
    found = importlib.util.find_spec("gymnasium")  # its files are enough, importing it takes time
    if found is None:
        pytest.skip("gymnasium is not installed")
    return ppi.MujocoPlant(Path(found.origin).parent / "envs" / "mujoco" / "assets" / f"{name}.xml")


SMALL = {name: lambda xml=xml: ppi.MujocoPlant(xml, substeps=2) for name, xml in bodies.MODELS.items()}
OTHERS = {f"suite {name}": lambda name=name: from_suite(name) for name in SUITE}
OTHERS |= {f"gymnasium {name}": lambda name=name: from_gymnasium(name) for name in GYMNASIUM}
CONTRACT = SMALL | OTHERS


@pytest.fixture(params=CONTRACT.values(), ids=CONTRACT, scope="module")
def plant(request):
    return request.param()


@pytest.fixture(params=SMALL.values(), ids=SMALL, scope="module")
def small(request):
    return request.param()


# -- the contract of every plant ---------------------------------------------------------------------------------------


class TestContract:
    def test_has_what_the_protocol_asks_for(self, plant):
        assert isinstance(plant, Plant)
        assert plant.nx == plant.model.nq + plant.model.nv + plant.model.na
        assert plant.ndx == 2 * plant.model.nv + plant.model.na == plant.nx - len(plant.quaternions)
        assert plant.dt == plant.substeps * plant.model.opt.timestep
        assert len(plant.state_names) == len(set(plant.state_names)) == plant.nx
        assert len(plant.control_names) == len(set(plant.control_names)) == plant.nu
        assert len(plant.units) == plant.nx + plant.nu
        assert plant.control_limits.shape == (plant.nu, 2)
        assert plant.state_limits.shape == (plant.nx, 2)
        assert plant.noise.process.shape == (plant.ndx, plant.ndx)

    def test_limits_are_those_of_the_model(self, plant):
        for i in range(plant.nu):
            limited = plant.model.actuator_ctrllimited[i]
            expected = plant.model.actuator_ctrlrange[i] if limited else (-np.inf, np.inf)
            np.testing.assert_array_equal(plant.control_limits[i], expected)
        assert np.isinf(plant.state_limits).all()

    def test_batch_equals_loop_of_plain_steps(self, plant):
        x, u = bodies.pairs(plant)
        expected = [bodies.stepped(plant, *pair)[0] for pair in zip(x, u, strict=True)]
        np.testing.assert_array_equal(plant.step(x, u), expected)

    def test_two_calls_give_equal_bits(self, plant):
        x, u = bodies.pairs(plant, 3)
        assert plant.step(x, u).tobytes() == plant.step(x, u).tobytes()
        for first, second in zip(plant.differentiate(x, u), plant.differentiate(x, u), strict=True):
            assert first.tobytes() == second.tobytes()

    def test_derivatives_do_not_depend_on_sensors(self, plant):
        x, u = bodies.pairs(plant, 3)
        xn, _, A, B, _, _ = plant.differentiate(x, u)
        for alone, beside in zip(plant.expand(x, u), (xn, A, B), strict=True):
            assert alone.tobytes() == beside.tobytes()

    def test_states_come_from_data_and_go_back(self, plant):
        data, x = mujoco.MjData(plant.model), bodies.pairs(plant, 1)[0][0]
        np.testing.assert_array_equal(plant.read(data), plant.state())
        plant.write(data, x)
        np.testing.assert_array_equal(plant.read(data), x)
        np.testing.assert_array_equal(data.qpos, x[: plant.model.nq])

    def test_derivatives_are_independent_differences(self, plant):
        checked = plant.check_derivatives(*bodies.pairs(plant, 3), tolerance=1e-5)
        # where a contact or limit sets in between the ends of a difference there is no derivative to agree on
        assert all(entry.contact for entry in checked.disagreements), str(checked)
        assert len(checked.disagreements) < 0.05 * checked.entries

    def test_retract_inverts_difference(self, plant):
        x, _ = bodies.pairs(plant)
        y = np.roll(x, 1, axis=0)
        close(plant.retract(y, plant.difference(x, y)), x, 1e-14)

    def test_cannot_be_changed(self, plant):
        with pytest.raises(ppi.PlantError, match="cannot be changed"):
            plant.dt = 1.0
        with pytest.raises(ValueError, match="read-only"):
            plant.control_limits[0] = 0.0

    @pytest.mark.parametrize("shapes", [((3, 99), (3, 1)), ((3,), (1,)), ((3, 2), (2, 1))])
    def test_refuses_other_shapes(self, plant, shapes):
        with pytest.raises(ppi.ProblemError, match=r"expected \(N, "):
            plant.step(*(np.zeros(shape) for shape in shapes))


# -- what a model says -------------------------------------------------------------------------------------------------


def test_names_and_units_of_joints_actuators_and_activations():
    servo = ppi.MujocoPlant(bodies.SERVO)
    assert servo.state_names == ("swing", "swing velocity", "drive activation")
    assert servo.control_names == ("drive", "servo")
    assert servo.units == ("rad", "rad/s", "", "", "rad")
    box = ppi.MujocoPlant(bodies.BOX)
    assert box.state_names[:4] == ("free x", "free y", "free z", "free qw")
    assert box.state_names[-1] == "free yaw velocity"
    assert box.units == ("m",) * 3 + ("",) * 4 + ("m/s",) * 3 + ("rad/s",) * 3 + ("",) * 6
    assert ppi.MujocoPlant(bodies.PENDULUM).units == ("rad", "rad/s", "N m")


TWO = "<body><joint name='a' axis='0 1 0'/><geom size='.1' pos='.2 0 0'/></body>"
TWO += "<body pos='0 1 0'><joint name='b' axis='0 1 0' damping='1'/><geom size='.1' pos='.2 0 0'/></body>"
PASSIVE = "<dcmotor name='brake' joint='a' input='none' resistance='1' motorconst='.5 .5'/>"
INPUTS = {  # actuators to the names of their controls, and on which joint each acts
    "<pid name='p' joint='a' kp='50' kv='2' input='pos vel ff'/>": ("p pos a", "p vel a", "p ff a"),
    "<motor name='m' joint='b'/><pid name='p' joint='a' kp='5' kv='2' input='pos vel'/>": ("m b", "p pos a", "p vel a"),
    "<pid name='p' joint='a' kp='5' kv='2' input='vel'/><motor name='m' joint='b'/>": ("p a", "m b"),
    f"{PASSIVE}<motor name='m' joint='b'/>": ("m b",),
    f"<motor name='m' joint='b'/>{PASSIVE}<motor name='n' joint='a'/>": ("m b", "n a"),
    "<dcmotor name='d' joint='b' input='pos vel ff' resistance='1' motorconst='.5 .5'/><motor name='m' joint='a'/>": (
        "d pos b",
        "d vel b",
        "d ff b",
        "m a",
    ),
}


@pytest.mark.parametrize(("actuators", "expected"), INPUTS.items(), ids=range(len(INPUTS)))
def test_controls_have_the_names_of_what_they_act_on(actuators, expected):
    plant = ppi.MujocoPlant(bodies.mjcf(TWO, actuators))
    assert plant.control_names == tuple(name.rpartition(" ")[0] for name in expected)
    assert plant.nu == len(expected) == len(plant.units) - plant.nx
    _, B = plant.linearize(np.full((1, plant.nx), 0.1), np.zeros((1, plant.nu)))
    for column, name in zip(B[0, 2:4].T, expected, strict=True):
        moved = np.abs(column) > 1e-9
        assert not moved["ab".index(name[-1]) - 1]
        assert moved.any() or name in ("d pos b", "d vel b")  # its own controller has no gains here


def test_activations_have_the_names_of_their_actuators():
    act = "<motor name='m' joint='b'/><general name='f' joint='a' dyntype='filter' dynprm='.1'/>"
    act += "<pid name='p' joint='b' kp='5' ki='2' input='pos vel'/><intvelocity name='v' joint='a' kp='3'/>"
    plant = ppi.MujocoPlant(bodies.mjcf(TWO, act))
    assert plant.state_names[4:] == ("f activation", "p activation", "v activation")
    assert plant.control_names == ("m", "f", "p pos", "p vel", "v")
    assert plant.units[plant.nx :] == ("N m", "", "rad", "rad/s", "")


def test_control_characters_in_names_are_replaced():
    """Files and tables refuse them."""
    joint = "<joint name='a&#10;b' type='slide'/>"
    text = bodies.mjcf(f"<body>{joint}<geom size='1'/></body>", "<motor name='c&#9;' joint='a&#10;b'/>")
    plant = ppi.MujocoPlant(text)
    assert plant.state_names == ("a?b", "a?b velocity")
    assert plant.control_names == ("c?",)


def test_keyframes_by_name_and_number():
    plant = ppi.MujocoPlant(bodies.ARM)
    close(plant.state("bent"), [0.3, 1.2, 0.1, -0.2], 0.0)
    close(plant.state(0), plant.state("bent"), 0.0)
    close(plant.state(1), [1.0, -1.0, 0.0, 0.0], 0.0)
    close(plant.state(), np.zeros(4), 0.0)


def test_time_of_a_stage_is_given_by_substeps_or_seconds():
    by_count, by_time = ppi.MujocoPlant(bodies.ARM, substeps=4), ppi.MujocoPlant(bodies.ARM, dt=0.04)
    assert by_count.substeps == by_time.substeps == 4
    assert by_count.dt == by_time.dt == 0.04
    x, u = bodies.pairs(by_count)
    once, many = ppi.MujocoPlant(bodies.ARM), x
    for _ in range(4):
        many = once.step(many, u)
    close(by_count.step(x, u), many, 1e-14)  # the constraint solver starts warm within a stage


@pytest.mark.parametrize("form", ["path", "text", "bytes", "spec", "model"])
def test_a_model_in_any_form_is_the_same_plant(form, tmp_path):
    path = tmp_path / "arm.xml"
    path.write_text(bodies.ARM)
    given = {
        "path": str(path),
        "text": bodies.ARM,
        "bytes": bodies.ARM.encode(),
        "spec": mujoco.MjSpec.from_string(bodies.ARM),
        "model": mujoco.MjModel.from_xml_string(bodies.ARM),
    }[form]
    plant, expected = ppi.MujocoPlant(given), ppi.MujocoPlant(bodies.ARM)
    np.testing.assert_array_equal(plant.step(*bodies.pairs(plant)), expected.step(*bodies.pairs(plant)))


def test_sensors_are_those_at_the_start():
    plant = ppi.MujocoPlant(bodies.ARM, substeps=3)
    x, u = bodies.pairs(plant)
    close(plant.sense(x, u), [bodies.stepped(plant, *pair)[1] for pair in zip(x, u, strict=True)], 1e-15)
    assert plant.sensor_names == {"rate": slice(0, 1), "tip": slice(1, 4)}


def test_added_sensors_do_not_change_the_motion():
    plant = ppi.MujocoPlant(bodies.ARM, substeps=2, noise=np.full(4, 0.1), control_limits=[(-1, 1), (-1, 1)])
    site = {"type": mujoco.mjtSensor.mjSENS_FRAMELINVEL, "objtype": mujoco.mjtObj.mjOBJ_SITE, "objname": "tip"}
    more = plant.with_sensors({"speed": site})
    np.testing.assert_array_equal(more.step(*bodies.pairs(plant)), plant.step(*bodies.pairs(plant)))
    assert list(more.sensor_names) == ["rate", "tip", "speed"]
    assert (more.name, more.substeps) == (plant.name, 2)
    np.testing.assert_array_equal(more.control_limits, plant.control_limits)
    assert more.noise is plant.noise
    assert plant.with_sensors({"rate": site}) is plant


# -- derivatives -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("substeps", [1, 3])
@pytest.mark.parametrize("name", bodies.MODELS)
def test_derivatives_equal_plain_central_differences(name, substeps):
    plant = ppi.MujocoPlant(bodies.MODELS[name], substeps=substeps)
    x, u = bodies.pairs(plant, 4)
    xn, y, *derivatives = plant.differentiate(x, u)
    for i in range(len(x)):
        end, seen = bodies.stepped(plant, x[i], u[i])
        close(xn[i], end, 1e-12)
        close(y[i], seen, 1e-12)
        for given, expected in zip(derivatives, bodies.differenced(plant, x[i], u[i]), strict=True):
            close(given[i], expected, 1e-8)  # errors of both differences
    for given, expected in zip((xn, *derivatives[:2]), plant.expand(x, u), strict=True):
        np.testing.assert_array_equal(given, expected)
    np.testing.assert_array_equal(plant.linearize(x, u)[1], derivatives[1])


def test_derivatives_of_a_box_at_rest_on_the_ground():
    plant = ppi.MujocoPlant(bodies.BOX)
    x = np.tile(plant.state(), (1, 1))
    for _ in range(100):
        x = plant.step(x, np.zeros((1, 6)))
    checked = plant.check_derivatives(x, np.zeros((1, 6)), tolerance=1e-4)  # stiff contacts: entries curve within steps
    assert checked.agrees, str(checked)
    assert plant.sense(x)[0, 0] == pytest.approx(2 * 9.81, rel=1e-3)


def test_one_sided_differences_are_nearly_central_ones():
    x, u = bodies.pairs(ppi.MujocoPlant(bodies.ARM))
    central, sided = (
        ppi.MujocoPlant(bodies.ARM, differences=which).differentiate(x, u) for which in ("centered", "one_sided")
    )
    for a, b in zip(central, sided, strict=True):
        close(b, a, 1e-5)  # the step of 1e-6 times second derivatives
    assert sided[2].tobytes() != central[2].tobytes()


@pytest.mark.parametrize("differences", ["centered", "one_sided"])
@pytest.mark.parametrize("name", ["runge kutta", "arm"])
def test_controls_at_their_limits_have_the_derivative_from_inside(name, differences):
    plant = ppi.MujocoPlant(bodies.MODELS[name], differences=differences)
    x = bodies.pairs(plant, 1)[0]
    for u in plant.control_limits.T:
        inside = plant.linearize(x, 0.99 * u[None])[1]
        close(plant.linearize(x, u[None])[1], inside, 1e-6)  # both plants are linear in the control
        assert plant.check_derivatives(x, u[None]).agrees


def test_a_check_names_the_entries_that_disagree():
    class Wrong(ppi.MujocoPlant):
        def differentiate(self, x, u, stage=0):
            xn, y, A, B, C, D = super().differentiate(x, u, stage)
            B[1, 1, 0] += 0.25
            C[0, 0, 1] = np.nan
            return xn, y, A, B, C, D

    plant = Wrong(bodies.RUNGE_KUTTA)
    x, u = bodies.pairs(plant, 3)
    checked = plant.check_derivatives(x, u)
    assert [entry.entry for entry in checked.disagreements] == [
        "d sensor 'bob' 0 / d swing velocity",
        "d swing velocity / d torque",
    ]
    assert not checked.agrees
    assert checked.largest == np.inf
    worst = checked.disagreements[1]
    assert (worst.knot, worst.contact) == (1, False)
    assert worst.given - worst.independent == pytest.approx(0.25, abs=1e-8)
    assert "d swing velocity / d torque: " in str(checked)
    assert "at knot 1" in str(checked)
    assert "2 of" in str(checked).splitlines()[0]
    fine = ppi.MujocoPlant(bodies.RUNGE_KUTTA).check_derivatives(x[0], u[0])
    assert fine.agrees
    assert str(fine).startswith("all 18 derivatives at 1 knots agree")


def test_a_check_tells_where_a_contact_sets_in():
    plant = ppi.MujocoPlant(bodies.BOX)
    x = plant.state()[None]
    x[0, 2] = 0.1 + 1e-7  # it floats by less than a step of the differences
    checked = plant.check_derivatives(x, np.zeros((1, 6)))
    assert checked.disagreements
    assert all(entry.contact for entry in checked.disagreements)
    assert "; a contact or limit changes here" in str(checked)
    assert "more" in str(checked)


@pytest.mark.parametrize("name", ["hopper", "walker2d_v5"])
def test_a_check_tells_jumps_inside_a_step_of_the_integrator(name):
    plant = from_gymnasium(name)  # joints at their limits, RK4: constraints act in its inner stages alone
    u = np.random.default_rng(0).uniform(-1.0, 1.0, (3, plant.nu))
    checked = plant.check_derivatives(np.tile(plant.state(), (3, 1)), u, tolerance=1e-3)
    assert len(checked.disagreements) > 10
    assert all(entry.contact for entry in checked.disagreements)


def test_a_wrong_derivative_beside_a_curved_one_is_not_blamed_on_contacts():
    class Wrong(ppi.MujocoPlant):
        def differentiate(self, x, u, stage=0):
            out = super().differentiate(x, u, stage)
            out[2][:] *= 1.0 + 1e-3
            return out

    spring = bodies.PENDULUM.replace("axis='0 1 0'", "axis='0 1 0' stiffness='3000 0 -300000'")
    checked = Wrong(spring).check_derivatives([[0.3, 40.0]], [[0.0]])
    assert len(checked.disagreements) == 3  # the fourth is .01
    assert not any(entry.contact for entry in checked.disagreements)


# -- substeps, threads, divergence -------------------------------------------------------------------------------------


@pytest.mark.parametrize("substeps", [1, 3])
@pytest.mark.parametrize("name", bodies.MODELS)
def test_derivatives_are_those_of_mujoco_chained_over_the_substeps(name, substeps):
    plant = ppi.MujocoPlant(bodies.MODELS[name], substeps=substeps)
    if not plant.has_transition_derivatives:
        pytest.skip("MuJoCo does not differentiate this model")
    x, u = bodies.pairs(plant)
    _, y, A, B, C, D = plant.differentiate(x, u)
    for n, pair in enumerate(zip(x, u, strict=True)):
        model, data = plant.model, mujoco.MjData(plant.model)
        bodies.set_state(data, *pair)
        mujoco.mj_forward(model, data)
        np.testing.assert_array_equal(y[n], data.sensordata)
        expected = np.hstack((np.eye(plant.ndx), np.zeros((plant.ndx, plant.nu))))
        for s in range(substeps):
            one = [np.zeros((rows, size)) for rows in (plant.ndx, len(y[n])) for size in (plant.ndx, plant.nu)]
            mujoco.mjd_transitionFD(model, data, 1e-6, True, *one)
            mujoco.mj_step(model, data)
            expected = one[0] @ expected + np.hstack((np.zeros((plant.ndx, plant.ndx)), one[1]))
            if s == 0:
                np.testing.assert_array_equal(C[n], one[2])
                np.testing.assert_array_equal(D[n], one[3])
        close(np.hstack((A[n], B[n])), expected, 0.0 if substeps == 1 else 1e-14)  # sums in another order


def test_threads_do_not_change_a_bit(small):
    x, u = bodies.pairs(small)
    simulations = Simulations(small.model, small.substeps, small.quaternions)
    law = simulations.law(np.zeros((1, small.nx)), u[:, None])
    for one, two in zip(*(simulations.roll(law, x, threads=n) for n in (1, 2)), strict=True):
        assert one.tobytes() == two.tobytes()
    given = x, u, small.control_limits
    native = small.has_transition_derivatives
    for one, two in zip(*(simulations.linearize(*given, native=native, threads=n) for n in (1, 2)), strict=True):
        assert one.tobytes() == two.tobytes()


EXPLOSIVE = bodies.PENDULUM.replace("joint='swing'/>", "joint='swing' gear='1e9'/>")


@pytest.mark.parametrize("integrator", ["Euler", "RK4"])
def test_a_simulation_that_blows_up_in_its_first_step_is_not_a_number(integrator, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    xml = EXPLOSIVE.replace("<option", f"<option integrator='{integrator}'")
    plant, x, u = ppi.MujocoPlant(xml, substeps=2), np.array([[0.3, 0.0]] * 3), np.array([[0.0], [5e4], [1e-9]])
    stepped = plant.step(x, u)
    np.testing.assert_array_equal(np.isnan(stepped).all(axis=1), [False, True, False])
    xn, _, A, B, _, _ = plant.differentiate(x, u)
    for array in (xn, A, B):
        np.testing.assert_array_equal(np.isnan(array).reshape(3, -1).all(axis=1), [False, True, False])
        assert np.isfinite(array[[0, 2]]).all()
    assert capfd.readouterr().err == ""
    assert not list(tmp_path.iterdir())  # MuJoCo would write MUJOCO_LOG.TXT


def test_what_is_no_number_leaves_the_others_alone():
    x, u = np.array([[0.3, 0.0], [0.1, np.nan], [0.3, 0.0]]), np.array([[5e4], [0.0], [1e-9]])
    for option in ("integrator='Euler'", "integrator='RK4'"):
        plant = ppi.MujocoPlant(EXPLOSIVE.replace("<option", f"<option {option}"), substeps=2)
        for many, one in zip(plant.differentiate(x, u), plant.differentiate(x[2:], u[2:]), strict=True):
            np.testing.assert_array_equal(many[2:], one)
            assert np.isnan(many[:2]).all()
        np.testing.assert_array_equal(plant.step(x, u)[2:], plant.step(x[2:], u[2:]))


# -- wrong definitions -------------------------------------------------------------------------------------------------


SLEEP = "<option><flag sleep='enable'/></option><worldbody>"
YIELDS = "<tendon><fixed stiffness='10' springyield='0.1'><joint joint='swing' coef='1'/></fixed></tendon>"
WRONG = {
    "no actuators": (bodies.mjcf(bodies.SWING.format(""), ""), {}, "has no actuators"),
    "sleep": (bodies.PENDULUM.replace("<worldbody>", SLEEP), {}, "has the flag sleep enabled.*leave <flag sleep"),
    "a delay": (
        bodies.mjcf(bodies.SWING.format(""), "<motor joint='swing' delay='.02' nsample='4'/>"),
        {},
        "delays.*no part of the state",
    ),
    "a tendon that yields": (
        bodies.mjcf(bodies.SWING.format(""), "<motor joint='swing'/>", more=YIELDS),
        {},
        "plastic.*no part of the state",
    ),
    "no joints": (
        bodies.mjcf("<body name='b'><geom size='1'/><site name='s'/></body>", "<motor site='s'/>"),
        {},
        "has no joints",
    ),
    "broken text": ("<mujoco><worldbody></mujoco>", {}, "MuJoCo cannot read the XML text: XML"),
    "an unknown element": (bodies.PENDULUM.replace("<motor", "<mover"), {}, "cannot read the XML text.*mover"),
    "a missing file": ("nowhere/arm.xml", {}, "no file 'nowhere/arm.xml'"),
    "a number": (3, {}, "the model is 3; expected a path"),
    "no time": (bodies.ARM, {"dt": 0.0}, "dt is 0"),
    "time as text": (bodies.ARM, {"dt": "0.1"}, "dt is '0.1'"),
    "no multiple": (bodies.ARM, {"dt": 0.025}, "dt is 0.025 s, no multiple of the model's timestep 0.01 s; give 0.02"),
    "shorter than a step": (bodies.ARM, {"dt": 0.001}, "give 0.01"),
    "both": (bodies.ARM, {"dt": 0.01, "substeps": 1}, "both given"),
    "half a substep": (bodies.ARM, {"substeps": 1.5}, "substeps is 1.5"),
    "no substeps": (bodies.ARM, {"substeps": 0}, "substeps is 0"),
    "noise of another size": (bodies.ARM, {"noise": np.ones(3)}, "noise of 'MuJoCo Model': the process noise is for 3"),
    "control noise of another size": (
        bodies.ARM,
        {"noise": ppi.Noise(np.zeros(4), control=np.ones(3))},
        "control noise is for 3",
    ),
    "noise of the state": (bodies.ARM, {"noise": ppi.Noise(np.zeros(4), state=np.ones(4))}, "grows with the state"),
    "noise for nx": (bodies.BALL, {"noise": np.ones(9)}, "9"),
    "too few limits": (bodies.ARM, {"control_limits": [(-1, 1)]}, "control_limits"),
    "limits reversed": (bodies.ARM, {"control_limits": [(1, -1), (-1, 1)]}, "lower < upper"),
    "state limits": (bodies.ARM, {"state_limits": [(0, 1)]}, "state_limits"),
    "state limits with quaternions": (bodies.BALL, {"state_limits": [(0, 1)] * 9}, "without quaternions"),
    "an unknown executor": (bodies.ARM, {"executor": "fast"}, "choose from auto, compiled, portable"),
    "unknown differences": (bodies.ARM, {"differences": "exact"}, "choose from centered, one_sided"),
    "a criterion that is none": (bodies.ARM, {"success": True}, "success is True"),
}


@pytest.mark.parametrize(("source", "options", "message"), WRONG.values(), ids=WRONG)
def test_wrong_definitions_are_refused_in_one_line(source, options, message):
    with pytest.raises(ppi.PlantError, match=message) as caught:
        ppi.MujocoPlant(source, **options)
    assert "\n" not in str(caught.value)


def test_a_broken_file_is_named(tmp_path):
    path = tmp_path / "broken.xml"
    path.write_text("<mujoco><worldbody>")
    with pytest.raises(ppi.PlantError, match="broken.xml.*XML") as caught:
        ppi.MujocoPlant.from_xml(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("given", ["straight", 2, -1, 1.5, None.__class__])
def test_unknown_keyframes_list_those_that_there_are(given):
    with pytest.raises(ppi.ProblemError, match="it has bent, 1"):
        ppi.MujocoPlant(bodies.ARM).state(given)


def test_sensors_cannot_be_added_to_a_compiled_model():
    plant = ppi.MujocoPlant(mujoco.MjModel.from_xml_string(bodies.ARM), name="arm")
    cost = ppi.TaskCost(stage=[ppi.CenterOfMass("upper", (0, 0, 0))])
    with pytest.raises(ppi.PlantError, match="'arm' was given as an MjModel.*subtreecom upper"):
        ppi.Problem(plant, cost, plant.state(), 3)


# -- measured sensors --------------------------------------------------------------------------------------------------


class TestMeasure:
    def test_measurements_scatter_as_the_sensor_noise_says(self):
        cov = np.array([[0.04, 0.01, 0.0, 0.0], [0.01, 0.09, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0.01]])
        plant = ppi.MujocoPlant(bodies.ARM, noise=ppi.Noise(np.zeros(4), sensor=cov))
        x, N = plant.state("bent"), 4000
        y = plant.measure(np.tile(x, (N, 1)), seed=3)
        exact = plant.sense(x[None])[0]
        assert (y[:, 2] == exact[2]).all()
        spread = np.sqrt(np.diag(cov) / N)
        assert (np.abs(y.mean(axis=0) - exact) <= 4 * spread + 1e-12).all()
        np.testing.assert_allclose(np.cov(y.T), cov, atol=4 * 0.09 * np.sqrt(2 / N))

    def test_samples_keep_their_numbers_in_any_batch(self):
        plant = ppi.MujocoPlant(bodies.ARM, noise=ppi.Noise(np.zeros(4), sensor=np.full(4, 0.1)))
        x = np.tile(plant.state("bent"), (5, 1))
        whole = plant.measure(x, seed=7, stage=2)
        np.testing.assert_array_equal(whole[3:], plant.measure(x[3:], seed=7, first=3, stage=2))
        assert not np.any(whole == plant.measure(x, seed=7, stage=3))

    def test_the_models_own_noise_is_taken_by_default(self):
        xml = bodies.ARM.replace("<jointvel name='rate'", "<jointvel noise='0.5' name='rate'")
        plant = ppi.MujocoPlant(xml)
        y = plant.measure(np.tile(plant.state("bent"), (1000, 1)))
        assert y[:, 0].std() == pytest.approx(0.5, rel=4 / np.sqrt(2000))
        assert not np.ptp(y[:, 1:], axis=0).any()

    def test_added_sensors_are_exact(self):
        plant = ppi.MujocoPlant(bodies.ARM, noise=ppi.Noise(np.zeros(4), sensor=np.full(4, 0.1)))
        cost = ppi.TaskCost(terminal=[ppi.CenterOfMass("lower", (0.0, 0.0, 0.0))])
        more = ppi.Problem(plant, cost, plant.state(), 5).plant
        y = more.measure(np.tile(plant.state(), (10, 1)))
        assert y.shape == (10, 7)
        assert not np.ptp(y[:, 4:], axis=0).any()

    def test_noise_of_another_size_is_refused(self):
        noise = ppi.Noise(np.zeros(4), sensor=[0.1])
        with pytest.raises(ppi.PlantError, match="for 1 sensor entries; the plant has 4"):
            ppi.MujocoPlant(bodies.ARM, noise=noise)
