"""Text to imported module: assembling kernel modules and keeping them in a private cache of the user.

The cache holds Python source and what numba compiles from it, so it is a directory that only its owner may enter;
PPI_ROBOTICS_CACHE names another place. A module is named by the hash of everything that its compiled code depends on.
"""

import functools
import hashlib
import importlib.util
import logging
import os
import re
import stat
import sys
from pathlib import Path

import llvmlite
import numba
import numpy as np

from ppi_robotics.errors import PPIError
from ppi_robotics.files import write_whole

OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": {"contract"}, "forceinline": True}
ROLLOUT_LANES = 64  # enough for the compiler to vectorize, few enough to stay in the first-level cache
STAGE_LANES = 32
HEADER = """import math

import numpy as np
from numba import uint64
from numba import njit as numba_njit

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
    return numba_njit(function, cache=True, nogil=True, error_model="numpy"{fastmath})


def inlined(function):
    return numba_njit(function, cache=True, nogil=True, error_model="numpy", forceinline=True{fastmath})


LANES = {lanes}
"""
IMPORT = re.compile(r"^(?:from|import) [^(\n]*(?:\([^)]*\))?\n", re.MULTILINE)
DOCSTRING = re.compile(r'\A""".*?"""\n', re.DOTALL)
COMPILED = re.compile(r'^@(?:njit|inlined)\ndef [^:]*:\n(?:    """.*?"""\n)?', re.MULTILINE | re.DOTALL)
logger = logging.getLogger("ppi_robotics")


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


def build_whole(label, name, *parts):
    """Import the file of this name beside this one as a kernel module, compiling at once.

    It is compiled afresh if it changes, or one of the files `parts` that it imports from.
    """
    texts = [(Path(__file__).parent / f"{file}.py").read_text(encoding="utf-8") for file in (name, *parts)]
    digest = hashlib.sha256("".join(texts).encode()).hexdigest()
    return load_module(label, f"{texts[0]}\n# {digest}\n")


@functools.cache
def load_module(label, text):
    """The module with this text, from the cache if it is there."""
    folder = cache_directory()
    name = f"ppi_kernel_{fingerprint(text)}"
    path = folder / f"{name}.py"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        logger.warning("compiling %s; this happens once on a machine and takes some seconds", label)
        write_whole(path, text.encode())
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@functools.cache
def environment():
    """Hash of what the compiled code depends on besides its text."""
    digest = hashlib.sha256()
    for item in (sys.version, np.__version__, numba.__version__, llvmlite.__version__):
        digest.update(item.encode())
    for name in ("algebra", "lanes", "scalar", "tiles", "trajectories"):
        digest.update((Path(__file__).parent / f"{name}.py").read_bytes())
    return digest.hexdigest()


def fingerprint(text):
    """Name of a module: a hash of its text and of its environment."""
    return hashlib.sha256((environment() + text).encode()).hexdigest()[:24]


@functools.cache
def cache_directory():
    """The private cache directory, created with owner-only permissions.

    Raises:
      PPIError: if it belongs to somebody else or cannot be made.
    """
    base = os.environ.get("PPI_ROBOTICS_CACHE")
    if base is None:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ppi_robotics"
    folder, advice = Path(base), "set PPI_ROBOTICS_CACHE to a folder of your own"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if hasattr(os, "getuid") and status.st_uid != os.getuid():
            raise PPIError(f"the kernel cache '{folder}' belongs to another user; {advice}")
        if stat.S_IMODE(status.st_mode) & 0o077:
            folder.chmod(0o700)
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise PPIError(f"the kernel cache '{folder}' cannot be used ({error.strerror}); {advice}") from error
    return folder
