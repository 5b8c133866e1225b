"""Model-predictive control: receding horizons, and how a plan becomes the next one."""
