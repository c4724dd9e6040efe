"""Privacy-preserving master patient index for Thailand."""
