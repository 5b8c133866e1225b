"""One update of pytorch-mppi on the cart-pole of `plants.CartPole`; prints one line of JSON.

Run as `python -m benchmarks.peer_pytorch_mppi` by an interpreter of an environment that has `pytorch-mppi` (README.md
beside this file); imports nothing of ppi_robotics. Dynamics and cost are written out in torch, in double precision on
the CPU, a batch of states at a time; an update is `MPPI.command`. The running cost is taken of the next state, as
pytorch-mppi passes it, which makes the total that of `CartPole.swing_up_cost` less the stage cost of the first state,
without a terminal cost, and lets the peer take its faster way through the rollouts. `--compile` adds the peer's own
`MPPI.compile`, which calls a C++ compiler.
"""

import argparse
import importlib.metadata
import json
import math
import os
import statistics
import time

os.environ.setdefault(
    "OMP_WAIT_POLICY", "passive"
)  # threads that spin cost it up to 25-fold on a machine that is shared

import torch  # noqa: E402
from pytorch_mppi import MPPI  # noqa: E402

DT, TOTAL, GRAVITY, LENGTH, MOMENT = 0.02, 1.1, 9.8, 0.5, 0.05  # s, kg, m/s^2, m, kg m (pole mass times length)
HANGING = (0.0, math.pi, 0.0, 0.0)


def step(x, u):
    """Semi-implicit Euler step of states (N, 4) under forces (N, 1)."""
    position, angle, velocity, rate = x.unbind(-1)
    sine, cosine = torch.sin(angle), torch.cos(angle)
    push = (u[:, 0] + MOMENT * rate * rate * sine) / TOTAL
    swing = (GRAVITY * sine - cosine * push) / (LENGTH * 4.0 / 3.0 - MOMENT / TOTAL * cosine * cosine)
    velocity = velocity + DT * (push - MOMENT / TOTAL * swing * cosine)
    rate = rate + DT * swing
    return torch.stack((position + DT * velocity, angle + DT * rate, velocity, rate), -1)


def running_cost(x, u):
    """Costs (N,) of next states (N, 4) and of the forces (N, 1) that led there."""
    angle, rate, force = x[:, 1], x[:, 3], u[:, 0]
    return angle * angle + 0.1 * rate * rate + 0.01 * force * force


def fixed_costs(horizon, start):
    """Five control sequences (5, T, 1) and the costs of their rollouts (5,)."""
    number, stage = torch.arange(5.0, dtype=start.dtype)[:, None], torch.arange(horizon, dtype=start.dtype)
    controls = 5.0 * torch.sin(0.1 * (1 + number) * stage + number)[..., None]
    x, costs = start.expand(5, 4), torch.zeros(5, dtype=start.dtype)
    for t in range(horizon):
        x = step(x, controls[:, t])
        costs = costs + running_cost(x, controls[:, t])
    return controls, costs


def milliseconds(planner, start, rounds):
    """Of every update after a warm-up."""
    taken = []
    for _ in range(rounds + 5):
        begin = time.perf_counter()
        planner.command(start)
        taken.append(1e3 * (time.perf_counter() - begin))
    return taken[5:]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--horizon", type=int, default=100)
    parser.add_argument("--sigma", type=float, default=5.0, help="standard deviation of the force [N]")
    parser.add_argument("--temperature", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--compile", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    start = torch.tensor(HANGING, dtype=torch.float64)
    planner = MPPI(
        step,
        running_cost,
        nx=4,
        noise_sigma=torch.tensor([[given.sigma**2]], dtype=start.dtype),
        num_samples=given.samples,
        horizon=given.horizon,
        lambda_=given.temperature,
        U_init=torch.zeros((given.horizon, 1), dtype=start.dtype),
    )
    if given.compile:
        planner.compile()
    controls, costs = fixed_costs(given.horizon, start)
    taken = milliseconds(planner, start, given.rounds)
    result = {
        "peer": "pytorch-mppi",
        "version": importlib.metadata.version("pytorch-mppi"),
        "samples": given.samples,
        "horizon": given.horizon,
        "median_ms": statistics.median(taken),
        "rounds": len(taken),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "compiled": given.compile,
        "dt": DT,
        "sigma": given.sigma,
        "temperature": given.temperature,
        "start": start.tolist(),
        "controls": controls.tolist(),
        "costs": costs.tolist(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
