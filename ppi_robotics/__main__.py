"""The command line: `ppi-robotics plants | solve | evaluate | compare | swingup | ...`; `--help` lists all.

`python -m ppi_robotics` is the same.

Exit codes: 0 solved, 1 not solved, 2 bad usage, 130 interrupted. Results go to standard output, progress and errors to
standard error. Libraries load inside the functions that use them, so that help and errors come at once.
"""

import functools
import importlib
import sys

import typer

from ppi_robotics.cli.arguments import check_plants
from ppi_robotics.cli.central import central
from ppi_robotics.cli.compare import compare
from ppi_robotics.cli.evaluate import evaluate
from ppi_robotics.cli.grid import grid
from ppi_robotics.cli.mppi import mppi
from ppi_robotics.cli.mujoco import mujoco
from ppi_robotics.cli.plants import plants
from ppi_robotics.cli.risk import risk
from ppi_robotics.cli.solve import solve
from ppi_robotics.cli.swingup import swingup
from ppi_robotics.cli.work import Interrupted
from ppi_robotics.errors import PPIError, SimulationError, SolveError, one_line

# groups of commands that plants bring along, and the modules that have them under this name
GROUPS = {"stag": "plants.stag_hunt.commands", "blocks": "plants.blocks.commands"}
USAGE_ERROR = typer.BadParameter.__base__  # what typer raises about arguments that it cannot parse

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help="Swing-ups by probabilistic inference.")
for command in (plants, solve, evaluate, compare, swingup, mppi, risk, mujoco):
    app.command()(command)
app.add_typer(grid)
app.add_typer(central, name="central")


def main(arguments=None):
    """Run the command line and return the exit code."""
    try:
        check_plants()
        add_groups()
        code = app(args=arguments, prog_name="ppi-robotics", standalone_mode=False)
    except USAGE_ERROR as error:
        return fail(usage_message(error), 2)
    except (SolveError, SimulationError) as error:
        return fail(f"error: {error}", 1)
    except PPIError as error:
        return fail(f"error: {error}", 2)
    except MemoryError:
        return fail("error: there is not enough memory for this; give fewer stages, starts or samples", 2)
    except Interrupted as error:
        return fail(error, 130)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    return fail("interrupted; nothing is written", 130) if code == 130 else code or 0


@functools.cache
def add_groups():
    """Add the groups of commands that plants bring along."""
    for name, module in GROUPS.items():
        app.add_typer(getattr(importlib.import_module(module), name))


def fail(message, code):
    """Print one line on standard error and return the exit code."""
    sys.stderr.write(one_line(str(message)) + "\n")
    return code


def usage_message(error):
    """typer's message about arguments, and where to read on."""
    message = error.format_message().strip().removesuffix(".")
    if message.startswith(("Missing command", "No such command")):
        names = ", ".join(error.ctx.command.commands)
        message += f"{' C' if message.endswith('?') else '; c'}hoose from {names}"
    command = error.ctx.command_path if error.ctx else "ppi-robotics"
    return f"error: {message[0].lower()}{message[1:]}; see '{command} --help'"


if __name__ == "__main__":
    sys.exit(main())
