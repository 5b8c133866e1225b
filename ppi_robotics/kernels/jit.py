"""Compiled functions that are kept on disk; numba's decorators with the package's own cache.

numba keeps what it compiles beside the source or in a folder for all its users, opens an index for every function, and
does not notice changes of functions that were compiled into another one. Here a function's file is named by a hash of
all that its code depends on, and lies in the private `store`.
"""

import functools
import hashlib
import logging
import pickle
import re
import sys
from pathlib import Path

import llvmlite
import numba
import numpy as np

from ppi_robotics.kernels.filling import FILLS
from ppi_robotics.kernels.store import store

INLINED = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}, "forceinline": True}
FOLDER, PACKAGE = Path(__file__).parent, __name__.rpartition(".")[0]
IMPORTED = re.compile(rf"^from {re.escape(PACKAGE)}\.(\w+) import|^from {re.escape(PACKAGE)} import ([\w, ]+)", re.M)
logger = logging.getLogger("ppi_robotics")
labels = {}  # what modules are called in the message about compiling; taken out once it was given


def njit(function=None, **options):
    """`numba.njit` with the cache of this package."""
    if function is None:
        return functools.partial(njit, **options)
    made = numba.njit(**options)(function)
    if hasattr(made, "_cache"):  # not where numba is switched off
        made._cache = KernelCache(function)
    return made


def cfunc(signature, **options):
    """`numba.cfunc` with the cache of this package."""

    def decorate(function):
        from numba.core.ccallback import CFunc
        from numba.core.sigutils import normalize_signature

        made = CFunc(function, normalize_signature(signature), locals={}, options=options)
        made._cache = KernelCache(function)
        made.compile()
        return made

    return decorate


class KernelCache:
    """Compiled versions of one function on disk: what numba's dispatchers ask of a cache."""

    def __init__(self, function):
        self.module, self.function = function.__module__, function

    @property
    def cache_path(self):
        """The folder, or None."""
        folder = store().folder
        return None if folder is None else str(folder)

    def load_overload(self, signature, target):
        """The compiled version for a signature, None if it is not there; then it is announced that it gets compiled."""
        target.refresh()
        name = self._name(signature, target.codegen())
        data = store().read(name)
        if data is not None:
            try:
                return unpacked(target, data)
            except Exception:  # noqa: BLE001  (what it refers to is gone, or numba has changed)
                store().discard(name)
        label = labels.pop(self.module, None)
        if label is not None:
            logger.warning("compiling %s; this happens once on a machine and takes some seconds", label)
        return None

    def save_overload(self, signature, compiled):
        """Keep a compiled version, unless it holds addresses of this process."""
        if not store().writable or compiled.lifted or compiled.library.has_dynamic_globals:
            return
        try:
            data = packed(compiled)
        except Exception as error:  # noqa: BLE001  (numba has changed; kernels work without being kept)
            logger.debug("%s is not kept: %s", self.function.__name__, error)
        else:
            store().write(self._name(signature, compiled.codegen), data)

    def _name(self, signature, codegen):
        code = self.function.__code__
        parts = (stamp_of(self.module), self.function.__qualname__, code.co_firstlineno, signature)
        digest = hashlib.sha256(repr((*parts, codegen.magic_tuple())).encode()).hexdigest()[:32]
        return f"{self.module.rpartition('.')[2]}.{self.function.__name__}.{digest}.nbc"

    def enable(self):
        """Nothing: the cache is always on."""

    def disable(self):
        """Nothing."""

    def flush(self):
        """Nothing: what is out of date has another name."""


def packed(compiled):
    """Bytes of a compiled version, which numba's own caches keep as well."""
    from numba.core.serialize import dumps

    return dumps(compiled._reduce())


def unpacked(target, data):
    """The compiled version of these bytes."""
    from numba.core.compiler import CompileResult

    return CompileResult._rebuild(target, *pickle.loads(data))


@functools.cache
def environment():
    """Hash of what all compiled code depends on besides its text."""
    switches = numba.config.OPT, numba.config.BOUNDSCHECK, FILLS
    items = sys.version, np.__version__, numba.__version__, llvmlite.__version__, switches
    return hashlib.sha256(repr(items).encode()).hexdigest()


@functools.cache
def stamp_of(module):
    """Hash of a module of kernels, of those that it imports, and of the environment; generated ones are named by it."""
    package, _, name = module.rpartition(".")
    if package != PACKAGE:
        return module
    digest, waiting, seen = hashlib.sha256(environment().encode()), [name], set()
    while waiting:
        name = waiting.pop()
        text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
        digest.update(text.encode())
        seen.add(name)
        found = {part.strip() for pair in IMPORTED.findall(text) for part in ",".join(pair).split(",")} - {""}
        waiting += sorted(found - seen - {"store", *waiting})
    return digest.hexdigest()
