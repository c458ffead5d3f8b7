"""What every room may use and none explains: checks, files, hashes, progress, devices, statistics, data sets."""
