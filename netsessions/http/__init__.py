"""The HTTP layer: middleware around both APIs, metrics, and the files of the web pages."""
