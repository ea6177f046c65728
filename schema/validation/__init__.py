"""The cache of documents, and the limits of queries."""
