"""The GraphQL door."""

from schema.build import sdl

__all__ = ["sdl"]
