"""The command `grid`: what it prints, writes and returns."""

import runpy
from pathlib import Path

import pytest
from PIL import Image
from test_command_line import DEMOS, only_json, run

SMALL = "S..\n.#.\n..*\n"
FEW = ("--transitions", 40_000, "--trials", 3)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("small.txt").write_text(SMALL)
    Path("closed.txt").write_text(".#.\n*#.\n")
    Path("binary.txt").write_bytes(b"\xff\xfe")


def test_show_prints_the_optimal_moves(capsys):
    code, output, _ = run(capsys, "grid", "show", "--map", "small.txt")
    assert code == 0
    assert output.splitlines() == [
        "small.txt: 3 x 3 cells, 8 free, moves succeed at 0.8, else stay",
        ".>v",
        "v#v",
        ">>*",
    ]
    code, output, _ = run(capsys, "grid", "show", "--json")
    facts = only_json(output)
    assert (facts["map"], facts["states"], facts["targets"]) == ("rooms", 74, 1)
    assert facts["map_lines"][3] == ">>*<#...#^"


def test_vi_costs_the_distance_over_success(capsys):
    code, output, _ = run(capsys, "grid", "vi", "--json", "--out", "a")
    facts = only_json(output)
    assert code == 0
    assert facts["distance_error"] < 1e-12
    assert facts["largest"] == pytest.approx(23.75, rel=1e-12)
    assert facts["mean"] == pytest.approx(12.652027027027026, rel=1e-12)
    assert [Path(path).name for path in facts["files"]] == ["value.png"]
    with Image.open("a/value.png") as image:
        assert min(image.size) > 300
    code, output, _ = run(capsys, "grid", "vi", "--map", "small.txt", "--slip", "random", "--discount", 0.9)
    assert code == 0
    assert "else random, discount 0.9" in output
    assert "distance / success" not in output
    assert not Path("out").exists()


def test_psi_prints_the_errors_of_an_independent_program(capsys):
    code, output, _ = run(capsys, "grid", "psi", "--eta", 1, "--iterations", 40, "--json", "--out", "a")
    facts = only_json(output)
    psi = facts["runs"]["Psi"]
    assert code == 0
    assert psi["errors"][9] == pytest.approx(0.6150712731, abs=1e-9)
    assert psi["errors"][29] == pytest.approx(0.1055474992, abs=1e-9)
    assert psi["iterations_to_1e-3"] == 37
    assert Path("a/psi.png").exists()
    code, output, _ = run(capsys, "grid", "psi", "--eta", 1, "--iterations", 10)
    assert "0.6150712731" in output
    assert "never" in output


def test_learn_counts_transitions_beside_q(capsys):
    code, output, _ = run(capsys, "grid", "learn", "--map", "small.txt", *FEW, "--json", "--out", "a")
    facts = only_json(output)
    assert code == 0
    assert list(facts["runs"]) == ["Q", "Q online", "Psi", "Psi online", "DPP", "DPP online"]
    for one in facts["runs"].values():
        assert len(one["error"]) == 200
        assert len(one["transitions_to_each"]["0.1"]) == 3
        own, reference = one["transitions_to"]["0.1"], facts["runs"]["Q"]["transitions_to"]["0.1"]
        assert one["ratio_to_q"]["0.1"] == (None if own is None else pytest.approx(own / reference))
    assert facts["runs"]["Q"]["ratio_interval"]["0.1"] == [1.0, 1.0]
    assert Path("a/learn.png").exists()
    code, again, _ = run(capsys, "grid", "learn", "--map", "small.txt", *FEW, "--json", "--methods", "psi online,q")
    assert only_json(again)["runs"]["Psi online"] == facts["runs"]["Psi online"]
    code, output, errors = run(capsys, "grid", "learn", "--map", "small.txt", *FEW, "--methods", "q,psi", "--step", 1e6)
    assert code == 0
    assert "never" in output or "(1.00)" in output
    assert errors.startswith("eta and c are tuned on the map rooms, where failing moves stay; other values may suit")
    code, _, errors = run(capsys, "grid", "learn", "--methods", "q,psi", "--slip", "random", *FEW)
    assert code == 0
    assert "Psi needs no fewer transitions than Q to an error of 0.1" in errors


def test_psi_learning_needs_fewer_transitions_than_q_to_a_small_error(capsys):
    """Ten trials of a seed that played no part in tuning eta and c; not so at the coarse levels, which are printed."""
    code, output, _ = run(capsys, "grid", "learn", "--methods", "q,psi,psi online", "--transitions", 300_000, "--json")
    runs = only_json(output)["runs"]
    assert code == 0
    assert runs["Psi online"]["ratio_to_q"]["0.02"] <= 0.6
    assert runs["Psi"]["ratio_to_q"]["0.02"] <= 1.0


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ("", ["missing command", "choose from show, vi, psi, learn", "ppi-robotics grid --help"]),
        ("vii", ["no such command 'vii'", "show, vi, psi, learn"]),
        ("vi --map room", ["unknown map 'room'", "choose from rooms, cup", "did you mean rooms?"]),
        ("vi --map none.txt", ["'none.txt'", "cannot be read", "No such file"]),
        ("vi --map binary.txt", ["'binary.txt'", "not a text file"]),
        ("vi --map closed.txt", ["2 of 4 cells cannot reach a target", "line 1, column 3"]),
        ("vi --slip ice", ["unknown slip 'ice'", "choose from stay, random"]),
        ("vi --success 2", ["success is 2.0"]),
        ("psi --eta 0", ["eta is 0"]),
        ("psi --iterations 0", ["--iterations is 0", "at least 1"]),
        ("psi --eta x", ["'x' is given, expected a number"]),
        ("learn --trials 0", ["--trials is 0"]),
        ("learn --transitions 10", ["--transitions is 10", "at least 200"]),
        ("learn --seed -1", ["--seed is -1"]),
        ("learn --methods sarsa", ["unknown method 'sarsa'", "choose from q, q online, psi"]),
        ("learn --step 0", ["step, the c of step sizes", "is 0.0"]),
    ],
)
def test_bad_usage_is_one_line(capsys, arguments, parts):
    code, output, errors = run(capsys, "grid", *arguments.split())
    assert (code, output, errors.count("\n")) == (2, "", 1)
    for part in parts:
        assert part in errors
    assert not Path("out").exists()


def test_gridworld_demo_runs(capsys, tmp_path):
    runpy.run_path(str(DEMOS / "gridworld.py"))["main"](tmp_path / "demo", transitions=20_000, trials=2)
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {"value.png", "learning.png"}
    output = capsys.readouterr().out
    assert "Psi-iteration, eta = 1: error below 0.001 after " in output
