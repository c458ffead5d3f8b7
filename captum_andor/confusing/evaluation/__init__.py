"""Runs models on the masked copies of every sample."""
