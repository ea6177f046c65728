"""Validation of input: field types, models, and the parsers of addresses, times and periods."""
