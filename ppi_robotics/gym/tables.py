"""Finite decision processes of gymnasium's toy texts: FrozenLake, Taxi, CliffWalking."""

import gymnasium
import numpy as np
from scipy import sparse

from ppi_robotics.checks import shown
from ppi_robotics.discrete import FiniteMDP
from ppi_robotics.errors import ProblemError


def mdp_of(env, discount=1.0):
    """The decision process of an environment that tells its table of transitions, as gymnasium's toy texts do.

    Costs are expected rewards with the sign turned. States are those of the environment and one more, the last, in
    which all that terminates ends for good; time limits of wrappers are of no account.

    Args:
      env: gymnasium environment whose unwrapped form has `P[state][action]`, a list of (probability, next state,
        reward, terminated).
      discount: of the future, above 0 and at most 1.

    Returns:
      `FiniteMDP` of states (S + 1,); state S is the end.

    Raises:
      ProblemError: if the environment has no such table, or its states or actions differ in number.
    """
    inner = env.unwrapped if isinstance(env, gymnasium.Env) else None
    table = getattr(inner, "P", None)
    if table is None:
        raise ProblemError(
            f"env is {shown(env)}; expected a gymnasium environment with a table P of transitions, such as "
            "gymnasium.make('FrozenLake-v1')"
        )
    S, A = len(table), len(table[0])
    if sorted(table) != list(range(S)) or any(sorted(table[x]) != list(range(A)) for x in range(S)):
        raise ProblemError(f"states or actions of P are not numbered alike; expected 0 to {S - 1} and 0 to {A - 1}")
    flat = [(x * A + u, *outcome) for x in range(S) for u in range(A) for outcome in table[x][u]]
    row, chance, after, reward, ended = (np.array(column) for column in zip(*flat, strict=True))
    after = np.where(ended.astype(bool), S, after)
    cost = np.bincount(row, -chance * reward, minlength=(S + 1) * A).reshape(S + 1, A)
    matrix = sparse.coo_matrix((chance, (row, after)), ((S + 1) * A, S + 1))
    names = (*map(str, range(S)), "end")
    return FiniteMDP(matrix.tocsr(), cost, discount=discount, absorbing=np.arange(S + 1) == S, names=names)
