"""Readers for the files that sessions can be imported from: one module per format."""
