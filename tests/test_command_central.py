"""The command `central`: published numbers, files and exit codes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_command_line import only_json, run
from test_discrete_central import MODES


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def told(capsys, *arguments, code=0):
    """JSON facts of a command that ends with an exit code."""
    found, output, _ = run(capsys, "central", *arguments, "--json")
    assert found == code
    return only_json(output)


def picture(path):
    """Whether there is a picture with something drawn on it."""
    with Image.open(path) as image:
        return min(image.size) > 300 and len(np.unique(np.asarray(image.convert("L")))) > 50


def test_seven_problems_have_their_reference_values(capsys):
    facts = told(capsys, "solve", "--out", "out")
    assert [mode["name"] for mode in facts["modes"]][:2] == ["SOC", "RSOC seeking"]
    assert facts["modes"][0]["lambda_policy"] is None  # infinite
    for mode, values in zip(facts["modes"], MODES.values(), strict=True):
        np.testing.assert_allclose(mode["value"], values, rtol=0, atol=1e-9)
    assert facts["files"] == [str(Path("out/plane.png"))]
    assert picture("out/plane.png")


def test_any_weights_and_sizes(capsys):
    facts = told(capsys, "solve", "--lambda-policy", 2, "--lambda-transition", -1)
    assert len(facts["modes"]) == 1
    np.testing.assert_allclose(facts["modes"][0]["value"], MODES[2.0, -1.0], rtol=0, atol=1e-9)
    facts = told(capsys, "solve", "--lambda-policy", "inf", "--states", 4, "--actions", 2, "--stages", 3, "--seed", 7)
    assert len(facts["modes"][0]["value"]) == 4
    code, output, _ = run(capsys, "central", "solve")
    assert code == 0
    assert "1.8565657720" in output


def test_compositions_are_exact_where_the_equation_is_linear_alone(capsys):
    facts = told(capsys, "compose")
    assert facts["value_error"] < 1e-12
    assert facts["policy_error"] < 1e-12
    assert facts["control"]["value_error"] > 0.03
    assert run(capsys, "central", "compose")[0] == 0


def test_the_linear_equation_is_the_recursion(capsys):
    facts = told(capsys, "linear")
    assert facts["value_error"] < 1e-12
    assert facts["policy_error"] < 1e-12
    assert run(capsys, "central", "linear", "--weight", 30)[0] == 0


def test_soft_steps_have_their_reference_rates(capsys):
    facts = told(capsys, "mm", "--lambda-policy", 2, "--out", "out")
    counts = [(row["to_gap"]["0.01"], row["to_gap"]["0.0001"]) for row in facts["rows"]]
    assert counts == [(45, 231), (41, 191), (46, 200)]
    assert max(row["rise"] for row in facts["rows"]) < 1e-12
    assert picture("out/descent.png")
    code, output, _ = run(capsys, "central", "mm", "--lambda-policy", 10, "--iterations", 5)
    assert code == 1
    assert "5 (max iterations)" in output


def test_posterior_policy_iteration_has_its_reference_gaps(capsys):
    facts = told(capsys, "ppi", "--iterations", 1001, "--tolerance", 0, "--out", "out", code=1)
    for row, gaps in zip(facts["rows"], ((1.51, 0.069, 1.9e-3), (1.67, 0.764, 0.0187, 2.9e-4)), strict=True):
        found = list(row["bound_gap"].values())[: len(gaps)]
        assert found == pytest.approx(gaps, rel=0.02)  # as many digits as are known
        assert row["rise"] < 1e-12
    assert picture("out/descent.png")


def test_path_integrals_agree_with_the_exact_value(capsys):
    facts = told(capsys, "path-integral", "--N", 20_000, "--repeats", 10, "--out", "out")
    assert facts["exact"] == pytest.approx(2.8049031034, abs=5e-11)
    assert abs(facts["mean"] - facts["exact"]) < 3 * facts["mean_standard_error"]
    assert facts["policy"] == pytest.approx(facts["policy_exact"], abs=0.01)
    assert picture("out/estimate.png")
    code, output, _ = run(capsys, "central", "path-integral", "--samples", 1000, "--repeats", 2)
    assert code == 0
    assert "2.804903" in output


BAD = {
    ("solve", "--states", 0): "--states is 0",
    ("solve", "--lambda-policy", -1): "a negative weight would maximize",
    ("solve", "--seed", -1): "--seed is -1",
    ("solve", "--states", 10000, "--actions", 100): "give tables of at most 1e8",
    ("compose", "--shares", "1,x"): "--shares is '1,x'",
    ("compose", "--shares", "1,-1"): "expected no negative number",
    ("linear", "--weight", 0): "weight is 0; expected a positive number",
    ("mm", "--lambda-policy", "0"): "at which policies never move",
    ("mm", "--tolerance", "nan"): "--tolerance is nan",
    ("path-integral", "--state", 5): "state is 5",
    ("path-integral", "--samples", 1): "--samples is 1",
    (): "choose from solve, compose, linear, mm, ppi, path-integral",
}


@pytest.mark.parametrize("arguments", BAD, ids=str)
def test_bad_usage_is_one_line(capsys, arguments):
    code, output, error = run(capsys, "central", *arguments)
    assert (code, output) == (2, "")
    assert BAD[arguments] in error
    assert error.count("\n") == 1
