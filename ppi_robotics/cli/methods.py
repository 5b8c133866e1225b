"""The methods of solving by their names, and their options, which are the fields of their dataclasses."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Annotated

import ppi_robotics as ppi
from ppi_robotics.cli.options import (
    REQUIRED,
    Field,
    check_choice,
    check_names,
    real,
    source_fields,
    value_of,
    weights_of,
    whole,
)
from ppi_robotics.errors import ProblemError

METHODS = {  # names, and the classes of the package that they stand for
    "ppi": "PPI",
    "ilqg": "ILQG",
    "leqg": "LEQG",
    "aico": "AICO",
    "psi": "PsiIteration",
    "mppi": "MPPI",
    "cem": "CEM",
    "predictive_sampling": "PredictiveSampling",
}
WEIGHTS = {"ppi": {"eta": 0.1}, "psi": {"eta": 1.0}, "leqg": {"theta": 0.05}}  # defaults [1/cost]
SAMPLING = ("mppi", "cem", "predictive_sampling")
ROUNDS = 400  # of methods that sample; most end earlier
EFFECTIVE = 20  # samples of mppi that are to count
KNOTS = 25  # of splines through sampled controls
EXPANSIONS = ("taylor", "cubature", "unscented", "gauss_hermite")
KERNELS = ("squared_exponential", "matern12", "matern32", "matern52")
RECORDS = {  # options whose text is a name and, behind a colon, numbers; what these are, the class, its first arguments
    "temperature": {
        "ess": ("SHARE_OR_COUNT", "TargetESS"),
        "reps": ("NATS", "REPS"),
        "lbps": ("DELTA", "LBPS"),
        "elite": ("SHARE_OR_COUNT", "Elite"),
    },
    "smoothing": {
        "white": ("", "White"),
        "ar1": ("CORRELATION", "AR1"),
        "colored": ("EXPONENT", "Colored"),
        "splines": ("KNOTS", "Splines"),
        **{name: ("SECONDS", "Kernel", name) for name in KERNELS},
        "periodic": ("SECONDS,PERIOD", "Kernel", "periodic"),
    },
    "expansion": {"taylor": ("", "")} | {name: ("", "SigmaPoints", name) for name in EXPANSIONS[1:]},
}
FLAGS = {"samples": "--sequences", "max_iterations": "--iterations"}  # fields whose options are called otherwise
PREFIX = "method_"  # of the names of these options, so that they differ from a command's own
DEFAULTS = {"temperature": f"ess:{EFFECTIVE}", "smoothing": f"splines:{KNOTS}, white for short horizons"}  # of SAMPLING


@functools.cache
def owners_of() -> dict[str, list[str]]:
    """Names of the methods that have a field, for all fields."""
    found = {}
    for method, name in METHODS.items():
        for key in source_fields(name):
            found.setdefault(key, []).append(method)
    return found


def flag_of(name: str) -> str:
    """The option of a method's field."""
    return FLAGS.get(name, f"--{name.replace('_', '-')}")


def describe(field: Field, method: str) -> str:
    """What an option of a method means."""
    text = f"{field.help} As text: {forms(field.name)}." if is_record(field) else field.help
    default = DEFAULTS.get(field.name, field.default) if method in SAMPLING else field.default
    default = WEIGHTS.get(method, {}).get(field.name, default)
    return text if default in (REQUIRED, "None") else f"{text} Default: {default}."


class Method:
    """The method of a name, and the options that differ from its defaults.

    Attributes:
      name: of `METHODS`, None where it is left open.
      texts: values by field, as typed.
    """

    only = None  # the method that a command is about

    def __init__(self, method: str | None = None, **texts: str | None):
        self.name = self.only or method
        self.texts = {name.removeprefix(PREFIX): text for name, text in texts.items() if text is not None}

    @classmethod
    def fields(cls) -> list[Field]:
        """`Field`s of the options; weights are in every help, others in that of their method."""
        about = f"How to solve: {', '.join(METHODS)}; ppi by default."
        found = [] if cls.only else [Field("method", Annotated[str, "NAME", tuple(METHODS)], None, about)]
        for name, owners in owners_of().items():
            if cls.only in (None, *owners):
                field, main = source_fields(METHODS[owners[0]])[name], name in ("eta", "theta")
                text = f"Of {' and '.join(owners)}: {describe(field, owners[0])}" if main else ""
                kind = Annotated[str, flag_of(name), metavar_of(field)]
                found.append(Field(PREFIX + name, kind, None, text, not main))
        return found

    @classmethod
    def sections(cls, typed: list[str]) -> list[tuple[str, list]]:
        """The options of the method that is typed, for help."""
        named = re.search(r"--method[ =](\S+)", " ".join(typed))
        chosen = cls.only or (named[1] if named else "ppi")
        hint = "" if cls.only else " (of another: --method NAME --help)"
        fields = source_fields(METHODS[chosen]).values() if chosen in METHODS else ()
        rows = [(f"{flag_of(f.name)} {metavar_of(f)}", describe(f, chosen)) for f in fields]
        return [(f"Options of the method {chosen}{hint}", rows)]

    def make(self, horizon: int, extra: dict[str, str] | None = None, **defaults):
        """The method for a horizon; `extra` are further texts, `defaults` values where no text is given."""
        name, texts = self.name or "ppi", self.texts | (extra or {})
        check_choice("method", name, METHODS)
        check_names("option of a method", texts, owners_of())
        for key in texts:
            owners = owners_of()[key]
            if name not in owners:
                raise ProblemError(
                    f"{flag_of(key)} belongs to method {' and '.join(owners)}, the method is {name}; "
                    f"leave it out or give --method {owners[0]}"
                )
        fields = source_fields(METHODS[name])
        values = WEIGHTS.get(name, {}) | {key: converted(fields[key], text) for key, text in texts.items()}
        if name in SAMPLING:
            values = sampling_defaults(name, horizon) | defaults | values
        return getattr(ppi, METHODS[name])(**values)


class Sampled(Method):
    """The options of model-predictive path integrals."""

    only = "mppi"


def sampling_defaults(name: str, horizon: int) -> dict[str, object]:
    """What the command line takes for methods that sample, where no option is given."""
    smoothing = ppi.Splines(KNOTS) if horizon >= 2 * KNOTS else ppi.White()
    values = {"max_iterations": ROUNDS, "smoothing": smoothing}
    return values | {"temperature": ppi.TargetESS(EFFECTIVE)} if name == "mppi" else values


def is_record(field: Field) -> bool:
    """Whether the values of a method's field are records, with texts that stand for them."""
    return field.name in RECORDS and field.kind != "str"


def metavar_of(field: Field) -> str:
    """A word for the value of a method's field."""
    if is_record(field):
        return "NAME:NUMBERS" if ":" in forms(field.name) else "NAME"
    words = {"Policy": "POLICY.npz", "bool": "true|false", "tuple": "X,...", "str": "NAME"}
    return next((word for part, word in words.items() if part in field.kind), "N" if "int" in field.kind else "X")


def converted(field: Field, text: str) -> object:
    """The value of a method's field that a text stands for, by the field's type."""
    flag, kind = flag_of(field.name), field.kind
    if is_record(field):
        return record_of(flag, field.name, text)
    if "Policy" in kind:
        return ppi.LinearGaussianPolicy.load(Path(text))
    if "tuple" in kind:
        return tuple(weights_of(flag, text))
    if "bool" in kind:
        check_choice(f"value of {flag}", text.lower(), ("true", "false"))
        return text.lower() == "true"
    if "str" in kind:
        return value_of(text) if "float" in kind else text
    try:
        return whole(text) if "int" in kind else real(text)
    except ValueError as error:
        raise ProblemError(f"invalid value for '{flag}': {error}") from None


def forms(name: str) -> str:
    """What a record may be given as, in a sentence."""
    return ", ".join(f"{key}:{what}" if what else key for key, (what, *_) in RECORDS[name].items())


def record_of(flag: str, name: str, text: str) -> object:
    """The record that a text such as `splines:15` stands for; a temperature may be a number."""
    if name == "temperature":
        try:
            return float(text)
        except ValueError:
            pass
    key, _, parts = text.partition(":")
    what, kind, *first = RECORDS[name].get(key, (None, ""))
    values = [value_of(part) for part in parts.split(",")] if parts else []
    wanted = what.count(",") + 1 if what else 0
    if what is None or len(values) != wanted or not all(isinstance(value, int | float) for value in values):
        also = "a number, or one of " if name == "temperature" else "one of "
        raise ProblemError(f"{flag} is '{text}'; expected {also}{forms(name)}")
    return getattr(ppi, kind)(*first, *values) if kind else key
