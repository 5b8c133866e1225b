"""Calling C functions and reaching C memory by address, from compiled code that can be cached on disk."""

from llvmlite import ir
from numba import carray, float64, int64, types
from numba.extending import intrinsic

from ppi_robotics.kernels.jit import njit

POINTER = ir.IntType(8).as_pointer()


@intrinsic
def float_pointer(typingctx, address):
    """The address as a pointer to floats."""
    to = types.CPointer(float64)
    return to(int64), lambda context, builder, _sig, args: builder.inttoptr(args[0], context.get_value_type(to))


@intrinsic
def int_pointer(typingctx, address):
    """The address as a pointer to integers of 64 bits."""
    to = types.CPointer(int64)
    return to(int64), lambda context, builder, _sig, args: builder.inttoptr(args[0], context.get_value_type(to))


@njit(nogil=True)
def floats(address, shape):
    """Array of floats of a shape (a tuple) at an address."""
    return carray(float_pointer(address), shape)


@njit(nogil=True)
def integers(address, shape):
    """Array of 64-bit integers of a shape (a tuple) at an address."""
    return carray(int_pointer(address), shape)


@intrinsic
def call_two(typingctx, function, a, b):
    """Call void function(void *a, void *b)."""

    def build(_context, builder, _sig, args):
        kind = ir.FunctionType(ir.VoidType(), [POINTER, POINTER])
        target = builder.inttoptr(args[0], kind.as_pointer())
        builder.call(target, [builder.inttoptr(value, POINTER) for value in args[1:]])

    return types.void(int64, int64, int64), build


@intrinsic
def call_differences(typingctx, function, a, b, step, centered, A, B, C, D):
    """Call void function(void *a, void *b, double step, bool centered, double *A, double *B, double *C, double *D)."""

    def build(_context, builder, _sig, args):
        byte = ir.IntType(8)
        kind = ir.FunctionType(ir.VoidType(), [POINTER, POINTER, ir.DoubleType(), byte, *[POINTER] * 4])
        target = builder.inttoptr(args[0], kind.as_pointer())
        a, b, *outputs = (builder.inttoptr(args[i], POINTER) for i in (1, 2, 5, 6, 7, 8))
        builder.call(target, [a, b, args[3], builder.trunc(args[4], byte), *outputs])

    return types.void(int64, int64, int64, float64, int64, int64, int64, int64, int64), build
