"""The command line: what it prints, writes and returns, on the cart-pole."""

import csv
import io
import json
import logging
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import ppi_robotics as ppi
from plants import CartPole
from ppi_robotics import evaluation, risk
from ppi_robotics.cli import main, output, report, robots, runs

ROOT = Path(__file__).parent.parent
DEMOS = ROOT / "demos"
SWINGUP_KEYS = {"plant", "method", "eta", "status", "iterations", "nominal_cost", "mean", "variance", "standard_error"}
SWINGUP_KEYS |= {"success_rate", "solve_seconds", "evaluate_seconds", "policy"}
METHOD_NAMES = "ppi, ilqg, leqg, aico, psi, mppi, cem, predictive_sampling"
RISK_KEYS = {"eta", "mean", "mean_se", "variance", "variance_se", "cvar95", "entropic", "merit", "iterations", "status"}
RISK_KEYS |= {"expansion", "success_rate"}
RISK_KEYS |= {
    f"{name}_{end}" for name in ("mean", "variance", "cvar95", "entropic", "success") for end in ("low", "high")
}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def policy():
    """A policy that does nothing but keep the cart still, for 40 stages."""
    plant, T = CartPole(), 40
    still = np.tile(plant.hanging, (T, 1))
    gains = np.tile([[-1.0, 0.0, -2.0, 0.0]], (T, 1, 1))
    names = plant.name, plant.state_names, plant.control_names
    return ppi.LinearGaussianPolicy(still, np.zeros((T, 1)), gains, np.zeros((T, 1, 1)), plant.dt, *names)


def run(capsys, *arguments):
    """Exit code, standard output, standard error."""
    code = main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def only_json(output):
    """The object that is all of the output; NaN and infinity are no JSON."""
    assert output.endswith("}\n")
    assert output.count("\n") == 1
    return json.loads(output, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))


# -- what it does ----------------------------------------------------------------------------------------------------


def test_swingup_solves_evaluates_and_draws(capsys):
    code, output, _ = run(capsys, "swingup", "cartpole", "--json", "--samples", 400, "--seed", 3)
    facts = only_json(output)
    assert code == 0
    assert facts.keys() >= SWINGUP_KEYS
    assert (facts["plant"], facts["method"], facts["eta"], facts["theta"]) == ("cartpole", "ppi", 0.1, None)
    assert facts["status"] == "converged"
    assert facts["horizon"] == 150
    assert facts["success_rate"] > 0.95
    folder = Path("out/cartpole")
    names = {"policy.npz", "trajectory.png", "cost.png", "animation.gif"}
    assert {path.name for path in folder.iterdir()} == names
    assert {Path(path).name for path in facts["files"]} == names
    for name in names - {"policy.npz"}:
        with Image.open(folder / name) as image:
            assert min(image.size) >= 320
            assert getattr(image, "n_frames", 1) == (151 if name.endswith("gif") else 1)
    # the numbers are those of the policy that was written, and iLQG met the same noise
    plant = CartPole()
    problem = ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 150)
    result = ppi.evaluate(problem, ppi.LinearGaussianPolicy.load(facts["policy"]), 400, 3)
    assert (facts["mean"], facts["variance"]) == (result.mean, result.variance)
    optimized = ppi.evaluate(problem, ppi.solve(problem, ppi.ILQG(), seed=3).policy, 400, 3)
    assert facts["ilqg"]["mean"] == optimized.mean
    paired = ppi.Evaluation(result.cost - optimized.cost)
    paired = {"mean": paired.mean, "standard_error": paired.standard_error, "interval": list(paired.mean_interval())}
    assert facts["difference"] == paired
    assert facts["mean_interval"] == list(result.mean_interval())
    assert facts["success_interval"] == list(result.success_interval())
    assert facts["cvar_interval"] == list(result.cvar_interval())
    assert facts["no_interval"] == {}


def test_swingup_prints_a_table_of_both_methods(capsys):
    code, output, errors = run(capsys, "swingup", "cartpole", "--method", "leqg", "--samples", 50, "--out", "a/b")
    assert code == 0
    assert "cartpole: 150 stages, 3 s, 50 noisy rollouts, sigma 0.5, seed 0" in output
    for row in ("LEQG (θ = 0.05)", "iLQG", "converged", "mean cost", "success rate", "difference to iLQG"):
        assert row in output
    assert "written to a/b: policy.npz, trajectory.png, cost.png, animation.gif" in output
    assert all(line.startswith("compiling kernels for cartpole") for line in errors.splitlines())


def test_solve_writes_a_policy_that_evaluate_and_compare_take(capsys):
    code, output, _ = run(capsys, "solve", "cartpole", "--method", "ilqg", "--horizon", 60, "--out", "a", "--json")
    solved = only_json(output)
    assert code == 0
    assert solved["horizon"] == 60
    assert solved["eta"] is None
    assert solved["policy"] == "a/policy.npz"
    assert [p.name for p in Path("a").iterdir()] == ["policy.npz"]
    code, output, _ = run(capsys, "evaluate", "cartpole", "a/policy.npz", "--samples", 300, "--noise", 0.4, "--json")
    facts = only_json(output)
    assert code == 0
    assert facts["samples"] == 300
    assert facts["files"] == []
    assert facts["noise"] == 0.4
    run(capsys, "solve", "cartpole", "--eta", 1, "--horizon", 60, "--out", "b")
    code, output, _ = run(
        capsys, "compare", "cartpole", "a/policy.npz", "b/policy.npz", "--samples", 300, "--out", "c", "--json"
    )
    table = only_json(output)
    assert code == 0
    assert table["reference"] == "a/policy.npz"
    assert Path("c/cost.png").exists()
    means = {name: facts["mean"] for name, facts in table["evaluations"].items()}
    difference = table["differences"]["b/policy.npz"]
    assert np.isclose(difference["mean"], means["b/policy.npz"] - means["a/policy.npz"])
    low, high = difference["interval"]
    assert low < difference["mean"] < high
    code, output, _ = run(capsys, "compare", "cartpole", "a/policy.npz", "b/policy.npz", "--samples", 300)
    assert code == 0
    assert "difference to a/policy.npz" in output


def test_a_policy_that_stands_in_for_an_answer_replaces_none(capsys):
    small = ("solve", "cartpole", "--horizon", 60, "--starts", 1, "--out", "a", "--json")
    assert run(capsys, *small, "--method", "ilqg")[0] == 0
    before = Path("a/policy.npz").read_bytes()
    for weight in (("--method", "leqg", "--theta", 90), ("--eta", -90)):
        code, output, errors = run(capsys, *small, *weight)
        facts = only_json(output)
        assert code == 1
        assert (facts["status"], facts["policy"], facts["files"]) == ("risk_breakdown", None, [])
        assert "policy.npz is not written" in errors
        assert f"the critical theta (-eta) is {facts['critical_theta']:.2g}"[:-1] in errors
        assert Path("a/policy.npz").read_bytes() == before


def test_evaluate_draws_on_request_only(capsys, policy):
    policy.save("still.npz")
    code, output, _ = run(capsys, "evaluate", "cartpole", "still.npz", "--samples", 64)
    assert code == 0
    assert "mean cost" in output
    assert "written" not in output
    assert [path.name for path in Path().iterdir()] == ["still.npz"]
    code, output, _ = run(capsys, "evaluate", "cartpole", "still.npz", "--samples", 64, "--out", "pictures")
    assert code == 0
    assert "written to pictures: trajectory.png, cost.png" in output
    assert {path.name for path in Path("pictures").iterdir()} == {"trajectory.png", "cost.png"}


def test_risk_sweeps_evaluates_and_draws(capsys):
    weights = ("--eta", "0.1,-0.2,0", "--theta", "0.1")
    code, output, errors = run(capsys, "risk", "cartpole", *weights, "--samples", 300, "--seed", 2, "--json")
    facts = only_json(output)
    assert code == 0
    assert all(line.startswith("compiling kernels for cartpole") for line in errors.splitlines())
    assert (facts["plant"], facts["samples"], facts["seed"], facts["noise"]) == ("cartpole", 300, 2, 0.5)
    assert facts["files"] == ["out/cartpole/risk.csv", "out/cartpole/risk.png"]
    assert [row["eta"] for row in facts["rows"]] == [-0.2, -0.1, 0.0, 0.1]
    extra = {"theta": 0.1, "method": "leqg"}
    for row in (*facts["rows"], facts["ilqg"]):
        assert row.keys() - extra.keys() == RISK_KEYS
        assert {key: row[key] for key in extra if key in row} == (extra if row["eta"] == -0.1 else {})
    # the numbers are those of the policies that the seed leads to, all on the same noise
    plant = CartPole()
    problem = ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 150)
    result = ppi.evaluate(problem, ppi.solve(problem, ppi.ILQG(), seed=2).policy, 300, 2)
    assert facts["ilqg"]["mean"] == facts["ilqg"]["entropic"] == result.mean
    with open("out/cartpole/risk.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line.pop("method") for line in lines] == ["ppi", "leqg", "ppi", "ppi", "ilqg"]
    for line, row in zip(lines, (*facts["rows"], facts["ilqg"]), strict=True):
        assert line == {key: "" if row[key] is None else str(row[key]) for key in line}
        assert line.keys() == RISK_KEYS
    with Image.open("out/cartpole/risk.png") as image:
        assert min(image.size) >= 700


def test_risk_prints_a_table_and_goes_on_after_a_breakdown(capsys):
    code, output, errors = run(capsys, "risk", "cartpole", "--eta=-3,0", "--samples", 50, "--out", "a")
    assert code == 1
    assert "cartpole: 150 stages, 3 s, 50 noisy rollouts, sigma 0.5, seed 0" in output
    for text in (
        "95 % intervals in brackets",
        "entropic",
        "no interval of the CVaR 95 %",
        "risk breakdown",
        "converged",
        "iLQG",
        "a: risk.csv, risk.png",
    ):
        assert text in output
    assert "PPI (η = -3) is not solved: the risk weight is too averse" in errors
    assert "nan" not in Path("a/risk.csv").read_text(encoding="utf-8")


def test_risk_compares_expansions_in_pairs(capsys):
    arguments = ("--eta", "0,0.2", "--theta", 0.1, "--expansion", "cubature,taylor", "--noise", 1)
    code, output, _ = run(capsys, "risk", "cartpole", *arguments, "--samples", 300, "--json")
    facts = only_json(output)
    assert code == 0
    rows = {(row["eta"], row["expansion"]): row for row in facts["rows"]}
    assert list(rows) == [(-0.1, "taylor"), (0.0, "cubature"), (0.0, "taylor"), (0.2, "cubature"), (0.2, "taylor")]
    plant = CartPole(sigma=1.0)
    problem = ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 150)
    for eta in (0.0, 0.2):
        ours, theirs = rows[eta, "cubature"], rows[eta, "taylor"]
        assert theirs["difference"] == pytest.approx(theirs["mean"] - ours["mean"])
        # the same noise under both: errors of the difference are far below those of either mean
        assert 0 < theirs["difference_se"] < theirs["mean_se"] / 3
        assert "difference" not in ours
    sigma = ppi.risk_sweep(problem, ppi.PPI(0, expansion=ppi.SigmaPoints()), eta=[0, 0.2])
    result = ppi.evaluate(problem, sigma[1].policy, 300, 0)
    row = rows[0.2, "cubature"]
    assert (row["mean"], row["success_rate"], row["iterations"]) == (
        result.mean,
        result.success_rate,
        sigma[1].iterations,
    )
    with open("out/cartpole/risk.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["method"] for line in lines] == ["leqg", "ppi", "ppi", "ppi", "ppi", "ilqg"]
    for line, row in zip(lines[:-1], facts["rows"], strict=True):
        assert {key: line[key] for key in row if key in line} == {
            key: "" if row[key] is None else str(row[key]) for key in row if key in line
        }
        assert ("difference" in row) == bool(line["difference"])


def test_risk_table_names_expansions_and_differences(capsys):
    few = ("--samples", 20, "--horizon", 40)
    code, output, _ = run(capsys, "risk", "cartpole", "--eta", 0, "--expansion", "taylor,unscented", *few)
    assert code == 0
    for text in ("expansion", "unscented", "difference to taylor", "success"):
        assert text in output
    code, output, _ = run(capsys, "risk", "cartpole", "--eta", 0, *few)
    assert "expansion" not in output


def test_risk_has_weights_of_its_own(capsys):
    code, output, _ = run(capsys, "risk", "cartpole", "--samples", 20, "--horizon", 40, "--noise", 0.1, "--json")
    facts = only_json(output)
    assert code == 0
    assert facts["horizon"] == 40
    etas = [row["eta"] for row in facts["rows"]]
    assert len(etas) == 12
    assert min(etas) < 0 < max(etas)
    assert 0.0 in etas


def test_interrupting_a_sweep_shows_what_is_solved_and_writes_nothing(capsys, monkeypatch):
    whole = risk.solve

    def cut(problem, method, seed, callback, **others):
        return whole(problem, method, seed, callback=lambda row: row.index == 5, **others)

    monkeypatch.setattr(risk, "solve", cut)
    code, output, errors = run(capsys, "risk", "cartpole", "--out", "a")
    assert code == 130
    assert "PPI (η = 0)" in output
    assert "interrupted: these are the results until then" in output
    assert errors.splitlines()[-1] == "interrupted; written so far: nothing"
    assert not list(Path().iterdir())


def test_plants_lists_every_plant(capsys):
    code, output, _ = run(capsys, "plants")
    assert code == 0
    for text in ("pendulum", "cartpole", "acrobot", "double_cartpole", "angular velocity [rad/s]", "150 stages", "3 s"):
        assert text in output
    code, output, _ = run(capsys, "plants", "--json")
    listed = only_json(output)["plants"]
    assert code == 0
    assert set(listed) == {"pendulum", "cartpole", "acrobot", "double_cartpole"}
    assert listed["cartpole"]["control_limits"] == [[None, None]]
    assert listed["cartpole"]["default_horizon"] == 150


@pytest.mark.parametrize(("method", "eta", "name"), [("aico", None, "AICO"), ("psi", 1.0, "Psi (η = 1)")])
def test_soft_methods_solve_too(capsys, method, eta, name):
    arguments = ("cartpole", "--method", method, "--horizon", 40, "--starts", 1)
    code, output, _ = run(capsys, "solve", *arguments, "--json")
    facts = only_json(output)
    assert (code, facts["method"], facts["eta"], facts["theta"]) == (0, method, eta, None)
    code, output, _ = run(capsys, "swingup", *arguments, "--samples", 20)
    assert code == 0
    assert name in output
    assert "difference to iLQG" in output


def test_unsolved_is_exit_code_one_with_the_reason(capsys, monkeypatch):
    monkeypatch.setattr(ppi, "PPI", lambda eta, whole=ppi.PPI: whole(eta, max_iterations=2))
    code, output, errors = run(capsys, "solve", "cartpole", "--json")
    assert code == 1
    assert only_json(output)["status"] == "max_iterations"
    assert "PPI (η = 0.1) is not solved: stopped at max_iterations" in errors


def test_diverged_rollouts_are_null_in_json_and_leave_no_pictures(capsys, policy):
    replace(policy, K=1e30 * policy.K).save("wild.npz")
    code, output, errors = run(capsys, "evaluate", "cartpole", "wild.npz", "--samples", 20, "--out", "new", "--json")
    facts = only_json(output)
    assert (code, facts["mean"], facts["diverged"], facts["success_rate"]) == (0, None, 20, 0.0)
    assert "every rollout diverged" in errors
    assert facts["files"] == []
    assert not Path("new").exists()


# -- bad usage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            "",
            [
                "missing command",
                "plants, solve, evaluate, compare, swingup, mppi, risk, mujoco, grid, central, stag, blocks",
                "--help",
            ],
        ),
        ("swngup cartpole", ["'swngup'", "Did you mean 'swingup'?", "hoose from plants"]),
        ("swingup", ["missing argument 'PLANT'", "--help"]),
        ("swingup cartpol", ["'cartpol'", "choose from pendulum, cartpole", "did you mean cartpole?"]),
        ("swingup cartpole --method pii", ["'pii'", f"choose from {METHOD_NAMES}", "did you mean ppi?"]),
        ("swingup cartpole --metod ppi", ["--metod", "--method", "--help"]),
        ("swingup cartpole extra", ["extra", "--help"]),
        ("swingup cartpole --eta", ["'--eta' requires an argument"]),
        ("swingup cartpole --eta x", ["'--eta'", "'x'", "expected a number"]),
        ("swingup cartpole --eta nan", ["eta is nan", "expected a finite number"]),
        ("swingup cartpole --method ilqg --eta 0.1", ["--eta belongs to method ppi and psi", "give --method ppi"]),
        ("solve cartpole --method aico --eta 1", ["--eta belongs to method ppi and psi", "method is aico"]),
        ("solve cartpole --method psi --theta 1", ["--theta belongs to method leqg", "method is psi"]),
        ("solve cartpole --method psi --eta 0", ["eta is 0", "expected a positive"]),
        ("solve pendulum --method psi", ["knows no limits", "the plant has some"]),
        ("solve cartpole --theta 0.1", ["--theta belongs to method leqg", "give --method leqg"]),
        ("swingup cartpole --horizon 0", ["--horizon is 0", "stages", "0.02 s each"]),
        ("swingup cartpole --horizon 1.5", ["'--horizon'", "'1.5'", "expected a whole number"]),
        ("solve cartpole --horizon 10000000000", ["--horizon is 10000000000", "1 to 1000000 stages"]),
        ("swingup cartpole --noise -1", ["--noise is -1", "0 or more"]),
        ("swingup cartpole --noise inf", ["--noise is inf", "finite"]),
        ("swingup cartpole --starts 0", ["--starts is 0", "at least 1"]),
        ("swingup cartpole --samples 1", ["--samples is 1", "at least 2"]),
        ("swingup cartpole --seed -1", ["--seed is -1", "at least 0"]),
        ("swingup cartpole --out file", ["--out is 'file'", "is no folder", "give a folder"]),
        ("solve cartpole --out file/below", ["--out is 'file/below'", "is no folder"]),
        ("evaluate cartpole none.npz", ["'none.npz'", "policy.save"]),
        ("evaluate cartpole file --out new", ["'file'", "expected a .npz"]),
        ("evaluate cartpole cut.npz --out new", ["'cut.npz'", "expected a .npz"]),
        ("evaluate pendulum still.npz --out new", ["'cartpole'", "'pendulum'", "solve for this plant"]),
        ("evaluate cartpole still.npz --samples 1 --out new", ["--samples is 1"]),
        ("evaluate cartpole still.npz --out file", ["--out is 'file'"]),
        ("risk", ["missing argument 'PLANT'", "--help"]),
        ("risk cartpol", ["'cartpol'", "did you mean cartpole?"]),
        ("risk cartpole --eta 0,x", ["--eta is '0,x'", "expected numbers separated by commas"]),
        ("risk cartpole --eta 0,,1", ["--eta is '0,,1'", "such as 0,0.1,1"]),
        ("risk cartpole --theta=", ["--theta is ''", "such as 0,0.1,1"]),
        ("risk cartpole --eta 0,nan", ["eta is nan", "expected a finite number"]),
        ("risk cartpole --theta 1e400", ["theta is inf", "expected a finite number"]),
        ("risk cartpole --eta 0.1,0,0.10", ["eta holds 0.1 twice", "once"]),
        (
            "risk cartpole --expansion tailor",
            ["unknown expansion 'tailor'", "taylor, cubature", "did you mean taylor?"],
        ),
        ("risk cartpole --expansion=", ["unknown expansion ''", "choose from taylor"]),
        ("risk cartpole --expansion taylor,", ["unknown expansion ''", "choose from taylor"]),
        ("risk cartpole --expansion cubature,cubature", ["--expansion holds cubature twice", "once"]),
        ("risk cartpole --theta 0.1 --expansion cubature", ["--expansion cubature is for ppi", "give --eta"]),
        ("risk cartpole --samples 1", ["--samples is 1", "at least 2"]),
        ("risk cartpole --seed -1", ["--seed is -1", "at least 0"]),
        ("risk cartpole --starts 0", ["--starts is 0", "at least 1"]),
        ("risk cartpole --horizon 0", ["--horizon is 0", "stages"]),
        ("risk cartpole --noise nan", ["--noise is nan", "finite"]),
        ("risk cartpole --out file", ["--out is 'file'", "is no folder"]),
        ("compare cartpole still.npz", ["'still.npz'", "two or more", "evaluate"]),
        ("compare cartpole still.npz still.npz", ["'still.npz' is given twice"]),
        ("compare cartpole still.npz shorter.npz --out new", ["20 stages", "40", "solve again"]),
    ],
)
def test_bad_usage_is_one_line_and_writes_nothing(capsys, policy, arguments, parts):
    policy.save("still.npz")
    short = {name: getattr(policy, name)[:20] for name in ("x_ref", "u_ref", "K", "cov")}
    replace(policy, **short).save("shorter.npz")
    Path("cut.npz").write_bytes(Path("still.npz").read_bytes()[:900])
    Path("file").write_text("no policy")
    before = sorted(Path().rglob("*"))
    code, output, errors = run(capsys, *arguments.split())
    assert code == 2
    assert output == ""
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert "Traceback" not in errors
    for part in parts:
        assert part in errors
    assert sorted(Path().rglob("*")) == before


def test_module_runs_as_a_program():
    command = [sys.executable, "-m", "ppi_robotics", "swingup", "rocket"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: unknown plant 'rocket'")


def test_a_file_that_hides_the_plants_is_named(tmp_path):
    (tmp_path / "plants.py").write_text("robots = 3\n")
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    command = [sys.executable, "-m", "ppi_robotics", "plants"]
    options = {"capture_output": True, "text": True, "check": False, "cwd": tmp_path}
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, **options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: '{tmp_path / 'plants.py'}' hides the package plants that comes with ppi_robotics; rename it, or run "
        "elsewhere\n"
    )


def test_help_comes_without_loading_libraries():
    code = (
        "import sys\nfrom ppi_robotics.__main__ import main\n"
        "assert main(['swingup', '--help']) == 0\n"
        "print(sorted({'numba', 'casadi', 'matplotlib', 'scipy'} & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stderr.strip() == "[]"
    for option in ["method", "eta", "theta", "horizon", "noise", "starts", "samples", "seed", "out", "json"]:
        assert f"--{option}" in done.stdout


# -- progress and interruption ---------------------------------------------------------------------------------------


def screen(monkeypatch, terminal):
    """Standard error as a text of its own."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100, markup=False, highlight=False)
    monkeypatch.setattr(output, "ERRORS", console)
    return console.file


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_live_on_a_terminal_only(monkeypatch, capsys, terminal, policy):
    policy.save("[x] 1 $ still.npz")
    text = screen(monkeypatch, terminal)
    assert main(["evaluate", "cartpole", "[x] 1 $ still.npz", "--samples", "3000", "--json"]) == 0
    only_json(capsys.readouterr().out)
    lines = [line for line in text.getvalue().splitlines() if not line.startswith("compiling")]
    assert ("rollouts" in "".join(lines)) == terminal
    assert bool(lines) == terminal


def test_where_there_is_no_terminal_progress_is_told_in_lines_of_the_newest_state(capsys, monkeypatch):
    monkeypatch.setattr(output, "EVERY", 0.01)

    def told(text):
        """Wait until a line begins with a text; the lines until then."""
        lines = []
        while not any(line.startswith(text) for line in lines):
            time.sleep(0.01)
            lines += capsys.readouterr().err.splitlines()
        return lines

    with output.progress("guessing") as say:
        assert all(line.startswith("guessing (") for line in told("guessing"))  # also where nothing is said meanwhile
        say("iteration 7")
        assert all(line.startswith(("guessing (", "iteration 7 (")) for line in told("iteration 7"))
    capsys.readouterr()
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


def test_short_work_says_nothing_of_its_progress(capsys):
    with output.progress("guessing") as say:
        say("iteration 7")
    assert capsys.readouterr().err == ""


def test_progress_ends_with_what_it_is_about(capsys):
    with pytest.raises(KeyboardInterrupt), output.progress("guessing"):
        raise KeyboardInterrupt
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "beginnings"),
    [
        ("solve cartpole", ["PPI (η = 0.1): iteration 1, cost "]),
        (
            "risk cartpole --eta 0.1,0 --samples 20",
            ["PPI (η = 0): iteration 1, cost ", "PPI (η = 0.1): iteration 1, cost ", "all policies: 20 of 20 rollouts"],
        ),
    ],
)
def test_solving_shows_iteration_cost_and_change(monkeypatch, arguments, beginnings):
    said = []

    class Bar:
        def __init__(self, text):
            pass

        def say(self, text, done=None, total=None):
            said.append(text)

        def stop(self):
            pass

    screen(monkeypatch, True)
    monkeypatch.setattr(output, "Bar", Bar)
    assert main([*arguments.split(), "--horizon", "40"]) == 0
    assert said[0].startswith(beginnings[0])
    assert ", change " in said[0]
    order = [next(i for i, text in enumerate(said) if text.startswith(beginning)) for beginning in beginnings]
    assert order == sorted(order)


def test_compiling_is_announced_once(monkeypatch):
    text = screen(monkeypatch, False)
    log, about = logging.getLogger("ppi_robotics"), report.Report()

    def work():
        about.begin("cartpole", None)
        log.warning("compiling %s; this happens once on a machine", "plant cartpole")
        log.warning("compiling %s; this happens once on a machine", "cost")
        log.warning("something else")

    assert about.run(work) == 0
    assert text.getvalue().splitlines() == [
        "compiling kernels for cartpole (first run only, up to a minute) ...",
        "something else",
    ]
    assert not any(isinstance(handler, output.CompileNotice) for handler in log.handlers)


def test_interruption_keeps_the_best_policy_and_says_so(capsys, monkeypatch):
    whole = ppi.solve

    def cut(problem, method, callback, **others):
        return whole(problem, method, callback=lambda row: row.index == 5, **others)

    monkeypatch.setattr(ppi, "solve", cut)
    code, output, errors = run(capsys, "swingup", "cartpole", "--out", "a", "--json")
    assert code == 130
    facts = only_json(output)
    assert facts["interrupted"]
    assert (facts["status"], facts["iterations"]) == ("interrupted", 5)
    assert "mean" not in facts
    assert errors.splitlines()[-1] == "interrupted; written so far: a/policy.npz"
    assert ppi.LinearGaussianPolicy.load("a/policy.npz").plant == "cartpole"


@pytest.fixture
def _ctrl_c():
    """Ctrl-C raises KeyboardInterrupt, also in a test process that ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
@pytest.mark.parametrize("command", ["evaluate cartpole a.npz", "compare cartpole a.npz b.npz"])
def test_interrupted_commands_show_the_samples_that_are_finished(capsys, monkeypatch, policy, command):
    policy.save("a.npz")
    policy.save("b.npz")
    monkeypatch.setattr(evaluation, "_chunk", lambda _: 64)

    def press(say, name):
        return lambda done, total: done == 640 < total and signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(runs, "count_rollouts", press)
    monkeypatch.setattr(robots, "count_rollouts", press)
    code, output, errors = run(capsys, *command.split(), "--samples", "100000", "--json")
    facts = only_json(output)
    assert code == 130
    assert facts["interrupted"]
    assert errors.splitlines()[-1] == "interrupted; written so far: nothing"
    samples = facts["samples"] if "samples" in facts else facts["evaluations"]["a"]["samples"]
    assert samples == 640
    code, output, _ = run(capsys, *command.split(), "--samples", "640", "--json")
    again = only_json(output)
    assert code == 0
    assert not again["interrupted"]
    assert again.get("mean") == facts.get("mean")
    assert again.get("differences") == facts.get("differences")
    _, output, _ = run(capsys, *command.split(), "--samples", "100000")
    assert "640 noisy rollouts" in output
    assert "interrupted: these are the results until then" in output


def test_interruption_before_anything_is_written(capsys, monkeypatch):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    for name in ("solve", "Problem"):
        monkeypatch.setattr(ppi, name, stop)
        code, output, errors = run(capsys, "swingup", "cartpole")
        assert code == 130
        assert output == ""
        assert errors.startswith("interrupted")
        assert errors.count("\n") == 1
    assert not list(Path().iterdir())


@pytest.mark.parametrize("forks", [True, False])
def test_work_alongside_is_done_once_and_its_failure_is_raised_here(monkeypatch, forks):
    if not forks:
        monkeypatch.setattr(runs, "fork", lambda work: None)

    def work():
        with Path("work").open("a") as file:
            file.write("done")

    def fail():
        raise ppi.ProblemError("a full disk")

    with runs.alongside(work):
        Path("body").touch()
    assert Path("work").read_text() == "done"
    with pytest.raises(ppi.ProblemError, match="a full disk"), runs.alongside(fail):
        Path("second").touch()
    assert Path("second").exists()


def test_work_alongside_ends_with_the_body():
    with pytest.raises(KeyboardInterrupt), runs.alongside(lambda: time.sleep(30)):
        raise KeyboardInterrupt
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


# -- demos -----------------------------------------------------------------------------------------------------------


def test_demos_are_short():
    for demo in DEMOS.glob("*.py"):
        assert len(demo.read_text(encoding="utf-8").splitlines()) < 65, demo.name


def test_swing_up_demo_runs(capsys, tmp_path):
    runpy.run_path(str(DEMOS / "swing_up.py"))["main"](tmp_path / "demo")
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {
        "policy.npz",
        "trajectory.png",
        "cost.png",
        "animation.gif",
    }
    assert "PPI: converged" in capsys.readouterr().out


def test_risk_demo_runs(capsys, tmp_path):
    runpy.run_path(str(DEMOS / "risk.py"))["main"](tmp_path / "demo", samples=100)
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["risk.png"]
    output = capsys.readouterr().out
    assert "eta = -2: the risk weight is too averse" in output
    assert "100 common samples, seed 0" in output


def test_receding_horizon_demo_recovers_from_its_push(capsys, tmp_path):
    runpy.run_path(str(DEMOS / "receding_horizon.py"))["main"](tmp_path / "demo")
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["trajectory.png"]
    output = capsys.readouterr().out
    assert float(output.split("at the end ")[1].split()[0]) < 2.0
    assert "299 replans: 299 adopted, 0 failed" in output


def test_own_plant_demo_is_a_plant_that_can_be_drawn():
    rocket = runpy.run_path(str(DEMOS / "your_own_plant.py"))["Rocket"]()
    assert isinstance(rocket, ppi.Problem.__annotations__["plant"])
    hover = rocket.derivative(np.array([1.0, 2.0, 0.0, 0.3, 0.4, 0.5]), np.array([9.81, 0.2]))
    np.testing.assert_allclose(np.array(hover).ravel(), [0.3, 0.4, 0.5, 0.0, 0.0, 1.0], atol=1e-12)
    assert [shape.role for shape in rocket.draw(np.zeros(6))] == ["track", "link", "tip"]
