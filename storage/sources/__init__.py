"""Files that sessions are brought in from: one module for each format, each of which reads its file as it lies."""
