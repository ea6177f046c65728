"""Which release of the program this is."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def release() -> str:
    """The version of the installed program, which is read once."""
    try:
        return version("netsessions")
    except PackageNotFoundError:
        return "0.1.0"
