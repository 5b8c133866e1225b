"""A public call, arguments that it accepts, and what must hold when some of them are exchanged."""

import math
from dataclasses import dataclass, fields, is_dataclass

import numpy as np

from ppi_robotics import PPIError
from tests.fuzz.values import LONG, NASTY, OWN

LINE = 300
ALWAYS_LONG = ("samples", "starts", "resamples", "episodes")
FUNCTIONS = (
    "callback",
    "progress",
    "push",
    "controller",
    "success",
    "ahead",
    "reachable",
    "infer",
    "step",
    "observation",
)
FUNCTIONS += ("stage", "terminal", "function", "derivative", "policy", "method")


@dataclass(frozen=True)
class Door:
    """A call to be tried.

    Attributes:
      call: the function or class.
      base: keyword arguments that it accepts.
      long: arguments that may take for ever, for which huge numbers are left out.
      without: pairs of an argument and the name of a value that are left out.
      plain: whether the base itself succeeds.
      solved: whether the answer is looked at.
    """

    call: object
    base: dict
    long: tuple = ()
    without: tuple = ()
    plain: bool = True
    solved: bool = True

    def values(self, argument):
        """Names of the values that the argument is tried with."""
        left_out = {name for other, name in self.without if other == argument}
        left_out |= (LONG if argument in self.long + ALWAYS_LONG else set()) | (OWN if argument in FUNCTIONS else set())
        return [name for name in NASTY if name not in left_out]

    def try_with(self, changes):
        """Call with some arguments exchanged, by the names of values; return what is wrong with what happens, or ""."""
        given = {argument: NASTY[name]() for argument, name in changes.items()}
        try:
            answer = self.call(**self.base | given)
        except PPIError as error:
            return wrong_with_message(str(error))
        except Exception as error:  # noqa: BLE001  (that is what is looked for)
            return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return wrong_with(answer) if self.solved else ""


def wrong_with_message(text):
    """What is wrong with a message, or ""."""
    if not text or len(text) > LINE or not text.isprintable():
        return f"a message of {len(text)} characters, printable {text.isprintable()}: {text[:80]!r}"
    return ""


def wrong_with(answer):
    """What is wrong with an answer that says it is one: a number of it is nan; or ""."""
    status = getattr(answer, "status", None)
    if status is None or not getattr(status, "solved", False) or not is_dataclass(answer):
        return ""
    for field in fields(answer):
        value = getattr(answer, field.name)
        if field.name in HEADLINES and isinstance(value, float | np.ndarray) and np.isnan(value).any():
            return f"{status.name} with {field.name} nan"
        if field.name in HEADLINES and isinstance(value, float) and value == math.inf and field.name != "value":
            return f"{status.name} with {field.name} inf"
    return ""


HEADLINES = ("cost", "nominal_cost", "log_partition", "value", "x", "u", "mean", "average")
