"""What keys and projects may do: counted by one process a node, or in Redis for several nodes."""
