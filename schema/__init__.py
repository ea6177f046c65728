"""The GraphQL API."""

from schema.build import sdl

__all__ = ["sdl"]
