"""Plants simulated by MuJoCo: loading, batched steps and rollouts, derivatives, costs on sensors, tasks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, ["tasks"])
