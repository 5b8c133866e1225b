"""`njit` for kernels of other packages: kept on disk as those of this one, compiled anew when their texts change."""

import functools
import hashlib
import re
import sys
from pathlib import Path

from ppi_robotics.kernels import jit

OPTIONS = {"nogil": True, "error_model": "numpy"}
INLINED = OPTIONS | {"forceinline": True}  # for what is called so often that the call would take longer
IMPORTED = re.compile(r"^from ([\w.]+)\.(\w+) import ", re.M)


def njit(function=None, **options):
    """`numba.njit` with the cache of this package, for a function in any module."""
    if function is None:
        return functools.partial(njit, **options)
    made = jit.njit(function, **options)
    if hasattr(made, "_cache"):  # not where numba is switched off
        module = function.__module__
        made._cache.module = f"{stamp_of(module)}.{module.rpartition('.')[2]}"
    return made


@functools.cache
def stamp_of(module):
    """Hash of a module's text and of the stamps of the kernels that it imports from its folder and from this one."""
    text = Path(sys.modules[module].__file__).read_text(encoding="utf-8")
    digest = hashlib.sha256((jit.environment() + text).encode())
    for package, name in IMPORTED.findall(text):
        if package == jit.PACKAGE:
            digest.update(jit.stamp_of(f"{package}.{name}").encode())
        elif package == module.rpartition(".")[0]:
            digest.update(stamp_of(f"{package}.{name}").encode())
    return digest.hexdigest()
