"""Numbers with their errors or intervals, and tables, as texts."""

import math


def with_error(value, error):
    """Value and standard error, both to the second digit of the error."""
    if not math.isfinite(value) or not math.isfinite(error) or error == 0.0 or abs(value) >= 1e9:
        return f"{value:.6g} ± {error:.2g}"
    decimals = max(1 - math.floor(math.log10(error)), 0)
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def with_interval(value, interval):
    """Value and [low, high], to the second digit of half the width; [-] in place of an interval that is None."""
    if interval is None:
        return f"{value:.6g} [-]"
    low, high = interval
    half = (high - low) / 2
    if not math.isfinite(value) or not math.isfinite(half) or half <= 0.0 or abs(value) >= 1e9:
        return f"{value:.6g} [{low:.6g}, {high:.6g}]"
    decimals = max(1 - math.floor(math.log10(half)), 0)
    return f"{value:z.{decimals}f} [{low:z.{decimals}f}, {high:z.{decimals}f}]"


def share(rate, interval=None):
    """A share in percent and, where it is given, its interval."""
    ends = "" if interval is None else " [{:.4g}, {:.4g}]".format(*(100 * end for end in interval))
    return f"{100 * rate:.5g} %{ends}"


def as_table(rows):
    """Lines of a table from rows of texts, headings first; the first column is flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ruled = [rows[0], ["-" * width for width in widths], *rows[1:]]
    return ["  ".join((row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:]))) for row in ruled]
