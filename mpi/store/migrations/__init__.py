"""Migrations of the system of record, one module a version; a released one is never edited."""
