"""Functions of CasADi symbols that plants and costs are written with."""

from casadi import atan2, cos, dot, exp, fabs, if_else, log, sin, sqrt, sumsqr, tan, tanh, vertcat

__all__ = [
    "atan2",
    "cos",
    "dot",
    "exp",
    "fabs",
    "if_else",
    "log",
    "sin",
    "sqrt",
    "sumsqr",
    "tan",
    "tanh",
    "vertcat",
]
