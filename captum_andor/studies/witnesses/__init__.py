"""Evidence that does not come from interactions: codes inside networks, paths between inputs."""
