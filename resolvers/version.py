"""The version of the installed program."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def program_version() -> str:
    """Return the installed version, or a default if the program runs from its sources."""
    try:
        return version("netsessions")
    except PackageNotFoundError:
        return "0.1.0"
