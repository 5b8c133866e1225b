"""Factor graphs in files of other programs: the UAI competitions' networks, and libDAI's factor graphs.

UAI: MARKOV or BAYES, the number of variables, their sizes, the number of factors, the scope of each (how many, which),
then the table of each (how many, the weights, the last variable running fastest). A BAYES network's tables are
conditional probabilities of the last variable of their scope, which makes no difference to a factor graph.

.fg: the number of factors; for each the number of variables, their labels and sizes, and how many weights are not 0,
each with its index, the first variable running fastest. Lines that begin with # are comments.

Both hold weights as decimal numbers. Here they are logarithms, so those beyond a float's range are written and read all
the same; other programs take them for 0 or inf.
"""

import decimal
import math
import os

import numpy as np

from ppi_robotics.checks import check_instance
from ppi_robotics.discrete.factor_graph import FactorGraph, Table, mixed_radix
from ppi_robotics.errors import ProblemError
from ppi_robotics.files import MOST_TEXT, check_path, named, read_text, write_whole

KINDS = ("MARKOV", "BAYES")
MOST_AXES = 64  # of a numpy array
DENSE = 1_000_000  # weights of a map that a UAI file would have to list
LN10 = math.log(10.0)


def read_uai(path: str | os.PathLike) -> FactorGraph:
    """The `FactorGraph` of a UAI network, MARKOV or BAYES.

    Raises:
      ProblemError: with the line, if the file is no such network, has other counts than it says, or weights that are
        no numbers from 0.
    """
    words = _Tokens(path, "a UAI network")
    kind = words.several(1, "MARKOV or BAYES")[0]
    if kind.upper() not in KINDS:
        words.refuse(f"'{kind[:20]}'; expected MARKOV or BAYES")
    sizes = words.counts(words.count("the number of variables", 1), "the size of a variable", 1)
    scopes = []
    for _ in range(words.count("the number of factors", 0, words.left())):
        scope = words.counts(words.count("the number of variables of a factor", 0, MOST_AXES), "a variable", 0)
        if len(set(scope)) < len(scope) or max(scope, default=0) >= len(sizes):
            words.refuse(f"the scope {scope[:6]}; expected different variables from 0 to {len(sizes) - 1}")
        scopes.append(scope)
    factors = []
    for scope in scopes:
        shape = [sizes[v] for v in scope]
        expected, line = math.prod(shape), words.line()
        if words.count("the number of weights", 0) != expected:
            words.refuse(f"another number of weights than variables of sizes {shape[:6]} have; expected {expected}")
        weights = words.logs(words.several(expected, "a weight"))
        factors.append(_table(words, line, scope, weights.reshape(shape)))
    words.end()
    return FactorGraph(sizes, factors)


def write_uai(graph: FactorGraph, path: str | os.PathLike) -> None:
    """Write a `FactorGraph` as a UAI network, MARKOV; names of variables are lost.

    Raises:
      ProblemError: if a factor is a map of more configurations than can be listed, or the file cannot be written.
    """
    check_instance(graph, "graph", FactorGraph)
    lines = ["MARKOV", str(len(graph.sizes)), " ".join(map(str, graph.sizes)), str(len(graph.factors))]
    lines += [" ".join(map(str, (len(factor.variables), *factor.variables))) for factor in graph.factors]
    for number, (factor, entries) in enumerate(zip(graph.factors, graph.entries, strict=True)):
        shape = [graph.sizes[v] for v in factor.variables]
        if math.prod(shape) > DENSE:
            raise ProblemError(
                f"factor {number} has {math.prod(shape):.3g} configurations, all of which UAI files list, at most "
                f"{DENSE:.3g}; use write_fg, which lists those that have weight"
            )
        weights = ["0"] * math.prod(shape)
        for place, log in zip(mixed_radix(entries[0], shape).tolist(), entries[1].tolist(), strict=True):
            weights[place] = _decimal(log)
        lines += ["", str(len(weights)), " ".join(weights)]
    _write(path, lines)


def read_fg(path: str | os.PathLike) -> FactorGraph:
    """The `FactorGraph` of a .fg file of libDAI.

    Variables are those that factors have, in the order of their labels, which are the names unless they are 0, 1, ...

    Raises:
      ProblemError: with the line, as `read_uai`, or if a variable has two sizes.
    """
    words, sizes, read = _Tokens(path, "a .fg file", comment="#"), {}, []
    for _ in range(words.count("the number of factors", 0, words.left())):
        number = words.count("the number of variables of a factor", 0, MOST_AXES)
        labels = words.counts(number, "the label of a variable", 0)
        shape = words.counts(number, "the size of a variable", 1)
        if len(set(labels)) < number or any(sizes.setdefault(v, n) != n for v, n in zip(labels, shape, strict=True)):
            words.refuse(f"labels {labels[:6]} of sizes {shape[:6]}; expected different labels, each of one size")
        line = words.line()
        size = math.prod(shape)
        given = words.count("the number of weights", 0, min(size, words.left()))
        if size > max(DENSE, 64 * given):
            words.refuse(f"a factor of {size:.3g} configurations and {given} weights, too many for a table")
        listed = words.several(2 * given, "an index or a weight")
        index = words.wholes(listed[::2], size)
        read.append((labels, shape, index, words.logs(listed[1::2]), line))
    words.end()
    if not sizes:
        words.refuse("no variable; expected a factor of one or more")
    order = sorted(sizes)
    where = {label: v for v, label in enumerate(order)}
    factors = []
    for labels, shape, index, weights, line in read:
        table = np.full(math.prod(shape), -np.inf)
        table[index] = weights
        scope = [where[label] for label in labels]
        factors.append(_table(words, line, scope, table.reshape(shape, order="F")))
    names = () if order == list(range(len(order))) else tuple(map(str, order))
    return FactorGraph([sizes[label] for label in order], factors, names)


def write_fg(graph: FactorGraph, path: str | os.PathLike) -> None:
    """Write a `FactorGraph` as a .fg file of libDAI; labels are the numbers of variables, names are lost.

    A variable without factors is given one of weights 1.

    Raises:
      ProblemError: if the file cannot be written.
    """
    check_instance(graph, "graph", FactorGraph)
    _check_length(6 * sum(factor.count for factor in graph.factors))  # a line has six characters or more
    alone = sorted(set(range(len(graph.sizes))).difference(*(factor.variables for factor in graph.factors)))
    even = [Table((v,), np.zeros(graph.sizes[v])) for v in alone]
    lines = [str(len(graph.factors) + len(even))]
    for factor, (states, weights) in [
        *zip(graph.factors, graph.entries, strict=True),
        *((f, f.entries()) for f in even),
    ]:
        shape = [graph.sizes[v] for v in factor.variables]
        if math.prod(shape) >= 2**63:
            raise ProblemError(
                f"a factor of sizes {shape[:6]} has more configurations than there are numbers; split it"
            )
        index = mixed_radix(states, shape, "F")
        lines += ["", str(len(shape)), " ".join(map(str, factor.variables)), " ".join(map(str, shape)), str(len(index))]
        order = np.argsort(index)
        logs = weights[order].tolist()
        lines += [f"{i} {_decimal(log)}" for i, log in zip(index[order].tolist(), logs, strict=True)]
    _write(path, lines)


def _write(path, lines):
    data = "\n".join([*lines, ""]).encode()
    _check_length(len(data))
    write_whole(path, data)


def _check_length(size):
    """Refuse a text that would be too long to be read."""
    if size > MOST_TEXT:
        raise ProblemError(f"the graph takes {size:.3g} bytes or more as text; at most {MOST_TEXT:.3g} are read again")


def _decimal(log):
    """exp(log) as text that reads back exactly, or, beyond the range of floats, to the digits of the logarithm."""
    if abs(log) < 700.0:
        return repr(math.exp(log))
    power = math.floor(log / LN10)
    return f"{math.exp(log - power * LN10)!r}e{power}"


def _table(words, line, scope, log_values):
    """A `Table`, or `ProblemError` with the line where it stands."""
    try:
        return Table(tuple(scope), log_values)
    except ProblemError as error:
        words.refuse(f"a table that cannot be: {error}", line)


class _Tokens:
    """Tokens of a text file in their order, with their line numbers."""

    def __init__(self, path, what, comment=None):
        self.name, self.what = named(check_path(path)), what
        self.words, self.lines, self.next = [], [], 0
        for number, line in enumerate(read_text(path, what).splitlines(), 1):
            if comment is None or not line.lstrip().startswith(comment):
                found = line.split()
                self.words += found
                self.lines += [number] * len(found)

    def left(self):
        """Number of tokens that are left."""
        return len(self.words) - self.next

    def line(self):
        """Line of the next token."""
        return self.lines[min(self.next, len(self.lines) - 1)] if self.lines else 1

    def refuse(self, found, line=None):
        """Raise `ProblemError`."""
        line = self.lines[self.next - 1] if line is None and self.next else line or 1
        raise ProblemError(f"{self.name} is no {self.what.split(' ', 1)[1]}: line {line} has {found}"[:300])

    def several(self, number, what):
        """The next tokens."""
        if number > self.left():
            last = self.lines[-1] if self.lines else 1
            self.refuse(f"the end of the file; expected {what}", last)
        self.next += number
        return self.words[self.next - number : self.next]

    def end(self):
        """Refuse tokens that are left."""
        if self.left():
            self.refuse(f"'{self.words[self.next][:20]}'; expected the end of the file", self.line())

    def count(self, what, least, most=2**31 - 1):
        """The next token as a whole number in range."""
        word = self.several(1, what)[0]
        value = int(word) if word.isascii() and word.isdigit() and len(word) < 20 else -1
        if not least <= value <= most:
            self.refuse(f"'{word[:20]}' for {what}; expected a whole number, at least {least} and at most {most}")
        return value

    def counts(self, number, what, least):
        """The next tokens as whole numbers."""
        return [self.count(what, least) for _ in range(number)]

    def wholes(self, words, below):
        """Tokens as different whole numbers below a bound."""
        if not all(word.isascii() and word.isdigit() and len(word) < 19 for word in words):
            self.refuse("an index that is no whole number")
        found = np.array(list(map(int, words)), dtype=np.int64)
        if found.size and (found.max() >= below or len(set(found.tolist())) < found.size):
            self.refuse(f"an index twice, or one above {below - 1}, somewhere before")
        return found

    def logs(self, words):
        """Logarithms of tokens that are numbers from 0."""
        try:
            weights = np.array(list(map(float, words)))
        except ValueError:
            weights = np.array([np.nan])
        if np.isnan(weights).any() or (weights < 0.0).any():
            self.refuse("weights of which one is no number from 0, somewhere before")
        with np.errstate(divide="ignore"):
            logs = np.log(weights)
        for place in np.flatnonzero((weights < np.finfo(float).tiny) | (weights == np.inf)):
            logs[place] = self.far(words[place])
        return logs

    def far(self, word):
        """Logarithm of a number that a float cannot hold, or of 0."""
        try:
            number = decimal.Decimal(word)
        except decimal.InvalidOperation:
            number = decimal.Decimal("inf")
        if not number.is_finite() or abs(number.adjusted()) > 10**6:
            self.refuse(f"the weight '{word[:20]}', somewhere before; expected a finite number")
        return float(number.ln()) if number else -np.inf
