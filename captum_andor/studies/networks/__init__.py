"""Surgery on networks, and losses under networks that have not seen a sample."""
