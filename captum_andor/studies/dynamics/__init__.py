"""Confusing samples and interactions over one training."""
