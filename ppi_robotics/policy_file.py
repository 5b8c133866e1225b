"""Files of policies: .npz archives whose headers are checked before any of their data are read.

A small archive can unpack to very much, so shapes, types and sizes are compared with each other first; nothing in a
file is executed.
"""

import io
import os
import warnings
import zipfile

import numpy as np

from ppi_robotics.errors import ProblemError
from ppi_robotics.files import named, open_regular, write_whole

FORMAT = "ppi_robotics.LinearGaussianPolicy"
FORMAT_VERSION = 1
NUMBERS, TEXT, WHOLE = "float64", "text", "whole numbers"
FIELDS = {  # type and number of axes
    "x_ref": (NUMBERS, 2),
    "u_ref": (NUMBERS, 2),
    "K": (NUMBERS, 3),
    "cov": (NUMBERS, 3),
    "dt": (NUMBERS, 0),
    "plant": (TEXT, 0),
    "state_names": (TEXT, 1),
    "control_names": (TEXT, 1),
    "quaternions": (WHOLE, 1),
}
MOST_UNPACKED = 2**26  # bytes of a file that is shorter than what it holds; `write` does not compress
ADVICE = "expected a .npz written by policy.save"


def arrays(fields):
    """The arrays of a file by name, from the fields of a policy."""
    kinds = {NUMBERS: np.float64, TEXT: np.str_, WHOLE: np.int64}
    made = {name: np.array(fields[name], dtype=kinds[kind]) for name, (kind, _) in FIELDS.items()}
    return {"format": np.array(FORMAT), "version": np.array(FORMAT_VERSION)} | made


def write(path, entries):
    """Write the arrays of a file, all of them or nothing.

    Raises:
      ProblemError: if the file cannot be written.
    """
    buffer = io.BytesIO()
    np.savez(buffer, **entries)
    write_whole(path, buffer.getvalue())


def read(path):
    """Fields of a policy file by name, of the types and shapes that a policy has.

    Raises:
      ProblemError: if the file is missing, damaged, of another kind or of another format version.
    """
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            entries = Entries(archive, os.fstat(file.fileno()).st_size)
            if entries.single("format") != FORMAT:
                raise ProblemError(f"{named(path)} holds no policy of this package; {ADVICE}")
            version = entries.single("version")
            if version != str(FORMAT_VERSION):
                raise ProblemError(
                    f"{named(path)} has format version {version or 'none'}; "
                    f"this release reads {FORMAT_VERSION}: solve again, or upgrade"
                )
            missing = [name for name in FIELDS if name not in entries.members]
            if missing:
                raise ProblemError(f"{named(path)} lacks {', '.join(missing)}; {ADVICE}")
            entries.check()
            return {name: entries.array(name) for name in FIELDS}
    except FileNotFoundError as error:
        raise ProblemError(f"no policy file {named(path)}; give the path of a file written by policy.save") from error
    except Damaged as error:
        raise ProblemError(f"{named(path)} is damaged ({error}); save the policy again") from error
    except ProblemError:
        raise
    except Exception as error:  # noqa: BLE001  (damaged archives raise anything; some texts advise to run their code)
        reason = getattr(error, "strerror", None) or "it is damaged or of another kind"
        raise ProblemError(f"cannot read {named(path)} ({reason}); {ADVICE}") from error


class Damaged(Exception):
    """A file of a policy that no policy was written to; the message says what is wrong."""


class Entries:
    """The arrays of an archive; headers are read at once, data on demand.

    Args:
      archive: `ZipFile`.
      size: of the file, in bytes.
    """

    def __init__(self, archive, size):
        self.archive = archive
        members = archive.infolist()
        if sum(member.file_size for member in members) > max(size, MOST_UNPACKED):
            raise Damaged("it unpacks to far more than it holds")
        self.members = {member.filename.removesuffix(".npy"): member for member in members}
        if len(self.members) < len(members):
            raise Damaged("two entries have one name")

    def header(self, name):
        """Shape and dtype of an entry."""
        with self.archive.open(self.members[name]) as file, warnings.catch_warnings():
            warnings.simplefilter("error")  # of headers that numpy would repair
            if np.lib.format.read_magic(file) != (1, 0):
                raise Damaged(f"{name} has a header of another kind")
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            size = file.tell() + dtype.itemsize * int(np.prod(shape, dtype=object))
        if size != self.members[name].file_size or min(shape, default=0) < 0:
            raise Damaged(f"{name} is not as long as its header says")
        return shape, dtype

    def single(self, name):
        """Text of a single item; empty where there is none."""
        if name not in self.members:
            return ""
        shape, dtype = self.header(name)
        if shape or dtype.hasobject:
            return "of another kind"
        return " ".join(str(self.array(name))[:60].split())

    def array(self, name):
        """The data of an entry."""
        with self.archive.open(self.members[name]) as file:
            return np.lib.format.read_array(file, allow_pickle=False)

    def check(self):
        """Raise `Damaged` unless types and shapes are those of a policy."""
        shapes = {}
        for name, (kind, axes) in FIELDS.items():
            shape, dtype = self.header(name)
            if _kind(dtype) != kind or len(shape) != axes:
                raise Damaged(f"{name} has type {str(dtype)[:40]} and {len(shape)} axes; expected {kind} and {axes}")
            shapes[name] = shape
        (T, nx), nu = shapes["x_ref"], shapes["u_ref"][1]
        expected = {"u_ref": (T, nu), "K": (T, nu, nx - shapes["quaternions"][0]), "cov": (T, nu, nu)}
        for name, shape in expected.items():
            if shapes[name] != shape:
                raise Damaged(f"{name} has shape {shapes[name]}; expected {shape}")


def _kind(dtype):
    """What a dtype holds, in the words of FIELDS; its own name otherwise."""
    if dtype.kind == "f" and dtype.itemsize == 8:
        return NUMBERS
    return {"U": TEXT, "i": WHOLE}.get(dtype.kind, dtype.name)
