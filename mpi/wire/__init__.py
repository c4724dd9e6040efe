"""The only maps between protos and domain, and between errors and status."""
