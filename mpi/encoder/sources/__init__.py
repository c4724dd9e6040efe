"""Readers of the extracts that facilities' systems produce."""
