"""The audit journal: who asked and what became of it, in a chain that nobody can shorten or alter unnoticed.

A journal is a folder with one chain for each process that writes at the same time. A chain is a row of segment files
of canonical JSON lines; each line holds the SHA-256 of the one before it. The key, and the signed head of every chain,
lie elsewhere: beside the service's key.
"""
