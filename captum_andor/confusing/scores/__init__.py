"""Scores of confusion and their statistics."""
