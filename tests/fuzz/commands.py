"""The command line, its commands and options taken from the program itself, with values that fit and that do not."""

import contextlib
import io
import os
import tempfile
from pathlib import Path

import click
from hypothesis import strategies as st

from ppi_robotics.cli import app as program

SMALL = {  # values with which a command ends soon
    "--horizon": "2",
    "--starts": "1",
    "--samples": "2",
    "--sequences": "2",
    "--iterations": "1",
    "--instances": "2",
    "--repeats": "1",
    "--transitions": "200",
    "--trials": "1",
    "--sweeps": "2",
    "--moves": "1",
    "--seconds": "0.02",
    "--eta": "0.1",
    "--n": "3",
    "--m": "2",
    "--T": "2",
}
NASTY = ("", "-1", "0", "1", "2", "0.5", "nan", "inf", "-inf", "1e400", "1e-300", "99999999999999999999", "9" * 5000)
NASTY += (
    "x",
    "a,b",
    "0,1",
    "1,1",
    ",",
    "\0",
    "\x1b[31m",
    "é",
    "--",
    "missing.npz",
    ".",
    "/dev/null/x",
    "[",
    "1 2",
    "cartpole",
)
ARGUMENTS = ("cartpole", "pendulum", "nothing", "missing.npz", "3x3", "rooms", "arm2", "", "-1", "x" * 300)
LINE = 300


def commands():
    """Pairs of the words of a command and its options and arguments."""
    found = {}

    def walk(command, words):
        if isinstance(command, click.Group):
            for name in command.list_commands(None):
                walk(command.get_command(None, name), (*words, name))
        else:
            found[words] = command.params

    walk(program.app, ())
    return found


@st.composite
def inputs(draw):
    known = commands()
    words = draw(st.sampled_from(sorted(known)))
    options = [param for param in known[words] if param.param_type_name == "option" and param.name != "help"]
    given = list(words)
    for _ in range(draw(st.integers(0, 2))):
        given.append(draw(st.sampled_from(ARGUMENTS)))
    flags = {param.opts[0]: param for param in options}
    for flag in sorted(set(flags) & set(SMALL)):
        given += [flag, SMALL[flag]]
    for flag in draw(st.lists(st.sampled_from(sorted(flags)), max_size=3, unique=True)) if flags else ():
        given += [flag] if flags[flag].is_flag else [f"{flag}={draw(st.sampled_from(NASTY))}"]
    return given


def try_input(given):
    """What is wrong with an exit code, with what is said, or with the folder afterwards."""
    folder, before = Path(tempfile.mkdtemp()), Path.cwd()
    out, err = io.StringIO(), io.StringIO()
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = program.main(given)
    except (Exception, SystemExit) as error:  # noqa: BLE001
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    finally:
        os.chdir(before)
    if code not in (0, 1, 2, 130):
        return f"exit code {code}"
    if code == 2:
        said = err.getvalue().splitlines()
        if not said or len(said[-1]) > LINE or any(line.startswith("Traceback") for line in said):
            return f"{len(said)} lines on standard error, the last of {len(said[-1]) if said else 0} characters"
        if any(folder.iterdir()):
            return f"wrote {sorted(path.name for path in folder.iterdir())} and failed"
    return ""
