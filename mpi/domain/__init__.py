"""Words and rules of the index: standard library only, no I/O."""
