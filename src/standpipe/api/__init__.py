"""The HTTP routes: bytes in, answer out."""
