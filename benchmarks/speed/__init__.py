"""How fast Standpipe is, and how fast others are: one run, one machine, the rounds interleaved."""
