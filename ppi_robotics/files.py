"""Files: paths are checked in one place, only regular files are read and written, and whole or not at all."""

import os
import secrets
import stat
from contextlib import contextmanager
from pathlib import Path

from ppi_robotics.checks import shown
from ppi_robotics.errors import ProblemError

NOT_REGULAR = "not a regular file"
MOST_TEXT = 10**7  # bytes of a text file
MOST_SHOWN = 160  # characters of a path in a message


def check_path(value, name="path"):
    """The path of a file.

    Raises:
      ProblemError: if it is no text or path object, or no name that a file can have.
    """
    try:
        path = os.fspath(value)
        if not isinstance(path, str) or not path or "\0" in path:
            raise ValueError
        os.fsencode(path)
    except Exception as error:  # noqa: BLE001  (a foreign __fspath__ may raise anything)
        raise ProblemError(f"{name} is {shown(value)}; expected the path of a file") from error
    return Path(path)


def named(path):
    """A path for a message: in quotes, and shortened in the middle."""
    text = repr(os.fspath(path))
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN // 2]}...{text[-MOST_SHOWN // 2 :]}"


def write_whole(path, data):
    """Write bytes to a file, all of them or nothing; a symbolic link stays, and the file that it names is written.

    Raises:
      ProblemError: if the path names no file, something else than a regular file stands there, or writing fails.
    """
    path = check_path(path)
    try:
        target = Path(os.path.realpath(path))
        if os.path.lexists(target) and not stat.S_ISREG(target.stat().st_mode):
            raise OSError(0, NOT_REGULAR)
        partial = target.parent / f"{target.name}.{secrets.token_hex(4)}.part"
        try:
            with open(partial, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())  # the new name must not reach the disk before the content
            os.replace(partial, target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ProblemError(f"cannot write {named(path)}: {error.strerror}; choose a writable place") from error


@contextmanager
def open_regular(path):
    """A regular file, open for reading its bytes; no device, pipe or terminal, which may never end.

    Raises:
      OSError: if it cannot be opened, or is none.
    """

    def opener(name, flags):
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe would wait for somebody to write

    with open(path, "rb", opener=opener) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, NOT_REGULAR)
        yield file


def read_text(path, what):
    """Text of a file that `what` names, for messages.

    Raises:
      ProblemError: if it cannot be read, is no text, or longer than any that is meant.
    """
    path = check_path(path, what)
    try:
        with open_regular(path) as file:
            data = file.read(MOST_TEXT + 1)
        if len(data) > MOST_TEXT:
            raise OSError(0, f"has more than {MOST_TEXT} bytes")
        return data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise ProblemError(f"{what} is {named(path)}, which cannot be read ({reason}); give a text file") from error
