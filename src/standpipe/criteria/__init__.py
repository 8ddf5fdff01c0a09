"""Criteria: what an answer is judged by, the judges, their verdicts, the order these make."""
