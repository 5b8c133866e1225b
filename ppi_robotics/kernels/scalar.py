"""Elementary functions that vectorize over lanes: no calls, no branches, the same bits on every machine.

Polynomials and argument reduction after W. J. Cody and W. Waite, *Software Manual for the Elementary Functions*
(1980), with the minimax coefficients of FreeBSD's msun (e_log.c, k_sin.c, k_cos.c). Errors of sine and cosine are below
1e-14 for |x| up to 1e8; beyond they are not a number, so that a rollout that asks for them counts as diverged.
"""

import math

import numpy as np
from llvmlite import ir
from numba import float64, njit, types, uint64
from numba.extending import intrinsic

MAGIC = 6755399441055744.0  # 1.5 * 2**52: adding it rounds to an integer, held in the low bits
TWO_OVER_PI = 0.6366197723675814
# pi / 2 in parts, the first two of 27 and 25 bits: their products with up to 2**26 quarter turns are exact
PIO2_HIGH, PIO2_MIDDLE, PIO2_LOW = 1.570796325802803, 9.920935739593517e-10, 5.721188726109832e-18
LARGEST_ANGLE = 1e8
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10


@intrinsic
def bits_of(typingctx, x):
    """The 64 bits of a float."""
    return uint64(float64), lambda _context, builder, _sig, args: builder.bitcast(args[0], ir.IntType(64))


@intrinsic
def float_of(typingctx, b):
    """The float with these 64 bits."""
    return float64(uint64), lambda _context, builder, _sig, args: builder.bitcast(args[0], ir.DoubleType())


@intrinsic
def use_widest_vectors(typingctx):
    """Let the loops of the function that calls this use vectors of 512 bits, where the processor has them.

    Left to itself the compiler prefers 256 bits, for programs that use wide vectors now and then.
    """

    def generate(context, builder, _sig, _args):
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')  # llvmlite knows no attributes with values
        return context.get_dummy_value()

    return types.none(), generate


@njit(forceinline=True, error_model="numpy")
def sin_cos(x):
    """Sine and cosine, for |x| up to LARGEST_ANGLE."""
    shifted = x * TWO_OVER_PI + MAGIC
    quadrant = bits_of(shifted)
    n = shifted - MAGIC
    r = ((x - n * PIO2_HIGH) - n * PIO2_MIDDLE) - n * PIO2_LOW
    z = r * r
    s = 1.58969099521155010221e-10
    s = -2.50507602534068634195e-08 + z * s
    s = 2.75573137070700676789e-06 + z * s
    s = -1.98412698298579493134e-04 + z * s
    s = 8.33333333332248946124e-03 + z * s
    s = r + r * z * (-1.66666666666666324348e-01 + z * s)
    c = -1.13596475577881948265e-11
    c = 2.08757232129817482790e-09 + z * c
    c = -2.75573143513906633035e-07 + z * c
    c = 2.48015872894767294178e-05 + z * c
    c = -1.38888888888741095749e-03 + z * c
    c = 1.0 - 0.5 * z + z * z * (4.16666666666666019037e-02 + z * c)
    swap = (quadrant & uint64(1)) != uint64(0)
    sine = c if swap else s
    cosine = s if swap else c
    # bit 1 of the quadrant is the sine's sign, bit 1 of the next quadrant the cosine's
    sine = float_of(bits_of(sine) ^ ((quadrant & uint64(2)) << uint64(62)))
    cosine = float_of(bits_of(cosine) ^ (((quadrant + uint64(1)) & uint64(2)) << uint64(62)))
    return sine, cosine


@njit(forceinline=True, error_model="numpy")
def sin(x):
    """Sine; not a number for |x| above LARGEST_ANGLE."""
    return sin_cos(x if abs(x) <= LARGEST_ANGLE else math.nan)[0]


@njit(forceinline=True, error_model="numpy")
def cos(x):
    """Cosine; not a number for |x| above LARGEST_ANGLE."""
    return sin_cos(x if abs(x) <= LARGEST_ANGLE else math.nan)[1]


@njit(forceinline=True, error_model="numpy")
def remainder(x, y):
    """IEEE remainder: x minus the multiple of y that is nearest to it, the even one of two."""
    size = abs(y)
    rest = np.fmod(abs(x), 2.0 * size)
    if rest + rest > size:
        rest -= size
        if rest + rest >= size:
            rest -= size
    return -rest if x < 0.0 else rest


@njit(forceinline=True, error_model="numpy")
def log_unit(x):
    """Natural logarithm for normal positive floats."""
    b = bits_of(x)
    b = b + uint64(0x3FF00000 - 0x3FE6A09E) * uint64(1 << 32)
    exponent = float_of((b >> uint64(52)) | uint64(0x4330000000000000)) - (4503599627370496.0 + 1023.0)
    m = float_of((b & uint64(0x000FFFFFFFFFFFFF)) + uint64(0x3FE6A09E) * uint64(1 << 32))
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    r = 1.479819860511658591e-01
    r = 1.531383769920937332e-01 + z * r
    r = 1.818357216161805012e-01 + z * r
    r = 2.222219843214978396e-01 + z * r
    r = 2.857142874366239149e-01 + z * r
    r = 3.999999999940941908e-01 + z * r
    r = z * (6.666666666666735130e-01 + z * r)
    h = 0.5 * f * f
    return exponent * LN2_HIGH - ((h - (s * (h + r) + exponent * LN2_LOW)) - f)


@njit(forceinline=True, error_model="numpy")
def rotate(x, n):
    """Rotate 64 bits to the left."""
    return (x << uint64(n)) | (x >> uint64(64 - n))


@njit(forceinline=True, error_model="numpy")
def threefry(k0, k1, x0, x1):
    """Threefry-2x64 with 20 rounds: two random words from a key and a counter.

    J. Salmon, M. Moraes, R. Dror, D. Shaw, *Parallel random numbers: as easy as 1, 2, 3* (SC 2011).
    """
    k2 = uint64(0x1BD11BDAA9FC1A22) ^ k0 ^ k1
    x0 = x0 + k0
    x1 = x1 + k1
    for a, b, n in ((k1, k2, 1), (k2, k0, 2), (k0, k1, 3), (k1, k2, 4), (k2, k0, 5)):
        if n % 2 == 1:
            x0 = x0 + x1
            x1 = rotate(x1, 16) ^ x0
            x0 = x0 + x1
            x1 = rotate(x1, 42) ^ x0
            x0 = x0 + x1
            x1 = rotate(x1, 12) ^ x0
            x0 = x0 + x1
            x1 = rotate(x1, 31) ^ x0
        else:
            x0 = x0 + x1
            x1 = rotate(x1, 16) ^ x0
            x0 = x0 + x1
            x1 = rotate(x1, 32) ^ x0
            x0 = x0 + x1
            x1 = rotate(x1, 24) ^ x0
            x0 = x0 + x1
            x1 = rotate(x1, 21) ^ x0
        x0 = x0 + a
        x1 = x1 + b + uint64(n)
    return x0, x1


@njit(forceinline=True, error_model="numpy")
def normal_pair(k0, k1, x0, x1):
    """Two independent standard normals from a key and a counter (Box-Muller, 52 random bits each)."""
    a, b = threefry(k0, k1, x0, x1)
    one = uint64(0x3FF0000000000000)
    radius = math.sqrt(-2.0 * log_unit(2.0 - float_of((a >> uint64(12)) | one)))
    s, c = sin_cos(6.283185307179586 * (float_of((b >> uint64(12)) | one) - 1.0))
    return radius * c, radius * s
