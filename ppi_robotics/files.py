"""Files that are written whole or not at all."""

import os
import secrets
from pathlib import Path

from ppi_robotics.errors import ProblemError


def write_whole(path, data):
    """Write bytes to a file, all of them or nothing.

    Raises:
      ProblemError: if the file cannot be written.
    """
    path = Path(path)
    partial = path.parent / f"{path.name}.{secrets.token_hex(4)}.part"
    try:
        try:
            with open(partial, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())  # the new name must not reach the disk before the content
            os.replace(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ProblemError(f"cannot write '{path}': {error.strerror or error}; choose a writable place") from error
