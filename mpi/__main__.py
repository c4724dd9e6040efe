"""`python -m mpi`: the `mpi` command."""

from mpi.cli.main import main

main()
