"""The door of arguments: what each check lets in, and messages of one short line about what it does not."""

import math

import numpy as np
import pytest

import ppi_robotics as ppi
from ppi_robotics import checks, errors
from ppi_robotics.errors import ProblemError

LINE = 300


class Loud:
    """Text of several lines, far too long."""

    def __repr__(self):
        return "\n".join(["noise\x1b[31m"] * 10_000)


class Broken:
    def __repr__(self):
        raise RuntimeError("no text")

    def __iter__(self):
        raise RuntimeError("no items")

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no array")

    def __float__(self):
        raise RuntimeError("no number")


RAGGED = [[1.0], [1.0, 2.0]]
STRANGE = {
    "none": None,
    "text": "a",
    "numeral": "1",
    "long text": "a\n" * 100_000,
    "bytes": b"x",
    "nan": math.nan,
    "complex": 1 + 2j,
    "huge": 10**400,
    "more digits than Python prints": 10**5000,
    "array": np.ones((2, 3)),
    "large array": np.ones((300, 300)),
    "long list": [["x" * 1000] * 1000] * 1000,
    "dict": {"a": [1] * 10_000},
    "set": {1, 2},
    "ragged": RAGGED,
    "object": object(),
    "loud": Loud(),
    "broken": Broken(),
    "function": math.sin,
}
NOT = {  # checks, and the values that they refuse
    "number": (lambda v: checks.check_number(v, "it"), set(STRANGE)),
    "count": (lambda v: checks.check_count(v, "it", 0), set(STRANGE)),
    "seed": (checks.check_seed, set(STRANGE)),
    "flag": (lambda v: checks.check_flag(v, "it"), set(STRANGE)),
    "choice": (lambda v: checks.check_choice(v, "it", ("one", "other")), set(STRANGE)),
    "counts": (lambda v: checks.check_counts(v, "it", 0), set(STRANGE)),
    "names": (lambda v: checks.check_names(v, "it"), set(STRANGE)),
    "instance": (lambda v: checks.check_instance(v, "it", ppi.Gaussian), set(STRANGE)),
    "function": (lambda v: checks.check_function(v, "it"), set(STRANGE) - {"none", "function"}),
    "text": (lambda v: checks.check_text(v, "it"), set(STRANGE) - {"text", "numeral"}),
    "finite": (lambda v: checks.as_finite(v, "it"), set(STRANGE) - {"array", "large array"}),
    "floats": (lambda v: checks.as_floats(v, "it"), set(STRANGE) - {"array", "large array", "nan"}),
}


@pytest.mark.parametrize("check", NOT)
def test_strange_values_are_refused_in_one_short_line(check):
    run, refused = NOT[check]
    for name in STRANGE:
        if name in refused:
            with pytest.raises(ProblemError) as error:
                run(STRANGE[name])
            assert len(str(error.value)) <= LINE, name
            assert str(error.value).isprintable(), name
        else:
            run(STRANGE[name])


@pytest.mark.parametrize(
    "kind", [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, ppi.PPIError)]
)
def test_messages_are_one_short_line_that_keeps_both_ends(kind):
    text = str(kind("first\n\x1b[31m" + "x" * 10_000 + "\n\tgive less"))
    assert text.startswith("first \\x1b[31mxxx")
    assert text.endswith("xxx give less")
    assert len(text) == LINE
    assert str(kind("as it is")) == "as it is"


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int8(2), np.uint64(2), np.longdouble(2), np.array(2.0)])
def test_numbers_become_plain_floats(value):
    number = checks.check_number(value, "it", above=0)
    assert type(number) is float
    assert number == 2.0


def test_bounds_of_numbers():
    bounds = {
        "least": ({"least": 0}, [0, 1], [-1e-300, math.inf]),
        "above": ({"above": 0}, [1e-300], [0, -1, math.inf]),
        "most": ({"most": 1}, [1, -5], [1.1, -math.inf]),
        "below": ({"least": 0, "below": 1}, [0, 0.9], [1, 2]),
        "infinite": ({"least": 0, "most": math.inf}, [0, math.inf], [-1, -math.inf]),
        "either infinite": ({"least": -math.inf, "most": math.inf}, [-math.inf, 0, math.inf], []),
    }
    for given, inside, outside in bounds.values():
        assert [checks.check_number(value, "it", **given) for value in inside] == inside
        for value in outside:
            with pytest.raises(ProblemError, match=f"it is {value:g}; expected a"):
                checks.check_number(value, "it", **given)


@pytest.mark.parametrize("value", [True, np.True_, 1.0, np.float64(1), "1", [1]])
def test_what_only_looks_whole_is_no_count(value):
    with pytest.raises(ProblemError, match="expected a whole number"):
        checks.check_count(value, "it", 0)


def test_counts_become_plain_ints_in_range():
    assert [type(checks.check_count(value, "it", 0)) for value in (3, np.int8(3), np.uint64(3))] == [int] * 3
    assert checks.check_seed(2**64 - 1) == 2**64 - 1
    for value, least, most in ((0, 1, None), (4, 1, 3), (2**63, 1, None)):
        with pytest.raises(ProblemError, match="at least 1"):
            checks.check_count(value, "it", least, most)
    assert checks.check_counts(np.array([1, 2]), "it", 0) == (1, 2)
    with pytest.raises(ProblemError, match=r"it\[1\] is -1"):
        checks.check_counts([0, -1], "it", 0)


def test_arrays_of_all_number_types_become_floats():
    for value in (
        [1, 2],
        [True, 2.5],
        np.ones(2, np.float16),
        np.ones(2, np.longdouble),
        [10**30, 2],
        np.uint8([1, 2]),
    ):
        assert checks.as_finite(value, "it", (2,)).dtype == float
    for value in ([10**400], np.array(["1"]), np.array([1 + 0j]), np.array(["2020-01-01"], "datetime64[D]"), [None]):
        with pytest.raises(ProblemError, match="expected an array of numbers"):
            checks.as_finite(value, "it")
    with pytest.raises(ProblemError, match="non-finite entry at index"):
        checks.as_finite([np.longdouble("1e400")], "it")
