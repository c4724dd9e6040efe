"""Facility side: the only code that sees plaintext or facility keys."""
