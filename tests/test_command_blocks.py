"""The commands `blocks ...`: what they print, write and return."""

import math
import re
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_command_line import DEMOS, only_json, run

import plants.blocks
import ppi_robotics as ppi
from plants.blocks import animation

ENTROPY = ("--n", 4, "--m", 4, "--T", 6, "--x0", "1,2,1,0", "--lam", 10)
GOAL = ("--x0", "2,1,1,0,0", "--goal", "0,0,0,2,2", "--T", 6)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_exact_solves_figure_4(capsys):
    asked = ("--n", 4, "--m", 4, "--T", 8, "--x0", "4,0,0,0", "--goal", "0,0,4,0")
    for seed in range(3):
        code, output, _ = run(capsys, "blocks", "exact", *asked, "--seed", seed, "--json")
        facts = only_json(output)
        assert code == 0
        assert facts["logZ"] == pytest.approx(math.log(588) - 8 * math.log(12), abs=1e-9)
        assert facts["p_t1"][0] == pytest.approx([0.5, 0.0, 0.5], abs=1e-9)
        assert facts["heights"][3] == pytest.approx([1.595238095, 0.904761905, 0.595238095, 0.904761905], abs=1e-9)
        assert facts["plan"]["states"][4] == [1, 1, 1, 1]
        assert facts["plan"]["reached"] is True
    code, output, _ = run(capsys, "blocks", "exact")  # figure 4 is the default
    assert code == 0
    assert "-13.502526250405" in output
    assert "1.595  0.905  0.595  0.905" in output
    assert not Path("out").exists()


def test_exact_draws_a_plan(capsys):
    code, output, _ = run(capsys, "blocks", "exact", "--out", "a")
    assert code == 0
    assert "written to a: plan.png, blocks.gif" in output
    with Image.open("a/plan.png") as image:
        assert min(image.size) > 400
    with Image.open("a/blocks.gif") as image:
        assert image.n_frames > 40


@pytest.mark.parametrize(
    ("method", "log_z", "tolerance", "differs"), [("bp", -14.545942173, 1e-6, True), ("cvm", -14.983925, 7.5e-5, False)]
)
def test_approximations_are_set_beside_the_exact_answer(capsys, method, log_z, tolerance, differs):
    code, output, errors = run(capsys, "blocks", "exact", *ENTROPY, "--method", method, "--json")
    facts = only_json(output)
    assert code == 0
    assert facts["status"] == "converged"
    assert facts["logZ"] == pytest.approx(log_z, abs=tolerance)
    assert facts["exact_logZ"] == facts["methods"]["exact"]["logZ"] == pytest.approx(-14.287646984414, abs=1e-8)
    assert facts["differs"] is differs
    assert facts["dp"] == pytest.approx(0.5 if differs else 0.0, abs=1e-3)
    assert ("converged, but differs from exact: |dp| = 0.5000" in errors) is differs
    output = run(capsys, "blocks", "exact", *ENTROPY, "--method", method)[1]
    assert "-14.287646984414" in output
    assert "49.9985 %" in output


def test_bp_reports_what_it_is(capsys):
    code, output, errors = run(capsys, "blocks", "bp", "--sweeps", 50, "--out", "a")
    assert code == 1
    assert "BP (k and l apart) did not converge" in errors
    assert "max iterations" in output
    assert "inconsistency" in output
    assert Path("a/beliefs.png").exists()


def test_contradictions_are_said(capsys, monkeypatch):
    infer = plants.blocks.chain_beliefs

    def contradict(*arguments, **options):
        found = infer(*arguments, **options)
        nothing = {"actions": found.actions * np.nan, "levels": found.levels * np.nan, "messages": None}
        return replace(found, log_partition=-math.inf, status=ppi.Status.CONTRADICTION, **nothing)

    monkeypatch.setattr(plants.blocks, "chain_beliefs", contradict)
    code, output, errors = run(capsys, "blocks", "bp", *GOAL, "--out", "a")
    assert code == 1
    assert "-inf" in output
    assert errors == "BP (k and l apart) ends in a contradiction: its messages allow no plan\n"
    assert not Path("a").exists()
    facts = only_json(run(capsys, "blocks", "bp", *GOAL, "--json")[1])
    assert (facts["status"], facts["logZ"], facts["heights"]) == ("contradiction", None, None)
    assert facts["exact_logZ"] == pytest.approx(-9.747011536, abs=1e-9)


@pytest.mark.parametrize("bound", [0.25, 1])
def test_cvm_has_the_fixed_point_of_merged_belief_propagation(capsys, bound):
    code, output, _ = run(capsys, "blocks", "cvm", *GOAL, "--bound", bound, "--json")
    facts = only_json(output)
    assert code == 0
    assert facts["logZ"] == pytest.approx(-12.2572148, abs=1e-5)
    assert facts["methods"]["merged"]["logZ"] == pytest.approx(facts["logZ"], abs=1e-5)
    assert facts["exact_logZ"] == pytest.approx(-9.747011536, abs=1e-9)
    assert facts["dp"] == pytest.approx(0.037, abs=1e-3)


@pytest.mark.parametrize(("memory", "method"), [(1, "exact"), (1e-6, "cvm")])
def test_run_is_exact_where_that_fits(capsys, memory, method):
    facts = only_json(run(capsys, "blocks", "run", *GOAL, "--memory", memory, "--json")[1])
    assert facts["method"] == method
    assert facts["reached"]


@pytest.mark.parametrize("method", ["exact", "cvm", "double_loop"])
def test_run_reaches_its_goal(capsys, method):
    code, output, _ = run(capsys, "blocks", "run", *GOAL, "--method", method, "--json")
    facts = only_json(output)
    assert code == 0
    assert facts["final"] == [0, 0, 0, 2, 2]
    assert facts["reached"] is True
    assert len(facts["states"]) == 7
    moves = sum(action % 3 != 1 for action in facts["actions"])
    assert facts["cost"] == pytest.approx(moves * math.log(15) + (6 - moves) * math.log(3), abs=1e-12)


def test_run_samples_and_draws(capsys):
    asked = ("blocks", "run", "--x0", "2,2,2", "--T", 5, "--method", "exact", "--choice", "sample")
    first = only_json(run(capsys, *asked, "--seed", 1, "--json")[1])
    again = only_json(run(capsys, *asked, "--seed", 1, "--json")[1])
    assert first["states"] == again["states"]
    ends = {tuple(only_json(run(capsys, *asked, "--seed", seed, "--json")[1])["final"]) for seed in range(8)}
    assert len(ends) > 1
    code, output, _ = run(capsys, *asked, "--out", "a")
    assert code == 0
    assert "cost of states and moves" in output
    assert "written to a: plan.png, blocks.gif" in output


def test_fig5_counts_goals(capsys):
    asked = ("blocks", "fig5", "--n", "4", "--m", "4,8", "--instances", 3, "--methods", "exact,bp,cvm")
    code, output, _ = run(capsys, *asked, "--json", "--out", "a")
    facts = only_json(output)
    assert code == 0
    assert [(cell["n"], cell["m"], cell["T"]) for cell in facts["cells"]] == [(4, 4, 4)] * 3 + [(4, 8, 8)] * 3
    assert all(cell["goal_rate"] == 1.0 for cell in facts["cells"] if cell["method"] in ("exact", "cvm"))
    assert Path("a/fig5.png").exists()
    output = run(capsys, *asked)[1]
    assert "3 random goals each, seed 0" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("exact", "--x0", "1,2,x"), "--x0 is '1,2,x'; expected heights separated by commas"),
        (("exact", "--x0", "1,-2"), "start is .*not negative"),
        (("exact", "--x0", "1,2", "--n", 3), "--n is 3, the heights have 2 locations"),
        (("exact", "--x0", "1,2", "--m", 4), "--m is 4, the heights have 3 blocks"),
        (("exact", "--x0", "4,0,0,0", "--goal", "0,0,4,0", "--T", 7), "8 moves away and there are 7"),
        (("exact", "--x0", "4,0,0", "--goal", "0,0,4,0"), "goal has 4 locations and start 3"),
        (("exact", "--n", 8, "--m", 40, "--lam", 10, "--memory", 0.5), "62891499 states.*more than the 0.5 GB"),
        (("exact", "--n", 16, "--m", 64, "--lam", 10), "of 112 bits, more than 63"),
        (("exact", "--lam", "inf"), "strength is inf"),
        (("exact", "--norm", "none"), "unknown norm 'none'"),
        (("exact", "--method", "jt"), "unknown method 'jt'"),
        (("exact", "--method", "bp", "--forbidden", "renormalized"), "forbidden is 'renormalized'"),
        (("bp", "--damping", 1), "--damping is 1"),
        (("cvm", "--tolerance", 0), "--tolerance is 0"),
        (("cvm", "--outer", 0), "--outer is 0"),
        (("cvm", "--bound", 1.5), "--bound is 1.5"),
        (("run", "--method", "lp"), "unknown method 'lp'"),
        (("run", "--choice", "best"), "unknown choice 'best'"),
        (("run", "--T", 0), "--T is 0"),
        (("fig5", "--n", "4,a"), "--n is '4,a'"),
        (("fig5", "--n", "1"), "--n is 1"),
        (("fig5", "--methods", "bp,xx"), "unknown method 'xx'"),
        (("fig5", "--instances", 0), "--instances is 0"),
    ],
)
def test_bad_usage_is_one_line(capsys, arguments, message):
    code, output, errors = run(capsys, "blocks", *arguments)
    assert code == 2
    assert output == ""
    assert len(errors.splitlines()) == 1
    assert errors.startswith("error: ")

    assert re.search(message, errors)


def test_demo_prints_and_draws(capsys, tmp_path):
    runpy.run_path(str(DEMOS / "blocks_world.py"))["main"](tmp_path / "demo", stages=24)
    output = capsys.readouterr().out
    assert "588 plans" in output
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {"tower.png", "tower.gif", "entropy.png"}


def test_plans_without_moves_are_not_animated(tmp_path):
    with pytest.raises(ppi.ProblemError, match="1 states and 0 actions"):
        animation.save(tmp_path / "a.gif", [[2, 1]], [], [])
    assert not (tmp_path / "a.gif").exists()
