"""Closed-loop noisy rollouts on the cart-pole, noise drawn inside, against JAX; and their memory.

JAX runs the same policy, dynamics and cost in double precision, jitted, with its own counter-based generator, in the
faster of two shapes (vmap of scan, scan of batches) and the best of several batch sizes.
"""

import resource
import subprocess
import sys

import numpy as np

from benchmarks.report import check, missing, report
from benchmarks.timing import side_by_side

SAMPLES, SIZES = 65536, (1024, 8192, 65536)


def solved():
    import ppi_robotics as ppi
    from benchmarks.swing_up import problem

    swing = problem()
    return swing, ppi.solve(swing, ppi.PPI(eta=0.1), starts=1).policy


def jax_rollouts(policy):
    """Two functions (key, sigma, size) -> costs, and JAX."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    x_ref, u_ref, K = (jnp.asarray(a) for a in (policy.x_ref, policy.u_ref, policy.K))
    spread = jnp.sqrt(0.02) * jnp.array([0.1, 0.5])
    start = jnp.array([0.0, jnp.pi, 0.0, 0.0])

    def step(x, u):
        p, a, v, w = x[..., 0], x[..., 1], x[..., 2], x[..., 3]
        push = (u + 0.05 * w**2 * jnp.sin(a)) / 1.1
        swing = (9.8 * jnp.sin(a) - jnp.cos(a) * push) / (0.5 * (4 / 3 - 0.1 * jnp.cos(a) ** 2 / 1.1))
        v, w = v + 0.02 * (push - 0.05 * swing * jnp.cos(a) / 1.1), w + 0.02 * swing
        return jnp.stack([p + 0.02 * v, a + 0.02 * w, v, w], axis=-1)

    def advance(carry, stage, key, noise):
        x, total = carry
        xr, ur, Kt, t = stage
        u = ur[0] + (x - xr) @ Kt[0]
        total = total + x[..., 1] ** 2 + 0.1 * x[..., 3] ** 2 + 0.01 * u**2
        x = step(x, u)
        draws = jax.random.normal(jax.random.fold_in(key, t), (*x.shape[:-1], 2))
        return (x.at[..., 2:].add(noise * spread * draws), total), None

    stages = x_ref, u_ref, K, jnp.arange(len(u_ref))

    def run(x, key, noise):
        body = lambda carry, stage: advance(carry, stage, key, noise)  # noqa: E731
        (x, total), _ = jax.lax.scan(body, (x, jnp.zeros(x.shape[:-1])), stages)
        return total + x[..., 1] ** 2 + 0.1 * x[..., 3] ** 2

    def batched(key, noise, size):
        return run(jnp.tile(start, (size, 1)), key, noise)

    def mapped(key, noise, size):
        return jax.vmap(lambda k: run(start, k, noise))(jax.random.split(key, size))

    return {
        name: jax.jit(f, static_argnums=2) for name, f in (("scan of batches", batched), ("vmap of scan", mapped))
    }, jax


def memory():
    """Peak memory of a process that evaluates a million rollouts, in MB; run in a process of its own."""
    import ppi_robotics as ppi

    swing, policy = solved()
    ppi.evaluate(swing, policy, samples=1_000_000)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main():
    import ppi_robotics as ppi

    swing, policy = solved()

    def ours():
        return ppi.evaluate(swing, policy, samples=SAMPLES)

    peak = float(
        subprocess.run(
            [sys.executable, "-m", __spec__.name, "memory"], capture_output=True, check=True, text=True
        ).stdout
    )
    report("memory of 1,000,000 x 150", "MB", peak, None, None, None, 500.0)
    try:
        functions, jax = jax_rollouts(policy)
    except ImportError as error:
        missing("noisy rollouts", error)
        functions = {}
    contenders = {}
    for name, function in functions.items():
        check("noise-free cost", ppi.rollout(quiet(swing), policy).cost, np.array(function(jax.random.key(0), 0.0, 1)))
        noisy = np.array(function(jax.random.key(0), 1.0, SAMPLES))
        result = ours()
        if abs(noisy.mean() - result.mean) > 5 * np.hypot(result.standard_error, noisy.std() / np.sqrt(SAMPLES)):
            raise SystemExit("the mean costs differ by more than 5 standard errors")
        for size in SIZES:
            keys = jax.random.split(jax.random.key(1), SAMPLES // size)
            contenders[f"{name}, {size}"] = lambda f=function, keys=keys, n=size: [
                f(k, 1.0, n).block_until_ready() for k in keys
            ]
    timing = side_by_side({"ours": ours} | contenders, 20.0, rounds=7)
    steps = SAMPLES * swing.horizon
    nanoseconds = {name: timing.median(name) / steps * 1e9 for name in timing.seconds}
    report("noisy rollouts, per step", "ns", nanoseconds["ours"], None, None, None, 35.0)
    if contenders:
        best = min(contenders, key=nanoseconds.get)
        ratio = timing.ratio(best, "ours")
        report(
            "noisy rollouts, per step",
            "ns",
            nanoseconds["ours"],
            f"JAX ({best})",
            nanoseconds[best],
            ratio,
            6.0,
            all=nanoseconds,
        )


def quiet(swing):
    """The same problem without noise."""
    import ppi_robotics as ppi
    from plants import CartPole

    plant = CartPole(sigma=0.0, cart_sigma=0.0)
    return ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, swing.horizon)


if __name__ == "__main__":
    memory() if sys.argv[1:] == ["memory"] else main()
