"""What every command has, how options are read off functions and dataclasses, and plants of one's own."""

import csv
import os
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import click
import numpy as np
import pytest
from rich.console import Console
from test_command_line import ROOT, only_json, run

import ppi_robotics as ppi
from plants import CartPole
from ppi_robotics.cli import TABLES, Report, app, command, methods, options, output, problems

FEW = ("--horizon", 40, "--starts", 1)
SLIDER = '''
import ppi_robotics as ppi
from plants import CartPole


class Short(CartPole):
    """A cart-pole whose swing-up takes as many stages as compiled kernels of other tests."""

    default_horizon = 40


class Bare(CartPole):
    swing_up_cost = hanging = default_horizon = None


def problem():
    plant = CartPole()
    return ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 40)


def broken():
    raise RuntimeError("no luck")
'''


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(SLIDER)
    Path("wrong.py").write_text("1 / 0")


def solved(capsys, *arguments):
    """Facts of a solve by iLQG."""
    code, output, errors = run(capsys, "solve", *arguments, "--method", "ilqg", "--starts", 1, "--json")
    assert code == 0, errors
    return only_json(output)


def cost_of(plant, cost=None, horizon=40, initial=None):
    """Cost that iLQG finds."""
    cost = plant.swing_up_cost() if cost is None else cost
    problem = ppi.Problem(plant, cost, plant.hanging if initial is None else initial, horizon)
    return ppi.solve(problem, ppi.ILQG(), starts=1).nominal_cost


# -- a command ---------------------------------------------------------------------------------------------------------


def test_a_new_command_takes_fifteen_lines(capsys, monkeypatch):
    monkeypatch.setitem(app._REGISTERED, "roll", None)  # forgotten afterwards

    @command("roll", TABLES)
    def roll(report: Report, sides: Annotated[int, "N", range(2, 101)] = 6, seed: int = 0):
        """Roll a die.

        Args:
          sides: of the die.
          seed: of the roll.
        """
        number = int(np.random.default_rng(seed).integers(sides)) + 1
        rows = [["", "number"], ["die", str(number)]]
        report.add({"sides": sides, "number": number}, f"a die of {sides} sides", rows)

    code, output, _ = run(capsys, "roll", "--sides", "1e2", "--json")
    facts = only_json(output)
    assert (code, facts["sides"], facts["interrupted"]) == (0, 100, False)
    assert 1 <= facts["number"] <= 100
    assert "a die of 6 sides" in run(capsys, "roll")[1]
    code, output, _ = run(capsys, "roll", "-h")
    for text in ("Roll a die.", "--sides N", "Of the die.", "[default: 6]", "--json", "--csv FILE"):
        assert text in output
    assert "roll" in run(capsys, "--help")[1].split("Tables and graphs:")[1]
    code, _, errors = run(capsys, "roll", "--sides", 1)
    assert (code, errors) == (2, "error: --sides is 1; expected a whole number, at least 2 and at most 100\n")


def test_options_are_read_off_types_defaults_and_docstrings():
    @dataclass(frozen=True)
    class Die:
        """A die.

        Attributes:
          sides: how many,
            all told.
          loaded: whether it is fair.
        """

        sides: Annotated[int, "N", "--sides", "--faces"]
        loaded: bool = False

    def roll(report, dice: Die, weights: list[float] | None = None, *, name: Annotated[str, ("a", "b")] = "a"):
        """Roll."""

    found = {param.name: param for param in options.options_of(roll)}
    assert isinstance(found["sides"], click.Argument)
    assert found["loaded"].is_flag
    assert found["loaded"].help == "Whether it is fair."
    assert found["sides"].text == "How many, all told."
    assert found["weights"].type.convert("-3,0", found["weights"], None) == [-3.0, 0.0]
    assert found["name"].metavar == "a|b"
    with pytest.raises(ppi.ProblemError, match="unknown name 'c'; choose from a, b"):
        found["name"].type.convert("c", found["name"], None)
    values = {"sides": 6, "loaded": True, "weights": None, "name": "b"}
    assert options.arguments_of(roll, values) == {"dice": Die(6, True), "weights": None, "name": "b"}


@pytest.mark.parametrize("name", methods.METHODS)
def test_options_of_methods_are_those_of_their_dataclasses(capsys, name):
    """What is read off the source text is what the class has."""
    kind = getattr(ppi, methods.METHODS[name])
    read = options.source_fields(methods.METHODS[name])
    assert set(read) == {field.name for field in fields(kind) if field.init}
    code, output, _ = run(capsys, "solve", "--method", name, "--help")
    assert code == 0
    section = output.split(f"Options of the method {name}")[1] if "Options of the method" in output else ""
    for key, field in read.items():
        assert methods.flag_of(key) in (output if key in ("eta", "theta") else section)
        assert field.help, f"{name}.{key} has no description"


def test_help_of_a_plant_lists_what_can_be_set(capsys):
    code, output, _ = run(capsys, "solve", "cartpole", "--help")
    assert code == 0
    section = " ".join(output.split("Values of --set for cartpole:")[1].split())
    for text in ("plant.force_limit=None Largest force in either direction [N]", "cost.force=0.01", "noise.control"):
        assert text in section
    assert "Values of --set" not in run(capsys, "solve", "--help")[1]


def test_values_of_methods_become_those_of_their_fields(capsys):
    arguments = ("solve", "cartpole", *FEW, "--method", "ilqg", "--iterations", 3, "--fresh-gains", "false")
    code, _, errors = run(capsys, *arguments, "--hessian", "exact", "--damping", "1e-3", "--out", "a")
    assert code == 1
    assert "stopped at max_iterations" in errors
    chosen = methods.Method("ilqg", method_hessian="exact", method_fresh_gains="false", method_damping="1e-3")
    assert chosen.make(40) == ppi.ILQG(hessian="exact", fresh_gains=False, damping=1e-3)
    chosen = methods.Method(None, method_expansion="cubature", method_eta="-2")
    assert chosen.make(40, {"tolerance": "1e-3"}) == ppi.PPI(-2.0, expansion=ppi.SigmaPoints(), tolerance=1e-3)
    chosen = methods.Method("cem", method_spread="1,2", method_baseline="moving", method_samples="1e3")
    assert chosen.make(10) == ppi.CEM(1000, spread=(1.0, 2.0), smoothing=ppi.White(), max_iterations=400)


# -- the program -------------------------------------------------------------------------------------------------------


def test_version_and_help_have_short_forms(capsys):
    assert run(capsys, "--version") == (0, f"ppi-robotics {ppi.__version__}\n", "")
    for words in ((), ("solve",), ("grid",), ("grid", "vi"), ("blocks", "exact"), ("stag", "phase")):
        short, long = run(capsys, *words, "-h"), run(capsys, *words, "--help")
        assert short == long
        assert short[0] == 0


def test_commands_are_listed_under_headings(capsys):
    output = run(capsys, "--help")[1]
    robots, tables = output.split("Robots:")[1].split("Tables and graphs:")
    for name in ("plants", "solve", "evaluate", "compare", "swingup", "mppi", "risk", "mujoco"):
        assert f"\n  {name} " in robots
    for name in ("grid", "central", "stag", "blocks"):
        assert f"\n  {name} " in tables
    assert "..." not in robots + tables


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_told_how_to_complete(capsys, shell):
    code, output, _ = run(capsys, "--completion", shell)
    assert code == 0
    assert "_PPI_ROBOTICS_COMPLETE" in output
    assert "ppi-robotics" in output


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("sw", {"swingup"}),
        ("grid v", {"vi"}),
        ("solve --me", {"--method"}),
        ("solve --method le", {"leqg"}),
        ("solve cart", {"cartpole"}),
        ("grid vi --slip r", {"random"}),
    ],
)
def test_words_are_completed(words, names):
    typed = ["ppi-robotics", *words.split(" ")]
    asked = {
        "_PPI_ROBOTICS_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(typed),
        "COMP_CWORD": str(len(typed) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "ppi_robotics"], capture_output=True, text=True, env=os.environ | asked, cwd=ROOT
    )
    assert {line.split(",")[1] for line in done.stdout.split()} == names


def test_wrong_shells_are_refused(capsys):
    assert "unknown shell 'csh'; choose from bash, zsh, fish" in run(capsys, "--completion", "csh")[2]


# -- plants and problems -----------------------------------------------------------------------------------------------


def test_set_changes_plant_cost_and_method(capsys):
    facts = solved(capsys, "cartpole", "--horizon", 40, "--set", "plant.pole_mass=0.2", "cost.force=0.1")
    plant = CartPole(pole_mass=0.2)
    assert facts["nominal_cost"] == pytest.approx(cost_of(plant, plant.swing_up_cost(force=0.1)), rel=1e-9)
    ends = "cost.terminal=0,2,0,0.2"
    facts = solved(capsys, "cartpole", "--horizon", 40, "--set", ends, "--set", "initial=0,1,0,0")
    cost = ppi.Quadratic([0, 1, 0, 0.1], [0.01], [0, 2, 0, 0.2])
    assert facts["nominal_cost"] == pytest.approx(cost_of(CartPole(), cost, initial=[0, 1, 0, 0]), rel=1e-9)
    code, _, errors = run(capsys, "solve", "cartpole", *FEW, "--set", "method.max_iterations=2")
    assert code == 1
    assert "stopped at max_iterations" in errors


def test_set_changes_the_noise():
    given = ("noise.control=0.3", "noise.process=0,0,0,1e-4")
    plant = problems.SwingUp("cartpole", set=given).problem().plant
    np.testing.assert_allclose(plant.noise.control, [[[0.3]]])
    np.testing.assert_allclose(plant.noise.process, np.diag([0, 0, 0, 1e-4]))
    alone = problems.SwingUp("cartpole", set=given[:1]).problem().plant
    np.testing.assert_array_equal(alone.noise.process, CartPole().noise.process)


def test_horizons_are_stages_or_seconds_and_stages_have_a_length(capsys):
    assert problems.SwingUp("cartpole", "3s").plant == "cartpole"
    horizons = {("40",): 40, ("0.8s",): 40, ("1s", "--dt", "0.04"): 25}
    for given, stages in horizons.items():
        facts = solved(capsys, "cartpole", "--horizon", *given)
        assert facts["horizon"] == stages
    problem = problems.SwingUp("cartpole", dt=0.04).problem()
    assert (problem.horizon, problem.plant.dt) == (75, 0.04)  # three seconds as ever


def test_numbers_may_be_written_with_exponents(capsys):
    for text, number in (("1e6", 1_000_000), ("2.5e3", 2500), ("1_000", 1000), ("-3", -3)):
        assert options.whole(text) == number
    for text in ("1.5", "1e-3", "x", "", "nan", "inf", "1e400"):
        with pytest.raises(ValueError, match="expected a whole number"):
            options.whole(text)


@pytest.mark.parametrize("name", ["mine.py:Short", "mine.py:problem"])
def test_plants_of_ones_own_come_from_a_file(capsys, name):
    expected = cost_of(CartPole())
    assert solved(capsys, name)["nominal_cost"] == pytest.approx(expected, rel=1e-9)
    assert solved(capsys, "--plant", name)["nominal_cost"] == pytest.approx(expected, rel=1e-9)
    code, output, _ = run(
        capsys, "evaluate", f"--plant={name}", f"out/{name.split(':')[1]}/policy.npz", "--samples", 50
    )
    assert code == 0
    assert "mean cost" in output


def test_weights_make_a_cost_for_a_plant_without_one(capsys):
    weights = (
        "cost.state=0,1,0,0.1",
        "cost.control=0.01",
        "cost.terminal=0,1,0,0.1",
        "initial=0,3.141592653589793,0,0",
    )
    facts = solved(capsys, "mine.py:Bare", "--horizon", 40, "--set", *weights)
    assert facts["nominal_cost"] == pytest.approx(cost_of(CartPole()), rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ("cartpole --set plant.weight=1", ["unknown parameter of cartpole 'weight'", "choose from cart_mass"]),
        ("cartpole --set plant.force_limit=x", ["force_limit is 'x'"]),
        ("cartpole --set cost.froce=1", ["'froce'", "did you mean force?"]),
        ("cartpole --set noise.motor=1", ["unknown part of the noise 'motor'", "process, control, state"]),
        ("cartpole --set method.size=1", ["unknown option of a method 'size'"]),
        ("cartpole --set method.theta=1", ["--theta belongs to method leqg"]),
        ("cartpole --set force_limit=1", ["--set is 'force_limit=1'", "such as plant.force_limit=10"]),
        ("cartpole --set plant.force_limit", ["--set is 'plant.force_limit'"]),
        ("cartpole --set initial=1", ["initial"]),
        ("cartpole --dt 0", ["dt is 0"]),
        ("cartpole --dt x", ["'--dt'", "'x'", "expected a number"]),
        ("cartpole --horizon 0s", ["--horizon is 0s", "1 to 1000000 stages of 0.02 s each"]),
        ("cartpole --horizon nans", ["--horizon is nans"]),
        ("cartpole --horizon 3m", ["'3m'", "expected a whole number of stages, or seconds such as 3s"]),
        ("cartpole --samples 1e-6", ["no such option", "--samples"]),
        ("cartpole --csv mine.py/a.csv", ["--csv is 'mine.py/a.csv'", "is no folder"]),
        ("mine.py:Shrot", ["unknown name of mine.py 'Shrot'", "did you mean Short?"]),
        ("mine.py:Bare", ["has no swing_up_cost()", "--set cost.state="]),
        ("mine.py:Bare --set cost.state=1", ["cost.control is missing"]),
        ("mine.py:broken", ["raised RuntimeError: no luck"]),
        ("mine.py:problem --noise 1", ["--noise changes a plant", "is a problem"]),
        ("none.py:Plant", ["no file 'none.py'", "FILE.py:NAME"]),
        ("wrong.py:Plant", ["'wrong.py' raised ZeroDivisionError"]),
        ("--plant", ["missing argument 'PLANT'"]),
    ],
)
def test_bad_usage_is_one_line_and_writes_nothing(capsys, arguments, parts):
    before = sorted(Path().iterdir())
    code, output, errors = run(capsys, "solve", *arguments.split())
    assert (code, output) == (2, "")
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    for part in parts:
        assert part in errors
    assert sorted(Path().iterdir()) == before


# -- what is shown -----------------------------------------------------------------------------------------------------


def test_trace_prints_the_iterations(capsys):
    arguments = ("solve", "cartpole", *FEW, "--method", "ilqg", "--trace")
    facts = only_json(run(capsys, *arguments, "--json")[1])
    assert [row["index"] for row in facts["trace"]] == list(range(1, facts["iterations"] + 1))
    assert facts["trace"][-1]["cost"] == pytest.approx(facts["nominal_cost"], rel=1e-6)
    code, output, _ = run(capsys, *arguments)
    assert code == 0
    assert "iterations of iLQG" in output
    for row in facts["trace"]:
        assert f"{row['cost']:.6g}" in output
    assert "iterations of" not in run(capsys, *arguments[:-1])[1]


@pytest.mark.parametrize(
    ("arguments", "count", "names"),
    [
        ("solve cartpole --horizon 40 --starts 1 --method ilqg", 1, {"plant", "nominal_cost", "status"}),
        ("central mm --iterations 3", 6, {"seed", "name", "to_gap_0.01", "gap"}),
        ("grid learn --map cup --transitions 400 --trials 2", 6, {"name", "eta", "transitions_to_0.1"}),
        ("stag exact --case 5x5", 4, {"lambda", "moves", "log_partition"}),
        ("plants", 4, {"name", "dt", "default_horizon"}),
    ],
)
def test_csv_holds_the_numbers_of_the_table(capsys, arguments, count, names):
    _, output, _ = run(capsys, *arguments.split(), "--csv", "numbers.csv", "--json")
    facts = only_json(output)
    assert "numbers.csv" in facts["files"]
    with open("numbers.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == count
    assert names <= rows[0].keys()
    assert not any("[" in value for row in rows for value in row.values())


def test_a_bar_has_rate_and_time_left(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(output.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(output.Lines, "start", lambda lines: None)
    lines = output.Lines("rolling")
    lines.say("rolling", 0, 100)
    assert lines.pace() == "0 s"
    now[0] = 5.0
    lines.say("rolling", 20, 100)
    assert lines.pace() == "5 s, 4 a second, 20 s left"
    lines.say("rolling", 0, 50)  # another count begins
    now[0] = 7.0
    lines.say("rolling", 10, 50)
    assert lines.pace() == "7 s, 5 a second, 8 s left"


def test_a_terminal_shows_a_bar(monkeypatch):
    console = Console(record=True, force_terminal=True, width=120, markup=False, highlight=False)
    monkeypatch.setattr(output, "ERRORS", console)
    with output.progress("rolling") as say:
        bar = say.__self__
        say("rolling: 20 of 100", 20, 100)
        assert isinstance(bar, output.Bar)
        task = bar.bar.tasks[0]
        assert (task.description, task.completed, task.total) == ("rolling: 20 of 100", 20, 100)
        assert "a second" in task.fields["pace"]
    assert bar.bar.finished or not bar.bar.live.is_started
