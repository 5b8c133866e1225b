"""The command `mppi`, and methods that sample where a method is chosen by name."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_command_line import only_json, run
from test_command_mujoco import MOTOR, PENDULUM

import ppi_robotics as ppi
from plants import CartPole
from ppi_robotics.cli import methods

FEW = ("--horizon", 40, "--samples", 20, "--sequences", 32, "--iterations", 12, "--starts", 1)
PICTURES = {"trajectory.png", "cost.png", "animation.gif", "fan.png", "samples.png"}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


# -- what it does ----------------------------------------------------------------------------------------------------


def test_it_solves_evaluates_beside_ilqg_and_draws(capsys):
    options = ("--temperature", "ess:8", "--spread", "3", "--smoothing", "splines:10", "--seed", 3, "--json")
    code, output, _ = run(capsys, "mppi", "cartpole", *FEW, *options)
    facts = only_json(output)
    assert code == 1  # twelve rounds are not enough
    assert (facts["method"], facts["status"], facts["iterations"]) == ("mppi", "max_iterations", 12)
    assert (facts["sequences"], facts["noise_draws"], facts["feedback"]) == (32, 0, "sweep")
    assert facts["temperature"] == "TargetESS(samples=8)"
    assert facts["smoothing"] == "Splines(knots=10, degree=3)"
    folder = Path("out/cartpole")
    assert {path.name for path in folder.iterdir()} == PICTURES | {"policy.npz"}
    assert {Path(path).name for path in facts["files"]} == PICTURES | {"policy.npz"}
    for name in PICTURES:
        with Image.open(folder / name) as image:
            assert min(image.size) >= 320
    # the numbers are those of the policy that was written, and both policies met the same noise
    plant = CartPole()
    problem = ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 40)
    policy = ppi.LinearGaussianPolicy.load(facts["policy"])
    result = ppi.evaluate(problem, policy, 20, 3)
    assert (facts["mean"], facts["variance"]) == (result.mean, result.variance)
    assert np.isclose(facts["difference"]["mean"], facts["mean"] - facts["ilqg"]["mean"])
    method = ppi.MPPI(32, ppi.TargetESS(8), (3.0,), ppi.Splines(10), max_iterations=12)
    np.testing.assert_array_equal(policy.K, ppi.solve(problem, method, seed=3, starts=1).policy.K)


def test_the_table_names_both_methods(capsys):
    code, output, errors = run(capsys, "mppi", "cartpole", *FEW, "--out", "a")
    assert code == 1
    for text in ("MPPI", "iLQG", "max iterations", "mean cost", "difference to iLQG", "fan.png, samples.png"):
        assert text in output
    assert "MPPI is not solved: stopped at max_iterations" in errors


@pytest.mark.parametrize("options", [("--noise-draws", 2), ("--feedback", "samples"), ("--feedback", "none")])
def test_noise_and_feedback_are_options(capsys, options):
    code, output, _ = run(capsys, "mppi", "cartpole", *FEW, *options, "--json")
    facts = only_json(output)
    assert facts[options[0].removeprefix("--").replace("-", "_")] == options[1]
    assert np.isfinite(facts["mean"])


@pytest.mark.parametrize(("method", "name"), [("mppi", "MPPI"), ("cem", "CEM"), ("predictive_sampling", "Predictive")])
def test_methods_that_sample_are_methods_by_name(capsys, monkeypatch, method, name):
    monkeypatch.setattr(methods, "ROUNDS", 5)
    code, output, errors = run(capsys, "solve", "cartpole", "--method", method, "--horizon", 40, "--json")
    facts = only_json(output)
    assert (facts["method"], facts["iterations"], facts["smoothing"]) == (method, 5, "White()")
    assert errors.splitlines()[-1].startswith(name)


def test_splines_span_long_horizons():
    assert methods.sampling_defaults("cem", 50)["smoothing"] == ppi.Splines(25)
    assert methods.sampling_defaults("cem", 49)["smoothing"] == ppi.White()


@pytest.mark.parametrize("mpc", [(), ("--mpc",)])
def test_mujoco_bodies_are_sampled_too(capsys, monkeypatch, mpc):
    monkeypatch.setattr(methods, "ROUNDS", 30)
    Path("swing.xml").write_text(PENDULUM.format(site="", actuator=MOTOR))
    arguments = ("swing.xml", "--keyframe", "upright", "--method", "mppi", "--horizon", 20, "--samples", 8, *mpc)
    _, output, _ = run(capsys, "mujoco", *arguments, "--json")
    facts = only_json(output)
    assert (facts["method"], facts["sequences"], facts["success"]) == ("mppi", 256, True)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("2.5", 2.5),
        ("ess:0.1", ppi.TargetESS(0.1)),
        ("ess:10", ppi.TargetESS(10)),
        ("reps:0.5", ppi.REPS(0.5)),
        ("lbps:0.9", ppi.LBPS(0.9)),
        ("elite:0.1", ppi.Elite(0.1)),
    ],
)
def test_temperatures_are_numbers_or_rules(text, rule):
    assert methods.record_of("--temperature", "temperature", text) == rule


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("white", ppi.White()),
        ("ar1:0.9", ppi.AR1(0.9)),
        ("colored:2", ppi.Colored(2)),
        ("splines:15", ppi.Splines(15)),
        ("squared_exponential:0.2", ppi.Kernel("squared_exponential", 0.2)),
        ("matern32:0.2", ppi.Kernel("matern32", 0.2)),
        ("periodic:0.2,1", ppi.Kernel("periodic", 0.2, 1)),
    ],
)
def test_smoothings_have_names_and_numbers(text, kind):
    assert methods.record_of("--smoothing", "smoothing", text) == kind


# -- bad usage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ("", ["missing argument 'PLANT'", "--help"]),
        ("cartpol", ["'cartpol'", "did you mean cartpole?"]),
        ("cartpole --temperature x", ["--temperature is 'x'", "expected a number, or one of ess:SHARE_OR_COUNT, reps"]),
        ("cartpole --temperature ess", ["--temperature is 'ess'", "ess:SHARE_OR_COUNT"]),
        ("cartpole --temperature ess:1.5", ["samples is 1.5", "a share between 0 and 1"]),
        ("cartpole --temperature lbps:2", ["delta is 2", "below 1"]),
        ("cartpole --temperature=-1", ["temperature is -1", "expected a positive"]),
        ("cartpole --temperature nan", ["temperature", "expected a positive"]),
        ("cartpole --smoothing smooth", ["--smoothing is 'smooth'", "one of white, ar1:CORRELATION", "splines:KNOTS"]),
        ("cartpole --smoothing splines", ["--smoothing is 'splines'", "splines:KNOTS"]),
        ("cartpole --smoothing white:1", ["--smoothing is 'white:1'"]),
        ("cartpole --smoothing periodic:0.1", ["periodic:SECONDS,PERIOD"]),
        ("cartpole --smoothing ar1:b", ["--smoothing is 'ar1:b'", "ar1:CORRELATION"]),
        ("cartpole --smoothing ar1:1", ["correlation is 1", "below 1"]),
        ("cartpole --smoothing splines:3", ["knots is 3", "at least 4"]),
        ("cartpole --smoothing splines:50 --horizon 20", ["knots is 50", "20 stages"]),
        ("cartpole --spread wide", ["--spread is 'wide'", "numbers separated by commas"]),
        ("cartpole --spread -1", ["spread", "positive"]),
        ("cartpole --spread 1,2", ["spread has 2 entries", "1 controls"]),
        ("cartpole --sequences 1", ["samples is 1", "at least 2"]),
        ("cartpole --sequences few", ["'few'", "expected a whole number"]),
        ("cartpole --noise-draws -1", ["noise_draws is -1", "at least 0"]),
        ("cartpole --feedback all", ["feedback is 'all'", "choose from sweep, samples, none"]),
        ("cartpole --iterations 0", ["max_iterations is 0", "at least 1"]),
        ("cartpole --samples 1", ["--samples is 1", "at least 2"]),
        ("cartpole --horizon 0", ["--horizon is 0", "stages"]),
        ("cartpole --out file", ["--out is 'file'", "is no folder"]),
    ],
)
def test_bad_usage_is_one_line_and_writes_nothing(capsys, arguments, parts):
    Path("file").write_text("no folder")
    code, output, errors = run(capsys, "mppi", *arguments.split())
    assert (code, output) == (2, "")
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    for part in parts:
        assert part in errors
    assert [path.name for path in Path().iterdir()] == ["file"]


def test_help_lists_the_options(capsys):
    code, output, _ = run(capsys, "mppi", "--help")
    assert code == 0
    for option in ("sequences", "temperature", "spread", "smoothing", "noise-draws", "feedback", "iterations"):
        assert f"--{option}" in output
