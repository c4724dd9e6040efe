"""What must be fast: memory-mapped look-up keys and candidates, rebuilt from the store at any time."""
