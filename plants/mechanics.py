"""Equations of motion M(q) a = b for plants whose mass matrix is small."""


def accelerations(mass, force):
    """Solve a symmetric positive definite system symbolically by elimination.

    Args:
      mass: rows of the mass matrix (n, n), only the lower triangle is read; CasADi scalars or numbers.
      force: right-hand side (n,).

    Returns:
      list of n expressions.
    """
    n = len(force)
    lower, pivots = [[0.0] * n for _ in range(n)], []
    for j in range(n):
        pivots.append(mass[j][j] - sum(lower[j][k] ** 2 * pivots[k] for k in range(j)))
        for i in range(j + 1, n):
            lower[i][j] = (mass[i][j] - sum(lower[i][k] * lower[j][k] * pivots[k] for k in range(j))) / pivots[j]
    forward = []
    for i in range(n):
        forward.append(force[i] - sum(lower[i][k] * forward[k] for k in range(i)))
    solution = [None] * n
    for i in reversed(range(n)):
        solution[i] = forward[i] / pivots[i] - sum(lower[k][i] * solution[k] for k in range(i + 1, n))
    return solution
