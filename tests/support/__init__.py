"""Helpers that tests share: servers, databases, browsers and load."""
