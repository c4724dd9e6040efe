"""Use cases: registration, location, matching. No gRPC, no SQL."""
