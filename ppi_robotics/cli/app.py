"""The program: commands register here, and `main` runs the one that is asked for.

A command is a function of a `Report` and of its options, which it fills in:

    @command("roll", ROBOTS)
    def roll(report, sides: int = 6, seed: int = 0):
        \"\"\"Roll a die.

        Args:
          sides: of the die.
          seed: of the roll.
        \"\"\"
        number = numpy.random.default_rng(seed).integers(sides) + 1
        report.add({"number": int(number)}, title=f"a die of {sides} sides", rows=[["", "number"], ["", str(number)]])

Every command also has --json, --csv and --help, ends with what is finished at Ctrl-C, and returns an exit code.
"""

import importlib
import re
import sys
from collections.abc import Callable

import click

from ppi_robotics.cli.options import SIMILAR, arguments_of, groups_of, options_of, summary_of
from ppi_robotics.cli.report import Interrupted, Report
from ppi_robotics.errors import PPIError, ProblemError, SimulationError, SolveError, one_line

PROGRAM = "ppi-robotics"
ROBOTS, TABLES = "Robots", "Tables and graphs"  # under which commands are listed
SHELLS = ("bash", "zsh", "fish")
MODULES = {  # of the commands, in the order of the help
    name: f"ppi_robotics.cli.{module}"
    for module, names in {
        "robots": ("plants", "solve", "evaluate", "compare", "swingup", "mppi"),
        "risk": ("risk",),
        "mujoco": ("mujoco",),
        "grid": ("grid",),
        "central": ("central",),
    }.items()
    for name in names
} | {"stag": "plants.stag_hunt.commands", "blocks": "plants.blocks.commands"}
GROUPS = {  # of commands of two words, with what their help says
    "grid": "Walks over a map to a target: exact values, Psi-iteration, learning.",
    "central": "The recursion on random tables, for any weights of policy and transitions.",
    "stag": "Hunters on a grid: hares alone or stags together, exactly and by BP.",
    "blocks": "Blocks on a ring: exact control, belief propagation, cluster variation.",
}
HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
_REGISTERED = {}  # name -> Command, in the order of registration


def command(name: str, section: str = ROBOTS) -> Callable:
    """Register a function as the command of a name, such as "swingup" or "grid vi".

    Args:
      name: one word, or two where the first is that of a group.
      section: heading of the help under which it is listed.
    """

    def register(function):
        _REGISTERED[name] = Command(name.split()[-1], function, section)
        return function

    return register


class Command(click.Command):
    """A function as a command; its options are made when they are needed."""

    def __init__(self, name, function, section=ROBOTS):
        super().__init__(name, help=summary_of(function.__doc__), context_settings=HELP)
        self.function, self.section = function, section
        self.params = [
            *options_of(function),
            click.Option(["--csv"], metavar="FILE", help="Also write the numbers as a table to a file."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object and nothing else."),
        ]

    def parse_args(self, ctx, args):
        """Note what is typed, for help; take --plant as the argument, and put --set before each of its values."""
        ctx.meta["typed"] = args
        args = spread_out(args)
        if "PLANT" in [param.metavar for param in self.params]:
            args = plant_first(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def invoke(self, ctx):
        """Run the function, show its report, and return the exit code."""
        values = dict(ctx.params)
        report = Report(values.pop("as_json"), values.pop("csv"))
        return report.run(lambda: self.function(report, **arguments_of(self.function, values)))

    def format_options(self, ctx, formatter):
        """Arguments and options, then what classes of options list for what is typed."""
        params = self.get_params(ctx)
        arguments = [(p.make_metavar(ctx), p.text) for p in params if isinstance(p, click.Argument)]
        listed = [p.get_help_record(ctx) for p in params if isinstance(p, click.Option) and not p.hidden]
        sections = [("Arguments", arguments), ("Options", listed)]
        for kind, _ in groups_of(self.function).values():
            sections += kind.sections(ctx.meta["typed"]) if hasattr(kind, "sections") else []
        for title, rows in sections:
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


class Group(click.Group):
    """Commands by name, loaded when they are needed, and listed under headings."""

    def __init__(self, name=None, **options):
        super().__init__(name, context_settings=HELP, no_args_is_help=False, **options)

    def list_commands(self, ctx):  # noqa: ARG002
        """Names in the order of the help."""
        if self.name is not None:
            load(self.name)
            return [name.split()[1] for name in _REGISTERED if name.startswith(f"{self.name} ")]
        return [*MODULES, *(name for name in _REGISTERED if " " not in name and name not in MODULES)]

    def get_command(self, ctx, name):  # noqa: ARG002
        """The command of a name, None where there is none."""
        if self.name is None and name in GROUPS:
            return Group(name, help=GROUPS[name])
        load(name if self.name is None else self.name)
        return _REGISTERED.get(name if self.name is None else f"{self.name} {name}")

    def format_commands(self, ctx, formatter):
        """One list under each heading."""
        sections = {}
        for name in self.list_commands(ctx):
            inner = self.get_command(ctx, name)
            section = getattr(inner, "section", TABLES) if self.name is None else "Commands"
            sections.setdefault(section, []).append((name, inner.get_short_help_str(1000)))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)


def load(name: str) -> None:
    """Import the module that registers a command or the commands of a group."""
    if name in MODULES:
        importlib.import_module(MODULES[name])


def print_version(ctx, param, value):  # noqa: ARG001
    """Print the version and end."""
    if value:
        from ppi_robotics import __version__

        click.echo(f"{PROGRAM} {__version__}")
        ctx.exit()


def print_completion(ctx, param, shell):  # noqa: ARG001
    """Print the script that makes a shell complete this program, and end."""
    if shell is not None:
        from click.shell_completion import get_completion_class

        from ppi_robotics.cli.options import check_choice

        check_choice("shell", shell, SHELLS)
        click.echo(get_completion_class(shell)(app, {}, PROGRAM, "_PPI_ROBOTICS_COMPLETE").source())
        ctx.exit()


app = Group(
    help="Trajectory optimization by probabilistic inference. Documentation of a command: COMMAND --help.",
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=print_version,
            help="Print the version.",
        ),
        click.Option(
            ["--completion"],
            metavar="|".join(SHELLS),
            is_eager=True,
            expose_value=False,
            callback=print_completion,
            help=f'Print the completion of a shell, for instance for eval "$({PROGRAM} --completion bash)".',
        ),
    ],
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code: 0 solved, 1 not solved, 2 bad usage, 130 interrupted."""
    try:
        check_plants()
        code = app.main(args=arguments, prog_name=PROGRAM, standalone_mode=False)
    except click.UsageError as error:
        return fail(usage_message(error), 2)
    except (SolveError, SimulationError) as error:
        return fail(f"error: {error}", 1)
    except PPIError as error:
        return fail(f"error: {error}", 2)
    except MemoryError:
        return fail("error: there is not enough memory for this; give fewer stages, starts or samples", 2)
    except Interrupted as error:
        return fail(error, 130)
    except (KeyboardInterrupt, click.Abort):
        return fail("interrupted; nothing is written", 130)
    return code or 0


def check_plants() -> None:
    """Raise `ProblemError` where another module of that name hides the package of ready-made plants."""
    import importlib.util
    from pathlib import Path

    own, spec = Path(__file__).parents[2] / "plants" / "__init__.py", importlib.util.find_spec("plants")
    if spec is not None and spec.origin != str(own) and own.is_file():
        raise ProblemError(
            f"'{spec.origin or 'plants'}' hides the package plants that comes with ppi_robotics; rename it, or run "
            "elsewhere"
        )


def fail(message: object, code: int) -> int:
    """Print one line on standard error and return the exit code."""
    sys.stderr.write(one_line(str(message)) + "\n")
    return code


def usage_message(error: click.UsageError) -> str:
    """click's message about arguments, and where to read on."""
    message = error.format_message().strip().removesuffix(".")
    if message.startswith(("Missing command", "No such command")):
        names = error.ctx.command.list_commands(None)
        message = re.sub(r"[.,;]? \(?Did you mean.*", "", message, flags=re.DOTALL | re.IGNORECASE)
        message += f"{guess(message, names)}; choose from {', '.join(names)}"
    command_path = error.ctx.command_path if error.ctx else PROGRAM
    return f"error: {message[0].lower()}{message[1:]}; see '{command_path} --help'"


def guess(message: str, names: list[str]) -> str:
    """The name that a mistyped one, in quotes, may have meant."""
    import difflib

    typed = re.search("'(.*)'", message, flags=re.DOTALL)
    close = difflib.get_close_matches(typed[1], names, 1, SIMILAR) if typed else []
    return f". Did you mean '{close[0]}'?" if close else ""


def spread_out(args: list[str]) -> list[str]:
    """Arguments with a `--set` before each of the values that follow one."""
    found, setting = [], False
    for text in args:
        setting = text == "--set" or (setting and re.match(r"[a-z]\w*(\.\w+)*=", text) is not None)
        if setting and found and text != "--set" and found[-1] != "--set":
            found.append("--set")
        found.append(text)
    return found


def plant_first(args: list[str]) -> list[str]:
    """Arguments in which the value of --plant, if it is given, comes first."""
    for i, text in enumerate(args):
        if text == "--plant":
            return [*args[i + 1 : i + 2], *args[:i], *args[i + 2 :]]
        if text.startswith("--plant="):
            return [text.removeprefix("--plant="), *args[:i], *args[i + 1 :]]
    return args
