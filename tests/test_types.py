"""What type checkers and editors see of the package: a strict program passes, mistakes are found, names complete."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jedi
import pytest

import ppi_robotics as ppi

ROOT = Path(ppi.__file__).parent.parent
MISTAKES = {  # a line of the program, what is wrong with it, and what the message names
    "name": ("ppi.AICO()", "ppi.ACIO()", "ACIO"),
    "argument": ("ppi.PPI(eta=0.1,", "ppi.PPI(eat=0.1,", "eat"),
    "argument of MPPI": ('feedback="samples"', 'feedbck="samples"', "feedbck"),
    "attribute": ("solution.nominal_cost", "solution.nominal", "nominal"),
    "type": ("samples=1000, seed=0)\n    tail", 'samples="1000", seed=0)\n    tail', "samples"),
    "name of the tables": ("discrete.iterate(", "discrete.itrate(", "itrate"),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Messages about every file, checked in one run."""
    folder = tmp_path_factory.mktemp("types")
    program = "# pyright: strict\n" + (ROOT / "tests" / "typed_program.py").read_text(encoding="utf-8")
    files = {"program.py": program}
    for i, (right, wrong, _) in enumerate(MISTAKES.values()):
        assert right in program
        files[f"mistake_{i}.py"] = program.replace(right, wrong, 1)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.S)
    files |= {f"readme_{i}.py": block for i, block in enumerate(blocks)}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    settings = {"include": ["."], "extraPaths": [str(ROOT)], "typeCheckingMode": "standard"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "-p", str(folder), "--pythonpath", sys.executable]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    report = json.loads(answer.stdout)
    assert report["summary"]["filesAnalyzed"] == len(files)
    messages = {name: [] for name in files}
    for one in report["generalDiagnostics"]:
        messages[Path(one["file"]).name].append(one["message"])
    return messages


def test_a_strict_program_passes(found):
    assert found["program.py"] == []


@pytest.mark.parametrize("which", range(len(MISTAKES)), ids=list(MISTAKES))
def test_mistakes_are_found(found, which):
    name = list(MISTAKES.values())[which][2]
    assert any(f'"{name}"' in message for message in found[f"mistake_{which}.py"])


def test_the_code_of_the_readme_passes(found):
    messages = [message for name, those in found.items() if name.startswith("readme") for message in those]
    assert len(messages) < len(found)  # MuJoCo has no types: its functions are not known
    assert [message for message in messages if not message.endswith('not a known attribute of module "mujoco"')] == []


def complete(code):
    """Names that an editor offers at the end of some code."""
    return {name.name for name in jedi.Script(code, project=jedi.Project(ROOT)).complete()}


def test_editors_complete_names_and_attributes():
    assert complete("import ppi_robotics as ppi\nppi.so") >= {"solve"}
    assert complete("import plants\nplants.Cart") >= {"CartPole"}
    assert complete("from ppi_robotics import discrete\ndiscrete.jun") >= {"junction_tree"}
    head = "import ppi_robotics as ppi\n\ndef use(problem: ppi.Problem):\n"
    solution = head + "    solution = ppi.solve(problem, ppi.ILQG())\n"
    names = {"policy", "status", "explain", "nominal_cost", "raise_for_status", "trace"}
    assert complete(solution + "    solution.") >= names
    assert complete(solution + "    solution.policy.") >= {"u_ref", "K", "save", "mean"}
    assert complete(head + "    ppi.evaluate(problem, None).") >= {"mean", "quantile", "cvar", "success_rate"}


def test_editors_show_signatures():
    script = jedi.Script("import ppi_robotics as ppi\nppi.solve(", project=jedi.Project(ROOT))
    assert [parameter.name for parameter in script.get_signatures()[0].params][:4] == [
        "problem",
        "method",
        "seed",
        "starts",
    ]
