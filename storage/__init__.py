"""The last room of the walk: tables, named questions, and one module per database."""
