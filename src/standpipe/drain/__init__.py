"""From the spool to the store: one process that reads every worker's segments.

Nothing is imported here: workers and the limiter know prices and metrics, and no drain.
"""
