"""The mpi command. Every command imports what it needs inside itself."""
