"""Solutions whose desirabilities add up: compositions of policies, and path integrals that weigh sampled paths."""
