"""Plants and costs of plain Python functions of numpy arrays."""
