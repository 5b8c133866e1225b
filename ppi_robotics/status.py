"""How computations end short of an answer."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Why a backward pass could not be completed.

    Attributes:
      kind: "risk" (I + lS G'PG is not positive definite), "indefinite" (the Hessian in the control is not), or
        "non-finite" (an entry of the model or of a value is infinite or not a number).
      stage: at which stage; -1 for the belief over the initial state.
      bound: risk: largest eigenvalue of G'PG, with the value P that this weight gives the stages ahead, and theta = -lS
        would have to be below its inverse; or for lS > 0 its smallest eigenvalue, which must exceed -1 / lS;
        indefinite: smallest eigenvalue of the Hessian in the control; non-finite: nan.
      critical: risk, in a `Solution`: largest theta = -eta that does not break down from the risk-neutral path, the
        same whatever was asked for, see `values.largest_theta`; None where it was not looked for.
    """

    kind: str
    stage: int
    bound: float
    critical: float | None = None

    def __str__(self) -> str:
        if self.kind == "non-finite":
            return f"the model is not finite at stage {self.stage}"
        if self.kind == "indefinite":
            return f"Hessian in the control indefinite at stage {self.stage}: smallest eigenvalue {self.bound:.4g}"
        place = f"stage {self.stage}" if self.stage >= 0 else "the initial state"
        if self.critical is not None:
            return f"risk breakdown at {place}; the critical theta (-eta) is {floored(self.critical)}"
        name, limit = ("theta", 1 / self.bound) if self.bound > 0 else ("eta", -1 / self.bound)
        return f"risk breakdown at {place}: {name} exceeds {limit:.4g}, the limit there given the stages ahead"


def floored(value: float) -> str:
    """A positive number to three digits, rounded down."""
    decimals = 2 - math.floor(math.log10(value)) if value > 0.0 else 0
    return f"{math.floor(value * 10.0**decimals) / 10.0**decimals:.3g}"


def breakdown_at(stage: int, kind: str, matrix: np.ndarray, largest: bool = False) -> Breakdown:
    """`Breakdown` at a stage, for the matrix whose smallest, or largest, eigenvalue crossed its bound."""
    if not np.isfinite(matrix).all():
        return Breakdown("non-finite", stage, math.nan)
    return Breakdown(kind, stage, float(np.linalg.eigvalsh(matrix)[-1 if largest else 0]))
