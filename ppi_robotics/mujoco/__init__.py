"""Plants simulated by MuJoCo: loading, batched steps and rollouts, derivatives, costs on sensors."""
