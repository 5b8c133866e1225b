"""Values that no argument, or hardly any, expects: each made anew, as some can be used once alone."""

import decimal
import fractions
import math
import pathlib

import numpy as np
from scipy import sparse


class Broken:
    """An object all of whose conversions fail."""

    def __repr__(self):
        raise RuntimeError("no text")

    def __iter__(self):
        raise RuntimeError("no items")

    def __len__(self):
        raise RuntimeError("no length")

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no array")

    def __bool__(self):
        raise RuntimeError("no truth")


def read_only():
    array = np.ones((3, 2))
    array.setflags(write=False)
    return array


NASTY = {
    "None": lambda: None,
    "True": lambda: True,
    "False": lambda: False,
    "numpy True": lambda: np.True_,
    "0": lambda: 0,
    "-1": lambda: -1,
    "3": lambda: 3,
    "0.5": lambda: 0.5,
    "-0.0": lambda: -0.0,
    "2**31": lambda: 2**31,
    "2**63": lambda: 2**63,
    "2**64": lambda: 2**64,
    "10**20": lambda: 10**20,
    "10**400": lambda: 10**400,
    "nan": lambda: math.nan,
    "inf": lambda: math.inf,
    "-inf": lambda: -math.inf,
    "1e300": lambda: 1e300,
    "-1e300": lambda: -1e300,
    "5e-324": lambda: 5e-324,
    "complex": lambda: 1 + 2j,
    "longdouble": lambda: np.longdouble(0.5),
    "float16": lambda: np.float16(0.5),
    "uint8": lambda: np.uint8(2),
    "decimal": lambda: decimal.Decimal("0.5"),
    "fraction": lambda: fractions.Fraction(1, 2),
    "datetime": lambda: np.datetime64("2020-01-01"),
    "empty text": lambda: "",
    "text": lambda: "a",
    "numeral": lambda: "1",
    "nul": lambda: "a\0b",
    "escape": lambda: "\x1b[31m\n",
    "surrogate": lambda: "\ud800",
    "long text": lambda: "x" * 100_000,
    "bytes": lambda: b"x",
    "path": lambda: pathlib.Path("missing"),
    "function": lambda: math.sin,
    "lambda": lambda: lambda *args, **options: None,
    "type": lambda: int,
    "object": lambda: object(),
    "broken": Broken,
    "module": lambda: math,
    "empty list": list,
    "empty tuple": lambda: (),
    "empty dict": dict,
    "empty set": lambda: set(),
    "dict": lambda: {"a": 1},
    "set": lambda: {1, 2},
    "texts": lambda: ["a", "b"],
    "numbers": lambda: [0, 1],
    "nones": lambda: [None, None],
    "nans": lambda: [math.nan, math.nan],
    "huge list": lambda: [10**400],
    "ragged": lambda: [[1.0], [1.0, 2.0]],
    "nested": lambda: [[[[1.0]]]],
    "generator": lambda: (i for i in range(2)),
    "range": lambda: range(2),
    "array": lambda: np.ones(2),
    "matrix": lambda: np.ones((2, 2)),
    "negative matrix": lambda: -np.ones((2, 2)),
    "cube": lambda: np.ones((2, 2, 2)),
    "scalar array": lambda: np.array(0.5),
    "empty array": lambda: np.empty(0),
    "empty matrix": lambda: np.empty((0, 3)),
    "ints": lambda: np.arange(3),
    "bools": lambda: np.array([True, False]),
    "complex array": lambda: np.ones(2, complex),
    "text array": lambda: np.array(["a", "b"]),
    "object array": lambda: np.array([None, {}], dtype=object),
    "huge array": lambda: np.array([1e300, -1e300]),
    "nan array": lambda: np.full(2, math.nan),
    "inf array": lambda: np.full((2, 2), math.inf),
    "longdouble array": lambda: np.ones(2, np.longdouble),
    "long array": lambda: np.zeros(200),
    "read-only": read_only,
    "Fortran": lambda: np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": lambda: np.arange(12.0)[::-2],
    "broadcast": lambda: np.broadcast_to(1.0, (3, 3)),
    "structured": lambda: np.zeros(2, dtype=[("a", float), ("b", int)]),
    "masked": lambda: np.ma.masked_array([1.0, 2.0], [True, False]),
    "sparse": lambda: sparse.eye(2),
    "random": lambda: np.random.default_rng(0),
}
LONG = {"2**31"}  # left out where an argument may be as large and take for ever
OWN = {"function", "type"}  # that fail when they are called, left out where an argument is a function of the caller's
