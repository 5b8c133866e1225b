"""The command `stag`: what it prints, writes and returns."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from test_command_line import DEMOS, only_json, run
from test_stag_hunt import FIVE, LARGE

import ppi_robotics as ppi
from plants import StagHunt
from plants.stag_hunt import animation, figures


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_hunt(seed=0, name="hunt.json", **facts):
    """The file of a random hunt of 10 hunters on 20 x 20 cells."""
    hunt = StagHunt.random(20, 10, seed)
    cells = {"x1": hunt.hunters.tolist(), "hares": hunt.hares.tolist(), "stags": hunt.stags.tolist(), "side": 20}
    Path(name).write_text(json.dumps(cells | facts))
    return name


def test_exact_prints_the_hunt_of_figure_7(capsys):
    code, output, _ = run(capsys, "stag", "exact", "--case", "5x5", "--lam", "10,1,0.1", "--json")
    rows = only_json(output)["rows"]
    assert code == 0
    assert [(row["moves"], row["lambda"]) for row in rows] == [case[:2] for case in FIVE]
    for row, (_, _, log_z, mean, caught, ends) in zip(rows, FIVE, strict=True):
        assert row["log_partition"] == pytest.approx(log_z, abs=1e-11)
        assert row["mean"] == pytest.approx(mean, abs=1e-11)
        assert row["stags"] == [pytest.approx(caught, abs=1e-12)]
        assert row["kl"] == pytest.approx(-log_z - mean / row["lambda"], abs=1e-10)
        assert np.array(row["actions"]).shape == (2, 5)
        if ends is not None:
            assert row["map_ends"] == [list(cell) for cell in ends]
    code, output, _ = run(capsys, "stag", "exact", "--case", "5x5")
    assert code == 0
    assert "93.1469696207" in output
    assert "93.4148489179" in output
    code, output, _ = run(capsys, "stag", "exact", "--case", "5x5", "--moves", 3)
    assert "93.4148489179" not in output


@pytest.mark.parametrize("seed", LARGE)
def test_exact_and_bp_of_a_file_and_of_a_seed_are_the_same(capsys, seed):
    temperatures = ",".join(str(case[0]) for case in LARGE[seed] if case[2] is not None)
    for method, column in (("exact", 1), ("bp", 2)):
        answers = []
        for where in (("--file", write_hunt(seed)), ("--side", 20, "--hunters", 10, "--seed", seed)):
            code, output, errors = run(capsys, "stag", method, *where, "--lam", temperatures, "--json")
            assert (code, errors) == (0, "")
            answers.append(only_json(output))
        assert answers[0] == answers[1]
        expected = [case[column] for case in LARGE[seed] if case[2] is not None]
        assert [row["log_partition"] for row in answers[0]["rows"]] == pytest.approx(expected, rel=1e-9)
        if method == "bp":
            exact = [case[1] for case in LARGE[seed] if case[2] is not None]
            assert [row["exact_log_partition"] for row in answers[0]["rows"]] == pytest.approx(exact, rel=1e-12)


def test_bp_that_does_not_converge_says_so(capsys):
    arguments = "stag", "bp", "--side", 20, "--hunters", 10, "--lam", "0.1"
    code, output, errors = run(capsys, *arguments)
    assert code == 1
    assert "max iterations" in output
    assert "--damping" in errors
    code, output, errors = run(capsys, *arguments, "--damping", 0.3)
    assert (code, errors) == (0, "")
    assert "converged" in output


def test_bp_goes_where_the_exact_sum_does_not(capsys):
    large = "--side", 30, "--hunters", 40, "--lam", "2"
    code, output, _ = run(capsys, "stag", "bp", *large, "--json")
    row = only_json(output)["rows"][0]
    assert (code, row["exact_log_partition"], row["log_partition_error"]) == (0, None, None)
    assert "unknown" in run(capsys, "stag", "bp", *large)[1]
    code, _, errors = run(capsys, "stag", "exact", *large)
    assert code == 2
    assert "belief propagation (method 'bp')" in errors
    code, output, _ = run(capsys, "stag", "run", *large, "--method", "bp", "--json")
    assert code == 0
    assert only_json(output)["runs"][0]["least_cost"] is None


@pytest.mark.parametrize("method", ["exact", "bp"])
def test_run_takes_hares_at_a_high_temperature(capsys, method):
    for seed in LARGE:
        where = "--file", write_hunt(seed)
        code, output, _ = run(capsys, "stag", "run", *where, "--lam", "10", "--method", method, "--json")
        (one,) = only_json(output)["runs"]
        assert code == 0
        assert one["at_hares"] == 10
        assert np.array(one["path"]).shape == (10, 10)
        assert one["cost"] == -20 - 10 * one["stags_caught"]


def test_run_draws_the_hunt(capsys):
    code, output, _ = run(capsys, "stag", "run", "--case", "5x5", "--moves", 3, "--out", "a", "--json")
    facts = only_json(output)
    assert code == 0
    assert [Path(path).name for path in facts["files"]] == ["hunt.png", "hunt.gif"]
    assert [(one["at_hares"], one["stags_caught"]) for one in facts["runs"]] == [(2, 0), (0, 1)]
    with Image.open("a/hunt.png") as image:
        assert min(image.size) > 300
    with Image.open("a/hunt.gif") as image:
        assert image.n_frames > 20
    code, output, _ = run(capsys, "stag", "run", "--case", "5x5", "--loop", "closed", "--choice", "sample")
    assert code == 0
    assert "loop closed, sample" in output
    assert not Path("out").exists()


def test_phase_finds_the_peaks(capsys):
    few = "--side", "8,10", "--hunters", "4,6", "--instances", 4
    code, output, _ = run(capsys, "stag", "phase", *few, "--json", "--out", "a")
    facts = only_json(output)
    assert code == 0
    assert list(facts["sizes"]) == ["M = 4, N = 64", "M = 6, N = 100"]
    assert Path("a/phase.png").exists()
    for size in facts["sizes"].values():
        slope = size["slope"]["mean"]
        peak = size["peaks"]["slope"]
        assert peak["height"] == max(slope)
        assert peak["lambda"] == facts["lambdas"][int(np.argmax(slope))]
        assert 0.1 < peak["lambda"] < 2.0
        assert len(size["bp_sweeps"]["standard_error"]) == len(facts["lambdas"])
        falls = np.diff(size["minus_log_partition_slope"]["mean"])
        assert (falls < 0.0).all()  # no maximum inside
    again = only_json(run(capsys, "stag", "phase", *few, "--json")[1])
    assert again["sizes"] == facts["sizes"]
    code, output, _ = run(capsys, "stag", "phase", *few, "--lam", "0.5,1,2")
    assert code == 0
    assert "stags caught at lambda 1" in output
    assert "BP sweeps at lambda 0.1" not in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("exact",), "give one hunt"),
        (("exact", "--case", "5x5", "--file", "a.json"), "give one hunt"),
        (("exact", "--case", "6x6"), "unknown case '6x6'"),
        (("exact", "--case", "5x5", "--side", 5), "leave it out"),
        (("exact", "--case", "5x5", "--lam", "a"), "--lam is 'a'"),
        (("exact", "--case", "5x5", "--lam", "0"), "temperature is 0.0"),
        (("exact", "--case", "5x5", "--moves", 0), "--moves is 0"),
        (("exact", "--hunters", 4), "give --side too"),
        (("exact", "--side", 3, "--hunters", 4), "need 14 cells"),
        (("exact", "--side", 20, "--hunters", 4, "--seed", -1), "--seed is -1"),
        (("bp", "--case", "5x5", "--damping", 1), "damping is 1.0"),
        (("bp", "--case", "5x5", "--max-sweeps", 0), "max_sweeps is 0"),
        (("run", "--case", "5x5", "--method", "best"), "method is 'best'"),
        (("run", "--case", "5x5", "--loop", "ajar"), "loop is 'ajar'"),
        (("run", "--case", "5x5", "--choice", "any"), "choice is 'any'"),
        (("run", "--case", "5x5", "--out", "full"), "is no folder"),
        (("run", "--case", "5x5", "--lam", "1,2,3,4,5", "--out", "a"), "give 1 to 4"),
        (("phase", "--side", "10", "--hunters", "4,6"), "one number of hunters a side"),
        (("phase", "--side", "ten"), "expected whole numbers"),
        (("phase", "--instances", 1), "--instances is 1"),
        (("phase", "--lam", "2,1"), "rising order"),
        (("exact", "--file", "none.json"), "cannot be read"),
        (("exact", "--file", "text.json"), "which is no JSON text"),
        (("exact", "--file", "bytes.json"), "not a text file"),
        (("exact", "--file", "deep.json"), "which is no JSON text"),
        (("exact", "--file", "list.json"), "has no x1, hares, stags"),
        (("exact", "--file", "part.json"), "has no stags"),
        (("exact", "--file", "word.json"), "hares of 'word.json' is 'many'"),
        (("exact", "--file", "sideless.json"), "has no side"),
        (("exact", "--file", "hunt.json", "--side", 30), "has side 20"),
        (("exact", "--file", "half.json"), "whole number"),
        (("exact", "--file", "off.json"), "cell 400; expected one on the grid of 20 x 20"),
        (("exact", "--file", "twice.json"), "row 0, column 1 has 2 animals"),
        (("exact", "--file", "mixed.json"), "expected an array of numbers"),
    ],
)
def test_bad_usage_is_explained_in_one_line(capsys, arguments, message):
    Path("full").write_text("")
    Path("text.json").write_text("x1 = 3")
    Path("bytes.json").write_bytes(b"\xff\xfe\x00")
    Path("deep.json").write_text("[" * 100_000)
    Path("list.json").write_text("[1, 2]")
    Path("part.json").write_text('{"x1": [], "hares": []}')
    write_hunt(name="word.json", hares="many")
    write_hunt(name="sideless.json", side=None)
    write_hunt(name="half.json", side=2.5)
    write_hunt(name="off.json", x1=[400])
    write_hunt(name="twice.json", hares=[1], stags=[1])
    write_hunt(name="mixed.json", x1=[1, "two", None])
    write_hunt()
    code, output, errors = run(capsys, "stag", *arguments)
    assert (code, output) == (2, "")
    assert errors.startswith("error: ")
    assert message in errors
    assert errors.count("\n") == 1


def test_a_file_of_pairs_and_a_side_of_its_own_option(capsys):
    write_hunt(name="pairs.json", x1=[[0, 1], [2, 3]], side=None)
    code, output, _ = run(capsys, "stag", "exact", "--file", "pairs.json", "--side", 20, "--json")
    assert code == 0
    assert only_json(output)["hunters"] == [1, 43]


def test_figures_take_axes_and_animations_need_a_hunt():
    hunt = StagHunt.random(6, 2, seed=1, temperature=0.5)
    path = np.array(hunt.play().states)
    axes = Figure().subplots(1, 2)
    assert figures.hunt_paths({"a": (hunt, path), "b": (hunt, path)}, axes) is axes
    (lines,) = (part for part in axes[0].collections if len(part.get_paths()) == 2 and part.get_zorder() == 2)
    for i, line in enumerate(lines.get_paths()):  # within the cell of every stage
        rows, columns = np.divmod(path[:, i], 6)
        assert abs(line.vertices - np.stack([columns, rows], axis=1)).max() < 0.5
    scene = animation.HuntScene({"a": (hunt, path)})
    assert not np.array_equal(scene.frame(0).copy(), scene.frame(scene.frames - 1))
    with pytest.raises(ppi.PPIError, match="no hunt to animate"):
        animation.save("none.gif", {})


def test_the_demo_runs(capsys):
    demo = runpy.run_path(str(DEMOS / "stag_hunt.py"))
    demo["main"](Path("shown"), side=10, hunters=4)
    assert {path.name for path in Path("shown").iterdir()} == {"hunt.png", "hunt.gif"}
    assert "least in reach" in capsys.readouterr().out
