"""Copying, pruning and purging of a database, and demo data."""
