"""Helpers without knowledge of games: checks of arguments, files, hashes, progress, devices, statistics, data sets."""
