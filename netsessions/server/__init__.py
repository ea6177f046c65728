"""Runs the app: the uvicorn configuration and worker processes."""
