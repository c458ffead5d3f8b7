"""Keeps what an evaluation found, batch by batch, and collects it."""
