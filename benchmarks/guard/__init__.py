"""Instructions per call, counted by valgrind, against a baseline: no clock is read."""
