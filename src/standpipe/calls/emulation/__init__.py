"""What a provider lacks and we do instead; above the dialects, told to the caller."""
