"""Options of a command, read off what they are for: the types, defaults and docstrings of functions and dataclasses.

A parameter `samples: Annotated[int, "N", range(2, 1000)] = 100` becomes `--samples N`, its help the entry of that name
under `Args:` or `Attributes:`. Annotations may hold, in any order: flags ("--samples", "--N"), a word for the value, a
`range` of whole numbers, a tuple of choices, a function that makes the value from the text, and a sentence of help.
Parameters without default are arguments; those whose type is a dataclass stand for its fields.

Dataclasses of the package are read off their source text, so that help does not load what they import.
"""

import ast
import dataclasses
import functools
import importlib.util
import inspect
import math
import re
import types
import typing
from pathlib import Path

import click

from ppi_robotics.errors import ProblemError

REQUIRED = inspect.Parameter.empty
SIMILAR = 0.6  # share of a name that must match for a guess
METAVARS = {int: "N", float: "X", str: "TEXT", Path: "PATH", bool: None}


@dataclasses.dataclass(frozen=True)
class Field:
    """What an option is made from.

    Attributes:
      name: keyword of the function or the dataclass.
      kind: type, or its text where it is read off a source.
      default: value, `REQUIRED`, or its text where it is read off a source.
      help: what it means.
      hidden: whether help does not list it, as it belongs to a choice that has a list of its own.
    """

    name: str
    kind: object
    default: object = REQUIRED
    help: str = ""
    hidden: bool = False


@dataclasses.dataclass(frozen=True)
class Names:
    """A mark of a type: a function that lists names which a shell may complete."""

    listed: typing.Callable


# -- values ------------------------------------------------------------------------------------------------------------


def whole(text: str) -> int:
    """A whole number, such as 1000 or 1e3."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not number.is_integer():
        raise ValueError(f"'{text}' is given, expected a whole number")
    return int(number)


def real(text: str) -> float:
    """A number."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"'{text}' is given, expected a number") from None


def numbers(text: str) -> list[float]:
    """Numbers separated by commas."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"'{text}'; expected numbers separated by commas, such as 0,0.1,1") from None


def weights_of(flag: str, text: str) -> list[float]:
    """The numbers of an option's text."""
    try:
        return numbers(text)
    except ValueError as error:
        raise ProblemError(f"{flag} is {error}") from None


def value_of(text: str, array: bool = False) -> object:
    """What a text stands for: a number (a list of one if `array`), numbers, true, false or none; else the text."""
    words = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    for parse in (numbers,) if array else (int, float, numbers):
        try:
            return parse(text)
        except ValueError:
            continue
    return text


PARSERS = {int: whole, float: real, str: str, Path: Path}


def check_choice(what: str, name: str, choices) -> None:
    """Raise `ProblemError` unless the name is one of the choices."""
    if name in choices:
        return
    import difflib

    from ppi_robotics.checks import shown

    match = difflib.SequenceMatcher(b=name.lower().replace("-", "_"))
    alike = {choice: match.set_seq1(choice) or match.ratio() for choice in choices}
    close = max(alike, key=alike.get)  # of equal ones the first
    guess = f"; did you mean {close}?" if alike[close] >= SIMILAR else ""
    raise ProblemError(f"unknown {what} {shown(name)}; choose from {', '.join(choices)}{guess}")


def check_names(what: str, names, known) -> None:
    """Raise `ProblemError` unless all names are known."""
    for name in names:
        check_choice(what, name, known)


def check_range(flag: str, value: int | None, least: int, most: int = 10**9) -> None:
    """Raise `ProblemError` if a whole number is given and out of range."""
    if value is not None:
        from ppi_robotics.checks import check_count

        check_count(value, flag, least, most)


def choices_of(what: str, text: str, choices) -> list[str]:
    """Names of a list separated by commas, each one of the choices and given once."""
    names = text.split(",")
    for i, name in enumerate(names):
        check_choice(what, name, choices)
        if name in names[:i]:
            raise ProblemError(f"--{what} holds {name} twice; give every {what} once")
    return names


class Value(click.ParamType):
    """The value that a text stands for, within bounds or one of some choices."""

    def __init__(self, what, parse, bounds=None, choices=None, names=None):
        self.name, self.parse, self.bounds, self.choices = what, parse, bounds, choices
        self.names = names.listed if names else lambda: choices or ()

    def convert(self, value, param, ctx):
        """The value, made once."""
        if not isinstance(value, str):
            return value
        try:
            made = self.parse(value)
        except ValueError as error:
            if isinstance(error, ProblemError):
                raise
            self.fail(str(error), param, ctx)
        if self.bounds is not None and made is not None:
            check_range(param.opts[0], made, self.bounds.start, self.bounds.stop - 1)
        if self.choices is not None:
            check_choice(self.name, made, self.choices)
        return made

    def shell_complete(self, ctx, param, incomplete):  # noqa: ARG002
        """Choices that begin as what is typed; paths where there are none."""
        names = [name for name in self.names() if name.startswith(incomplete)]
        found = [click.shell_completion.CompletionItem(name) for name in names]
        return found or [click.shell_completion.CompletionItem(incomplete, type="file")]


# -- from functions and dataclasses to options -------------------------------------------------------------------------


def summary_of(doc: str | None) -> str:
    """The text of a docstring before its sections."""
    lines = inspect.cleandoc(doc or "").splitlines()
    ends = [i for i, line in enumerate(lines) if re.fullmatch(r"(Args|Attributes|Returns|Raises):", line)]
    return "\n".join(lines[: ends[0]] if ends else lines).strip()


def entries_of(doc: str | None) -> dict[str, str]:
    """Descriptions by name under `Args:` and `Attributes:` of a docstring."""
    found, names, inside = {}, (), False
    for line in inspect.cleandoc(doc or "").splitlines():
        entry = re.match(r"  (\w+(?:, \w+)*): (.*)", line)
        if not line.startswith("  "):
            inside, names = line in ("Args:", "Attributes:"), ()
        elif inside and entry:
            names = entry[1].split(", ")
            found |= dict.fromkeys(names, entry[2])
        elif inside:
            found |= {name: f"{found[name]} {line.strip()}" for name in names}
    return {name: text[:1].upper() + text[1:] if text.split(" ")[0].isalpha() else text for name, text in found.items()}


def fields_of(subject) -> list[Field]:
    """The `Field`s of a function's parameters but for the first, or of a dataclass."""
    hints, texts = typing.get_type_hints(subject, include_extras=True), {}
    for part in reversed(subject.__mro__ if inspect.isclass(subject) else (subject,)):
        texts |= entries_of(part.__doc__)
    if dataclasses.is_dataclass(subject):
        made = [field for field in dataclasses.fields(subject) if field.init]
        rows = [(f.name, REQUIRED if f.default is dataclasses.MISSING else f.default) for f in made]
    else:
        rows = [(p.name, p.default) for p in list(inspect.signature(subject).parameters.values())[1:]]
    return [Field(name, hints[name], default, texts.get(name, "")) for name, default in rows]


def groups_of(function) -> dict[str, tuple[type, list[Field]]]:
    """Parameters of a function that stand for several options: their classes, and the fields of these."""
    found = {}
    for name, kind in typing.get_type_hints(function).items():
        if hasattr(kind, "fields") or dataclasses.is_dataclass(kind):
            found[name] = kind, kind.fields() if hasattr(kind, "fields") else fields_of(kind)
    return found


def options_of(function) -> list[click.Parameter]:
    """click's parameters of a command."""
    groups = groups_of(function)
    inner = [groups[field.name][1] if field.name in groups else [field] for field in fields_of(function)]
    return [to_option(field) for fields in inner for field in fields]


def arguments_of(function, values: dict) -> dict:
    """Arguments of a function from the values of its options."""
    groups = {
        name: kind(**{field.name: values[field.name] for field in fields})
        for name, (kind, fields) in groups_of(function).items()
    }
    return {f.name: groups[f.name] if f.name in groups else values[f.name] for f in fields_of(function)}


def to_option(field: Field) -> click.Parameter:
    """click's argument or option of a field."""
    kind, marks = unwrapped(field.kind)
    bounds, choices, names, parse = (
        next((mark for mark in marks if isinstance(mark, sort)), None)
        for sort in (range, tuple, Names, types.FunctionType)
    )
    words = [mark for mark in marks if isinstance(mark, str) and not is_sentence(mark)]
    text = field.help or next((mark for mark in marks if is_sentence(mark)), "")
    flags = [word for word in words if word.startswith("-")] or [f"--{field.name.replace('_', '-')}"]
    usual = "|".join(choices) if choices and kind is str else METAVARS.get(kind, "X,...")
    metavar = next((word for word in words if not word.startswith("-")), usual)
    value = Value(field.name.replace("_", " "), parse or PARSERS.get(kind, numbers), bounds, choices, names)
    if field.default is REQUIRED:
        many = typing.get_origin(kind) is list
        item = Value(field.name, typing.get_args(kind)[0]) if many else value
        argument = click.Argument([field.name], type=item, metavar=metavar, nargs=-1 if many else 1, required=True)
        argument.text = text
        return argument
    how = {"type": value, "metavar": metavar, "default": field.default, "show_default": field.default is not None}
    if kind in (bool, tuple):
        how = {"is_flag": True} if kind is bool else {"multiple": True, "metavar": metavar}
    return click.Option([*flags, field.name], help=text, hidden=field.hidden, **how)


def is_sentence(mark: object) -> bool:
    """Whether a mark of a type is its help."""
    return isinstance(mark, str) and mark.endswith(".") and not mark.endswith("...")


def unwrapped(kind) -> tuple[type, tuple]:
    """A type without None and without its annotations, and these."""
    marks = getattr(kind, "__metadata__", ())
    kind = kind.__origin__ if marks else kind
    if isinstance(kind, types.UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not types.NoneType)
    return kind, marks


# -- from source texts -------------------------------------------------------------------------------------------------


@functools.cache
def source_fields(name: str) -> dict[str, Field]:
    """`Field`s by name of a public dataclass of the package, and of those that it inherits from, without importing it.

    Where its docstring says `others: as for X`, missing descriptions are those of X.
    """
    root = Path(importlib.util.find_spec("ppi_robotics").submodule_search_locations[0])
    names = ast.parse((root / "__init__.pyi").read_text(encoding="utf-8")).body
    lines = [line for line in names if isinstance(line, ast.ImportFrom)]
    module = next((line.module for line in lines if name in [alias.name for alias in line.names]), None)
    if module is None:  # a base class that is not public
        return {}
    tree = ast.parse(root.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8"))
    return class_fields({node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}, name)


def class_fields(classes: dict[str, ast.ClassDef], name: str) -> dict[str, Field]:
    """`Field`s by name of a dataclass among the classes of a module."""
    texts, found = entries_of(ast.get_docstring(classes[name])), {}
    for base in reversed(classes[name].bases):
        found |= class_fields(classes, base.id) if base.id in classes else source_fields(base.id)
    alike = re.search(r"`(\w+)`", texts.get("others", ""))
    spare = source_fields(alike[1]) if alike else found
    for line in classes[name].body:
        if isinstance(line, ast.AnnAssign) and line.target.id != "_":  # which marks what follows as keywords
            key, default = line.target.id, REQUIRED if line.value is None else ast.unparse(line.value)
            text = texts.get(key) or (spare[key].help if key in spare else "")
            found[key] = Field(key, ast.unparse(line.annotation), default, text)
    return found
