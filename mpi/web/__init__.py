"""The steward's page: a web server that is a client of StewardshipService and nothing more."""
