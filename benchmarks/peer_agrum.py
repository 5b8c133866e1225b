"""Exact marginals of a factor graph by pyAgrum's Shafer-Shenoy; prints one line of JSON.

Run as `python -m benchmarks.peer_agrum`, sizes, tables and a number of rounds as JSON on standard input. It
imports nothing of ppi_robotics, as pyAgrum 3.3 crashes in a process that has llvmlite loaded.
"""

import json
import sys
import time

import numpy as np
import pyagrum


def network(sizes, tables):
    """A Markov random field of variables v0, v1, ... and tables over them."""
    field = pyagrum.MarkovRandomField()
    for v, size in enumerate(sizes):
        field.add(pyagrum.RangeVariable(f"v{v}", "", 0, size - 1))
    for scope, table in tables:
        factor = field.addFactor([f"v{v}" for v in scope])
        axes = [scope.index(int(name[1:])) for name in reversed(factor.names)]
        factor[:] = np.ascontiguousarray(np.array(table).transpose(axes))
    return field


def main():
    sizes, tables, rounds = json.load(sys.stdin)
    field, taken = network(sizes, tables), []
    for _ in range(rounds):
        began = time.perf_counter()
        inference = pyagrum.ShaferShenoyMRFInference(field)
        inference.makeInference()
        marginals = [inference.posterior(f"v{v}").tolist() for v in range(len(sizes))]
        taken.append(1e3 * (time.perf_counter() - began))
    answer = {"marginals": marginals, "ms": min(taken), "version": pyagrum.__version__}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
