"""Debugging: new memory is filled with nan, so that what reads a number that nobody wrote shows.

PPI_ROBOTICS_FILL_MEMORY=1 switches it on when the package is imported: for arrays that compiled code allocates, its
scratch on the stack, and `numpy.empty` and `numpy.empty_like` of the whole process. Whole numbers are -1.
"""

import os

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import overload
from numba.np import arrayobj

FILLS = bool(os.environ.get("PPI_ROBOTICS_FILL_MEMORY"))
BYTE = 0xFF  # floats of such bytes are nan


def fill(builder, data, size):
    """Emit code that fills `size` bytes at a pointer."""
    cgutils.memset(builder, builder.bitcast(data, ir.IntType(8).as_pointer()), size, BYTE)


def switch_on():
    """Let numba and numpy fill what they allocate without contents."""
    allocate, empty, empty_like = arrayobj._empty_nd_impl, np.empty, np.empty_like

    def allocate_filled(context, builder, kind, shapes):
        array = allocate(context, builder, kind, shapes)
        fill(builder, array.data, builder.mul(array.nitems, array.itemsize))
        return array

    def filled(array):
        if array.dtype.kind in "fciu":
            array.reshape(-1).view(np.uint8)[:] = BYTE
        return array

    def filled_empty(shape, dtype=float, **options):
        return filled(empty(shape, dtype, **options))

    def filled_empty_like(prototype, *given, **options):
        return filled(empty_like(prototype, *given, **options))

    @overload(filled_empty)
    def _compiled_empty(shape, dtype=float):
        if dtype is float or isinstance(dtype, types.Omitted):
            return lambda shape, dtype=float: empty(shape)  # noqa: ARG005
        return lambda shape, dtype=float: empty(shape, dtype)

    @overload(filled_empty_like)
    def _compiled_empty_like(prototype):
        return lambda prototype: empty_like(prototype)

    arrayobj._empty_nd_impl, np.empty, np.empty_like = allocate_filled, filled_empty, filled_empty_like


if FILLS:
    switch_on()
