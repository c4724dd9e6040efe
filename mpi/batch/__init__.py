"""Work on whole files: synthetic populations, linkage runs."""
