"""What a command has found, gathered as it becomes known, so that Ctrl-C leaves what is finished; and its files."""

import csv
import io
import logging
import os
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from ppi_robotics.cli.output import OUTPUT, CompileNotice, print_rows, progress, remark, show_json
from ppi_robotics.errors import ProblemError


class Interrupted(Exception):
    """Ctrl-C in a command; the message says what is written."""


def stop_if(interrupted: bool) -> None:
    """Go on with Ctrl-C where a function has returned what it had, and that is kept."""
    if interrupted:
        raise KeyboardInterrupt


class Report:
    """Numbers for JSON, a table and lines for people, and a folder of files, made when the first one is written.

    Attributes:
      facts: for JSON.
      title: of the table.
      rows: texts of the table, headings first; or
      columns: texts by row, for each column of the table.
      lines: below the table.
      tables: further ones, pairs of title and rows.
      solved: whether the command has what it was asked for.
      folder: path, or None if nothing is to be written.
      written: paths of the files so far.
      interrupted: whether Ctrl-C ended the work, so that results are those of until then.
    """

    def __init__(self, as_json: bool = False, csv_file: str | None = None, folder: Path | None = None):
        self.as_json, self.csv_file = as_json, csv_file
        self.facts, self.title, self.rows, self.columns, self.lines, self.tables = {}, "", [], {}, [], []
        self.solved, self.interrupted, self.written, self.folder = True, False, [], None
        self.notice = CompileNotice()
        if csv_file is not None:
            check_place(Path(csv_file).absolute().parent, "--csv", csv_file)
            if os.path.isdir(csv_file):
                raise ProblemError(f"--csv is '{csv_file}', a folder; give a file")
        self.write_to(folder)

    # -- what is found -------------------------------------------------------------------------------------------------

    def add(self, facts=(), title="", rows=(), columns=(), lines=()):
        """Add to what is known: facts, a title, rows and lines of the table, or texts by row for columns of it."""
        self.facts |= dict(facts)
        self.title = title or self.title
        self.rows += rows
        for name, column in dict(columns).items():
            self.columns.setdefault(name, {}).update(column)
        self.lines += lines

    @contextmanager
    def until_interrupted(self):
        """Context whose body ends with Ctrl-C, which is noted; what the body has kept by then is shown."""
        try:
            yield
        except KeyboardInterrupt:
            self.interrupted = True

    def run(self, work: Callable) -> int:
        """Do the work of a command and show what it has found.

        Returns:
          The exit code, 0 or 1.

        Raises:
          Interrupted: after Ctrl-C; it says what is written.
        """
        log = logging.getLogger("ppi_robotics")
        log.addHandler(self.notice)
        try:
            with self.until_interrupted():
                work()
            self.show()
        finally:
            log.removeHandler(self.notice)
        if self.interrupted:
            raise Interrupted(f"interrupted; written so far: {', '.join(self.written) or 'nothing'}")
        return 0 if self.solved else 1

    def begin(self, subject: str, folder: Path | None) -> None:
        """Say what compiling is for, and take a folder for the files."""
        self.notice.subject = subject
        self.write_to(folder)

    # -- files ---------------------------------------------------------------------------------------------------------

    def write_to(self, folder: Path | None) -> None:
        """Take a folder for the files, None for none.

        Raises:
          ProblemError: if it cannot be made or written to.
        """
        if folder is not None:
            check_place(folder.absolute(), "--out", folder)
        self.folder = folder

    def write(self, name: str, save: Callable) -> None:
        """Write a file of the folder by a function of its path."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ProblemError(f"cannot make folder '{self.folder}' ({error.strerror}); give another --out") from error
        save(self.folder / name)
        self.written.append(str(self.folder / name))

    def write_figure(self, name: str, figure) -> None:
        """Write a figure into the folder, all of it or nothing."""
        from ppi_robotics.files import write_whole

        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        self.write(name, lambda path: write_whole(path, buffer.getvalue()))

    def draw(self, name: str, figure: Callable) -> None:
        """Write the figure that a function of `plotting` returns, where there is a folder and time."""
        if self.folder is not None and not self.interrupted:
            with progress("drawing the picture"):
                from ppi_robotics import plotting

                self.write_figure(name, figure(plotting))

    # -- showing it ----------------------------------------------------------------------------------------------------

    def show(self) -> None:
        """Print what is known, if anything is, as JSON or as tables."""
        if not (self.rows or self.columns or self.lines or self.tables):
            return
        if self.csv_file is not None:
            write_csv(Path(self.csv_file), [flat(record) for record in records_of(self.facts)])
            self.written.append(str(self.csv_file))
        if self.as_json:
            show_json(self.facts | {"files": self.written, "interrupted": self.interrupted})
        else:
            self._print()

    def _print(self):
        """Print title, tables and lines, and where the files are."""
        if self.title:
            OUTPUT.print(self.title, soft_wrap=True)
        if self.rows or self.columns:
            print_rows([*self.rows, *rows_of(self.columns)])
        for line in self.lines:
            OUTPUT.print(line, soft_wrap=True)
        for title, rows in self.tables:
            OUTPUT.print(title, soft_wrap=True)
            print_rows(rows)
        if self.interrupted:
            OUTPUT.print("interrupted: these are the results until then", soft_wrap=True)
        if self.written:
            inside = f"{self.folder}{os.sep}"
            names = [path.removeprefix(inside) for path in self.written if path.startswith(inside)]
            places = [f"to {self.folder}: {', '.join(names)}"] if names else []
            places += [path for path in self.written if not path.startswith(inside)]
            OUTPUT.print(f"written {', and '.join(places)}", soft_wrap=True)


def write_csv(path: Path, rows: list[dict], names: list[str] | None = None) -> None:
    """Write rows as comma-separated values, of the names that are given or of all."""
    from ppi_robotics.files import write_whole

    text = io.StringIO(newline="")
    names = list(dict.fromkeys(key for row in rows for key in row)) if names is None else names
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode())


def check_place(folder: Path, flag: str, given: object) -> None:
    """Raise `ProblemError` unless a folder exists, or can be made, and can be written to."""
    try:
        nearest = next(p for p in (folder, *folder.parents) if os.path.lexists(p))
        usable = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ProblemError(f"{flag} is '{given}', which fails ({reason}); give a folder") from error
    if not usable:
        reason = "cannot be written to" if nearest.is_dir() else "is no folder"
        raise ProblemError(f"{flag} is '{given}', but '{nearest}' {reason}; give a folder that can be made")


def rows_of(columns: dict[str, dict[str, str]]) -> list[list[str]]:
    """Rows of a table from its columns, headings first; what a column does not hold is empty."""
    if not columns:
        return []
    names = dict.fromkeys(row for column in columns.values() for row in column)
    return [["", *columns], *([name, *(column.get(name, "") for column in columns.values())] for name in names)]


def records_of(facts: dict) -> list[dict]:
    """The rows that facts hold, in a list or by name, each with what is common to all; else the facts themselves."""
    for value in facts.values():
        rows = list(value.values()) if isinstance(value, dict) else value
        if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
            names = [{"name": name} for name in value] if isinstance(value, dict) else [{}] * len(rows)
            common = {key: item for key, item in facts.items() if not isinstance(item, dict | list | tuple)}
            return [common | name | row for name, row in zip(names, rows, strict=True)]
    return [facts]


def flat(record: dict) -> dict:
    """Numbers and texts of a record by name; parts of its pairs and dictionaries get names of their own."""
    found = {}
    for key, value in record.items():
        if isinstance(value, dict):
            found |= {f"{key}_{part}": item for part, item in flat(value).items()}
        elif isinstance(value, tuple) and len(value) == 2:
            found |= {f"{key}_low": value[0], f"{key}_high": value[1]}
        elif not isinstance(value, list | tuple):
            found[key] = value
    return found


__all__ = ["Interrupted", "Report", "remark", "stop_if"]
