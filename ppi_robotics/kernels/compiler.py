"""Text to imported module: assembling kernel modules from templates and generated functions.

A module is named by the hash of everything that its compiled code depends on, which `jit` keeps on disk by that name.
"""

import functools
import hashlib
import importlib
import linecache
import re
import sys
import types
from pathlib import Path

from ppi_robotics.kernels.jit import environment, labels, stamp_of
from ppi_robotics.kernels.store import store

ROLLOUT_LANES = 64  # enough for the compiler to vectorize, few enough to stay in the first-level cache
STAGE_LANES = 32
HEADER = """import math

import numpy as np
from numba import uint64

from ppi_robotics.kernels.algebra import (
    back_substitute,
    box_step,
    divide_by_pivots,
    factorize,
    forward_substitute,
    log_pivots,
    mirror,
    semidefinite_roots,
)
from ppi_robotics.kernels.jit import njit as kept_njit
from ppi_robotics.kernels.lanes import add_product, load, normals
from ppi_robotics.kernels.scalar import cos, remainder, sin, use_widest_vectors
from ppi_robotics.kernels.tiles import (
    matrix,
    new_matrix,
    new_vector,
    product,
    symmetric_product,
    transposed_product,
    vector,
)
from ppi_robotics.kernels.trajectories import farthest, largest, moved


def njit(function):
    return kept_njit(function, nogil=True, error_model="numpy"{fastmath})


def inlined(function):
    return kept_njit(function, nogil=True, error_model="numpy", forceinline=True{fastmath})


LANES = {lanes}
"""
IMPORT = re.compile(r"^(?:from|import) [^(\n]*(?:\([^)]*\))?\n", re.MULTILINE)
DOCSTRING = re.compile(r'\A""".*?"""\n', re.DOTALL)
COMPILED = re.compile(r'^@(?:njit|inlined)\ndef [^:]*:\n(?:    """.*?"""\n)?', re.MULTILINE | re.DOTALL)
SHARED = ("algebra", "lanes", "scalar", "tiles", "trajectories")  # what generated modules import


def template(name):
    """Text of a template beside this file, without its docstring and imports."""
    text = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    return IMPORT.sub("", DOCSTRING.sub("", text))


def build(label, lanes, sizes, functions, templates, contract=True):
    """Import the kernel module made of sizes, generated functions and templates, compiling on first call.

    Args:
      label: what is compiled, for the message on first use.
      lanes: how many samples or stages a kernel handles side by side.
      sizes: names and values of the module's constants.
      functions: texts of generated functions.
      templates: names of templates, in order.
      contract: whether multiplication and addition may fuse; without it results are equal on every machine.
    """
    header = HEADER.format(lanes=lanes, fastmath=', fastmath={"contract"}' if contract else "")
    constants = "".join(f"{name} = {value!r}\n" for name, value in sizes.items())
    text = "\n\n".join([header + constants, *functions, *(template(name) for name in templates)])
    if lanes > 1:
        text = COMPILED.sub(lambda found: found[0] + "    use_widest_vectors()\n", text)
    return load_module(label, text)


def join(label, sizes, sources, name):
    """Import the module of a template whose functions come from other kernel modules, compiling on first call.

    Args:
      label, sizes: as for `build`.
      sources: dict from a kernel module to the names of what the template takes from it.
      name: of the template.
    """
    imports = "".join(f"from {module.__name__} import {', '.join(names)}\n" for module, names in sources.items())
    return build(label, 1, sizes, (imports,), (name,))


def load_whole(label, name):
    """Import the file of this name beside this one, whose functions compile at once."""
    module = f"{__name__.rpartition('.')[0]}.{name}"
    labels.setdefault(module, label)
    try:
        return importlib.import_module(module)
    finally:
        labels.pop(module, None)


@functools.cache
def load_module(label, text):
    """The module with this text; its functions compile on their first call, unless they are kept on disk."""
    name = f"ppi_kernel_{fingerprint(text)}"
    labels[name] = label
    module, file = types.ModuleType(name), f"<{name}>"
    linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file  # for messages of errors
    sys.modules[name] = module
    exec(compile(text, file, "exec"), module.__dict__)
    return module


@functools.cache
def surroundings():
    """Hash of what generated modules depend on besides their text."""
    stamps = (stamp_of(f"{__name__.rpartition('.')[0]}.{name}") for name in SHARED)
    return hashlib.sha256("".join([environment(), *stamps]).encode()).hexdigest()


def fingerprint(text):
    """Name of a module: a hash of its text and of its surroundings."""
    return hashlib.sha256((surroundings() + text).encode()).hexdigest()[:24]


def cache_directory():
    """The private folder that kernels are kept in, or None where none can be used."""
    return store().folder
