"""Helpers that tests share: servers, databases, browsers, load."""
