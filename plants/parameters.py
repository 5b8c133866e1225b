"""Parameters of plants, checked to be numbers before anything is built of them."""

from ppi_robotics.checks import as_finite, check_number

LARGEST = 1e100


def numbers(**given):
    """The parameters as floats, in their order.

    Raises:
      ProblemError: if one is no number whose square is finite.
    """
    return tuple(check_number(value, name, least=-LARGEST, most=LARGEST) for name, value in given.items())


def weights(**given):
    """Weights of a cost as floats, in their order, 0 or more."""
    return tuple(check_number(value, name, least=0) for name, value in given.items())


def pair(value, name):
    """Two parameters as floats."""
    return tuple(as_finite(value, name, (2,)).tolist())


def interval(limit, name):
    """(-limit, limit), or None where there is none."""
    if limit is None:
        return None
    limit = check_number(limit, name, above=0)
    return -limit, limit
