"""Small matrices whose sizes the compiler knows: views and scratch without reference counts, and their products.

Products are written as vector instructions, tile by tile: ROWS x WIDTH sums stay in registers while the inner index
runs. See K. Goto, R. van de Geijn, *Anatomy of high-performance matrix multiplication* (ACM TOMS, 2008).
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from ppi_robotics.kernels.filling import FILLS, fill

ROWS, WIDTH = 4, 8  # 8 registers of 4 numbers, or 4 of 8
ON_STACK = 1 << 13  # entries of the largest scratch matrix that is not taken from the heap
FUSED = ("contract",)
DOUBLE = ir.DoubleType()


# -- views and scratch -----------------------------------------------------------------------------------------------


@intrinsic
def matrix(typingctx, array, t, n, m):
    """View of array[t] (n, m), valid while the caller holds the array (T, n, m)."""
    return _view_type(array, 2)(array, types.intp, types.intp, types.intp), _view


@intrinsic
def vector(typingctx, array, t, n):
    """View of array[t] (n,), valid while the caller holds the array (T, n)."""
    return _view_type(array, 1)(array, types.intp, types.intp), _view


@intrinsic(prefer_literal=True)
def new_matrix(typingctx, n, m):
    """Uninitialized scratch (n, m) for literal n and m, valid until the calling function returns."""
    return types.Array(types.float64, 2, "C")(n, m), _scratch((n.literal_value, m.literal_value))


@intrinsic(prefer_literal=True)
def new_vector(typingctx, n):
    """Uninitialized scratch (n,) for a literal n, valid until the calling function returns."""
    return types.Array(types.float64, 1, "C")(n), _scratch((n.literal_value,))


def _view_type(array, dimensions):
    if not isinstance(array, types.Array) or array.layout != "C" or array.dtype != types.float64:
        raise TypingError(f"kernels take C-contiguous arrays of float64, not {array}")
    return types.Array(types.float64, dimensions, "C", readonly=not array.mutable)


def _view(context, builder, signature, args):
    array, t, *shape = args
    offset = t
    for n in shape:
        offset = builder.mul(offset, n)
    start = make_array(signature.args[0])(context, builder, array).data
    return _wrap(context, builder, signature.return_type, builder.gep(start, [offset]), shape)


def _scratch(shape):
    entries = int(np.prod(shape))

    def on_stack(context, builder, signature, args):
        intp = context.get_value_type(types.intp)
        data = cgutils.alloca_once(builder, DOUBLE, size=intp(max(entries, 1)))
        if FILLS:
            fill(builder, data, intp(8 * entries))
        return _wrap(context, builder, signature.return_type, data, [intp(n) for n in shape])

    def on_heap(context, builder, signature, args):
        return context.compile_internal(builder, lambda: np.empty(shape), signature.return_type(), ())

    return on_stack if entries <= ON_STACK else on_heap


def _wrap(context, builder, kind, data, shape):
    """Array structure about memory that it does not own."""
    intp = context.get_value_type(types.intp)
    strides, step = [], intp(8)
    for n in reversed(shape):
        strides.insert(0, step)
        step = builder.mul(step, n)
    array = make_array(kind)(context, builder)
    populate_array(array, data=data, shape=list(shape), strides=strides, itemsize=intp(8), meminfo=None)
    return array._getvalue()


# -- products --------------------------------------------------------------------------------------------------------


def _product(transposed=False, lower=False):
    """An intrinsic for Z (n, q) = C + X Y or C + X'Y with m as the inner size, all literal.

    C is None for zero. A vector stands for one row or one column. Only the leading n, m, q entries are touched; Z must
    not be X or Y. With `lower` the tiles above the diagonal are left out: the upper triangle of Z is undefined.
    """

    @intrinsic(prefer_literal=True)
    def product(typingctx, C, X, Y, Z, n, m, q):
        def codegen(context, builder, signature, args):
            given = zip(signature.args[:4], args[:4], strict=True)
            operands = [None if kind == types.none else _Rows(context, builder, kind, value) for kind, value in given]
            intp = context.get_value_type(types.intp)

            def tile(*place):
                _tile(builder, intp, *operands, *place, m.literal_value, transposed)

            _tiles(builder, intp, n.literal_value, q.literal_value, lower, tile)
            return context.get_dummy_value()

        return types.void(C, X, Y, Z, n, m, q), codegen

    return product


product = _product()
transposed_product = _product(transposed=True)
symmetric_product = _product(transposed=True, lower=True)


class _Rows:
    """Addresses of the entries of a row-major matrix, or of a vector taken as one row or one column."""

    def __init__(self, context, builder, kind, value):
        array = make_array(kind)(context, builder, value)
        self.builder, self.data = builder, array.data
        self.columns = cgutils.unpack_tuple(builder, array.shape, 2)[1] if kind.ndim == 2 else None

    def address(self, i, j):
        """Pointer to entry (i, j)."""
        offset = i if self.columns is None else self.builder.mul(i, self.columns)
        return self.builder.gep(self.data, [self.builder.add(offset, j)])


def _tiles(builder, intp, n, q, lower, tile):
    """Loops over the tiles of (n, q), smaller ones at the borders; calls tile(i, j, height, width) in each."""
    for top, height, down in _strips(n, ROWS):
        for left, width, across in _strips(q, WIDTH):
            with cgutils.for_range(builder, intp(down)) as rows:
                i = builder.add(intp(top), builder.mul(rows.index, intp(height)))
                count = intp(across)
                if lower:  # the tiles that start at or left of the last row's diagonal
                    last = builder.sub(builder.add(i, intp(height - 1 + width)), intp(left))
                    needed = builder.sdiv(last, intp(width))
                    count = builder.select(builder.icmp_signed("<", needed, count), needed, count)
                with cgutils.for_range(builder, count) as columns:
                    j = builder.add(intp(left), builder.mul(columns.index, intp(width)))
                    tile(i, j, height, width)


def _strips(n, size):
    """Start, size and number of the full strips of range(n), and of the remainder."""
    full = n // size
    return [strip for strip in ((0, size, full), (full * size, n - full * size, 1)) if strip[1] and strip[2]]


def _tile(builder, intp, C, X, Y, Z, i, j, height, width, m, transposed):
    """Z[i:i+height, j:j+width] = C + X Y."""
    lanes = ir.VectorType(DOUBLE, width)
    rows = [builder.add(i, intp(a)) for a in range(height)]
    sums = [cgutils.alloca_once(builder, lanes) for _ in rows]
    for row, total in zip(rows, sums, strict=True):
        builder.store(_load(builder, C.address(row, j), lanes) if C else ir.Constant(lanes, [0.0] * width), total)
    with cgutils.for_range(builder, intp(m)) as loop:
        y = _load(builder, Y.address(loop.index, j), lanes)
        for row, total in zip(rows, sums, strict=True):
            x = builder.load(X.address(loop.index, row) if transposed else X.address(row, loop.index))
            term = builder.fmul(_spread(builder, x, lanes), y, flags=FUSED)
            builder.store(builder.fadd(builder.load(total), term, flags=FUSED), total)
    for row, total in zip(rows, sums, strict=True):
        builder.store(builder.load(total), builder.bitcast(Z.address(row, j), lanes.as_pointer())).align = 8


def _load(builder, pointer, lanes):
    value = builder.load(builder.bitcast(pointer, lanes.as_pointer()))
    value.align = 8
    return value


def _spread(builder, x, lanes):
    """A vector with x in every lane."""
    undefined, index = ir.Constant(lanes, ir.Undefined), ir.IntType(32)
    first = builder.insert_element(undefined, x, index(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(index, lanes.count), [0] * lanes.count))
