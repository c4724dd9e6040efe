"""Generated from protos/mpi/v1 by protos/generate.py; never edited by hand."""
