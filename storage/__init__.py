"""Storage: tables, named SQL, and one package per database."""
