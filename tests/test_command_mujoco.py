"""The command `mujoco`: what it prints, writes and returns, on a small model of one's own and on ready-made bodies."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_command_line import only_json, run

import ppi_robotics as ppi
from plants import mujoco_bodies
from ppi_robotics.mujoco import loop

PENDULUM = """<mujoco model="swing"><option timestep="0.01" integrator="implicitfast"/>
  <worldbody><body name="rod"><joint name="hinge" axis="0 1 0" damping="0.05"/>
    <geom type="capsule" fromto="0 0 0 0 0 -0.5" size="0.03" mass="1"/>
    <site name="end" pos="0 0 -0.5"/>{site}</body></worldbody>
  {actuator}
  <keyframe><key name="upright" qpos="3.141592653589793"/><key name="aside" qpos="1.5"/></keyframe></mujoco>"""
MOTOR = '<actuator><motor name="torque" joint="hinge" ctrlrange="-4 4"/></actuator>'
FEW = ("--samples", 8, "--horizon", 30)
SOLVE_KEYS = {"plant", "task", "horizon", "dt", "noise", "seed", "method", "eta", "theta", "status", "iterations"}
SOLVE_KEYS |= {"nominal_cost", "solve_seconds", "success", "mean", "standard_error", "success_rate", "policy", "files"}
LOOP_KEYS = {"plant", "task", "success", "cost", "replans", "adopted", "failed", "deadline_misses", "deadline_seconds"}
LOOP_KEYS |= {"mean_replan_seconds", "max_replan_seconds", "first_plan_seconds", "files"}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = PENDULUM.format(site="", actuator=MOTOR)
    Path("swing.xml").write_text(model)
    Path("sites.xml").write_text(PENDULUM.format(site='<site name="middle"/>', actuator=MOTOR))
    Path("idle.xml").write_text(PENDULUM.format(site="", actuator=""))
    Path("broken.xml").write_text(model.replace("<joint", "<jiont"))
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)


def frames(path):
    """Number of pictures of a GIF, each larger than a stamp."""
    with Image.open(path) as image:
        assert min(image.size) >= 320
        return image.n_frames


# -- what it does ----------------------------------------------------------------------------------------------------


def test_a_keyframe_is_balanced(capsys):
    code, output, _ = run(capsys, "mujoco", "swing.xml", "--keyframe", "upright", "--method", "ilqg", *FEW, "--json")
    facts = only_json(output)
    assert code == 0
    assert facts.keys() >= SOLVE_KEYS
    assert (facts["plant"], facts["task"], facts["method"], facts["dt"]) == ("swing", "balance", "ilqg", 0.02)
    assert (facts["horizon"], facts["samples"], facts["noise"]) == (30, 8, 0.02)
    assert facts["success"] is True
    assert facts["success_rate"] == 1.0
    names = {"policy.npz", "trajectory.png", "cost.png", "animation.gif"}
    folder = Path("out/swing")
    assert {path.name for path in folder.iterdir()} == names
    assert {Path(path).name for path in facts["files"]} == names
    assert frames(folder / "animation.gif") > 10
    # the numbers are those of the policy that was written
    plant = ppi.MujocoPlant("swing.xml", substeps=2, noise=ppi.Noise(np.zeros(2), control=[0.02]))
    cost, initial, success = ppi.tasks.balance(plant, plant.state("upright"))
    problem = ppi.Problem(plant, cost, initial, 30, success)
    result = ppi.evaluate(problem, ppi.LinearGaussianPolicy.load(facts["policy"]), 8, 0)
    assert (facts["mean"], facts["variance"]) == (result.mean, result.variance)


def test_reaching_finds_the_only_site_and_writes_a_video_elsewhere(capsys):
    arguments = ("--task", "reach", "--goal=-0.4,0,-0.3", "--starts", 1, "--method", "ilqg", "--noise", 0, *FEW)
    code, output, _ = run(capsys, "mujoco", "swing.xml", *arguments, "--out", "a", "--video", "arc.gif")
    assert code == 0
    assert "reach, swing: 30 stages, 0.6 s, 8 noisy rollouts, 0 % noise on the controls, seed 0" in output
    for row in ("iLQG", "converged", "success without noise", "yes", "mean cost", "success rate"):
        assert row in output
    assert "written to a: policy.npz, trajectory.png, cost.png, and arc.gif" in output
    assert {path.name for path in Path("a").iterdir()} == {"policy.npz", "trajectory.png", "cost.png"}
    assert frames("arc.gif") > 10


def test_a_task_that_is_missed_is_exit_code_one_with_the_reason(capsys):
    arguments = ("--task", "swingup", "--goal", "upright", "--starts", 1, "--method", "ilqg", "--samples", 4)
    code, output, errors = run(capsys, "mujoco", "swing.xml", *arguments, "--horizon", 5, "--json")
    facts = only_json(output)
    assert code == 1
    assert facts["success"] is False
    assert "iLQG converged, but its policy misses the task" in errors
    assert "--horizon" in errors


def test_swinging_up_from_a_keyframe_to_positions(capsys):
    arguments = ("--task", "swingup", "--keyframe", "aside", "--goal", "3.1416", "--starts", 1, "--samples", 8)
    code, output, _ = run(capsys, "mujoco", "swing.xml", *arguments, "--horizon", 60, "--json")
    facts = only_json(output)
    assert code == 0
    assert (facts["task"], facts["method"], facts["success"]) == ("swingup", "ppi", True)
    policy = ppi.LinearGaussianPolicy.load(facts["policy"])
    assert policy.x_ref[0, 0] == 1.5


def test_receding_horizon_reports_its_replans(capsys):
    arguments = ("--keyframe", "upright", "--mpc", "--horizon", 20, "--out", "a")
    code, output, _ = run(capsys, "mujoco", "swing.xml", *arguments, "--json")
    facts = only_json(output)
    assert code == 0
    assert facts.keys() >= LOOP_KEYS
    assert (facts["method"], facts["success"], facts["replans"], facts["failed"]) == ("ilqg", True, 19, 0)
    assert facts["deadline_seconds"] == 0.02
    assert {path.name for path in Path("a").iterdir()} == {"trajectory.png", "animation.gif"}
    code, output, _ = run(capsys, "mujoco", "swing.xml", *arguments)
    assert code == 0
    for row in ("success at the end", "replans", "past the deadline", "ms to replan"):
        assert row in output


def test_bodies_have_tasks_of_their_own(capsys):
    code, output, _ = run(capsys, "mujoco", "arm2", "--goal", "0.2,0.4", "--starts", 1, "--samples", 8, "--json")
    facts = only_json(output)
    assert code == 0
    assert (facts["plant"], facts["task"], facts["success"]) == ("arm2", "reach", True)
    assert facts["horizon"] == mujoco_bodies.TASKS["arm2", "reach"].horizon
    assert facts["noise"] == mujoco_bodies.TASKS["arm2", "reach"].noise
    assert Path("out/arm2/policy.npz").exists()


def test_plants_lists_bodies_and_tasks(capsys):
    code, output, _ = run(capsys, "plants", "--json")
    listed = only_json(output)["bodies"]
    assert code == 0
    assert set(listed) == set(mujoco_bodies.BODIES)
    assert {(body, task) for body in listed for task in listed[body]["tasks"]} == set(mujoco_bodies.TASKS)
    code, output, _ = run(capsys, "plants")
    assert code == 0
    for text in (*mujoco_bodies.BODIES, "reach: 50 stages, 1 s", "goal 0.1,0.5"):
        assert text in output


def test_a_simulation_that_breaks_down_is_not_solved(capsys, monkeypatch):
    def break_down(*arguments, **options):
        raise ppi.SimulationError("the simulation broke down after 0.1 s")

    monkeypatch.setattr(ppi, "run", break_down, raising=False)
    code, output, errors = run(capsys, "mujoco", "swing.xml", "--mpc", "--horizon", 5)
    assert (code, output) == (1, "")
    assert "broke down after 0.1 s" in errors
    assert not Path("out").exists()


def test_the_viewer_shows_the_policy_under_noise(capsys, monkeypatch):
    shown = []

    class Window:
        is_running, sync, close = (lambda self: True), (lambda self: shown.append(1)), (lambda self: None)

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(loop, "_open_window", lambda model, data: Window())
    code, _, _ = run(capsys, "mujoco", "swing.xml", "--method", "ilqg", "--viewer", "--samples", 8, "--horizon", 5)
    assert code == 0
    assert shown


# -- bad usage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ("", ["missing argument", "--help"]),
        ("none.xml", ["no file 'none.xml'", "path of an MJCF file"]),
        ("broken.xml", ["MuJoCo cannot read 'broken.xml'", "jiont", "line"]),
        ("idle.xml", ["'swing' has no actuators", "add an <actuator>"]),
        (
            "arm3",
            ["unknown body 'arm3'", "choose from cartpole, double_pendulum, arm2", "FILE.xml", "did you mean arm"],
        ),
        ("arm2 --task hop", ["unknown task of arm2 'hop'", "choose from reach"]),
        ("arm2 --goal 1", ["goal of arm2 reach is [1.0]", "expected 2 coordinates"]),
        ("arm2 --goal 5,5", ["goal of arm2 reach", "reaches 0.16 to 0.74 m"]),
        ("arm2 --goal a,b", ["--goal is 'a,b'", "numbers separated by commas"]),
        ("hopper --goal 1", ["takes no goal"]),
        ("arm2 --keyframe home", ["--keyframe is for MJCF files", "leave it out"]),
        ("arm2 --substeps 2", ["--substeps is for MJCF files"]),
        ("swing.xml --task hop", ["unknown task of an MJCF file 'hop'", "choose from balance, swingup, reach"]),
        ("swing.xml --keyframe up", ["'swing' has no keyframe 'up'", "it has upright, aside"]),
        ("swing.xml --goal 1", ["--goal belongs to swingup and reach", "task is balance"]),
        ("swing.xml --task swingup", ["--goal is missing", "keyframe's name"]),
        ("swing.xml --task swingup --goal up", ["no keyframe 'up'", "it has upright, aside"]),
        ("swing.xml --task swingup --goal 1,2", ["--goal is '1,2', 2 numbers", "has 1 positions (hinge)"]),
        ("swing.xml --task swingup --goal nan", ["goal has a non-finite entry"]),
        ("swing.xml --task swingup --goal 1 --site end", ["--site belongs to reach"]),
        ("swing.xml --task reach --goal 1,2", ["--goal is '1,2', 2 numbers", "x,y,z"]),
        ("swing.xml --task reach --goal up", ["--goal is 'up'", "numbers separated by commas"]),
        ("swing.xml --task reach --site tip --goal 0,0,1", ["no site 'tip'", "it has end"]),
        ("sites.xml --task reach --goal 0,0,1", ["--site is missing", "has end, middle", "choose one"]),
        ("swing.xml --horizon 0", ["--horizon is 0", "1 to 1000000 stages"]),
        ("swing.xml --substeps 0", ["--substeps is 0", "at least 1"]),
        ("swing.xml --noise -1", ["--noise is -1", "0 or more"]),
        ("swing.xml --samples 1", ["--samples is 1"]),
        ("swing.xml --method pii", ["unknown method 'pii'", "did you mean ppi?"]),
        ("swing.xml --method psi", ["knows no limits"]),
        ("swing.xml --mpc --starts 0", ["--starts is 0", "at least 1"]),
        ("swing.xml --video swing.avi", ["'swing.avi' is neither .mp4 nor .gif"]),
        ("swing.xml --video none/swing.gif", ["no folder 'none'"]),
        ("swing.xml --viewer", ["--viewer needs a display", "--video"]),
        ("swing.xml --out swing.xml", ["--out is 'swing.xml'", "is no folder"]),
    ],
)
def test_bad_usage_is_one_line_and_writes_nothing(capsys, arguments, parts):
    before = sorted(Path().rglob("*"))
    code, output, errors = run(capsys, "mujoco", *arguments.split())
    assert code == 2
    assert output == ""
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    for part in parts:
        assert part in errors
    assert sorted(Path().rglob("*")) == before


def test_interruption_leaves_what_is_written(capsys, monkeypatch):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(ppi, "evaluate", stop)
    code, output, errors = run(capsys, "mujoco", "swing.xml", "--method", "ilqg", *FEW, "--out", "a")
    assert code == 130
    assert "success without noise" in output
    assert "mean cost" not in output
    assert errors.splitlines()[-1] == "interrupted; written so far: a/policy.npz"
    assert [path.name for path in Path("a").iterdir()] == ["policy.npz"]


# -- tasks in Python -------------------------------------------------------------------------------------------------


def test_full_turns_do_not_count_in_a_swing_up():
    plant = ppi.MujocoPlant("swing.xml", substeps=2)
    cost, initial, success = ppi.tasks.swing_up(plant, [np.pi, 0.0])
    bound, x, u = (
        cost.bind(plant),
        np.array([[np.pi, 0.0], [-np.pi, 0.0], [3 * np.pi, 0.0], [0.0, 0.0]]),
        np.zeros((4, 1)),
    )
    np.testing.assert_array_equal(initial, plant.state())
    np.testing.assert_array_equal(success(x), [True, True, True, False])
    np.testing.assert_allclose(bound.terminal(x)[:3], 0.0, atol=1e-20)
    # hanging, sine is 0 and 1 - cosine 2
    np.testing.assert_allclose(bound.stage(x, u)[3] / bound.terminal(x)[3], 0.1 / 100)


def test_effort_is_measured_in_control_ranges():
    half = PENDULUM.format(site="", actuator=MOTOR.replace("-4 4", "-2 2"))
    for source, limit in (("swing.xml", 4.0), (half, 2.0)):
        plant = ppi.MujocoPlant(source)
        bound = ppi.tasks.balance(plant, spread=0.0).cost.bind(plant)
        np.testing.assert_allclose(bound.stage(plant.state()[None], np.array([[limit]])), 0.01)


def test_tasks_refuse_what_does_not_fit():
    plant = ppi.MujocoPlant("swing.xml")
    with pytest.raises(ppi.ProblemError, match="state"):
        ppi.tasks.balance(plant, [1.0])
    with pytest.raises(ppi.ProblemError, match="spread is -1"):
        ppi.tasks.balance(plant, spread=-1.0)
    with pytest.raises(ppi.ProblemError, match="has no site 'tip'; it has end"):
        ppi.tasks.reach(plant, "tip", (0, 0, 1))
    with pytest.raises(ppi.ProblemError, match="expected a MujocoPlant"):
        ppi.tasks.swing_up(None, [0.0])
