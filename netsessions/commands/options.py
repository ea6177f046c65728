"""Command-line options: a flag for each setting, and parameter types."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from pydantic import ValidationError

from netsessions.settings import Settings
from resolvers.validation.periods import Period, parse_period


def parse_period_option(text: str) -> Period:
    """Convert the value of an option to a period. Raise BadParameter."""
    try:
        return parse_period(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from None


def settings_options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add a flag for each named setting to a click command, and pass the `settings` read with them to its function."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def with_settings(**arguments: Any) -> Any:
            flags = {name: arguments.pop(name) for name in names}
            overrides = {name: value for name, value in flags.items() if value is not None}
            return command(settings=_read_settings(overrides, names), **arguments)

        decorated: Callable[..., Any] = with_settings
        for name in reversed(names):
            flag = _flag(name)
            if Settings.model_fields[name].annotation is bool:
                flag += f"/--no-{flag.removeprefix('--')}"
            option = click.option(flag, name, default=None, metavar=name.upper(), help=_help(name))
            decorated = option(decorated)
        return decorated

    return decorate


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _help(name: str) -> str:
    field = Settings.model_fields[name]
    default = "" if field.default_factory or field.default is None else f"; default: {field.default}"
    return f"{field.description}  [env: {name.upper()}{default}]"


def _read_settings(overrides: dict[str, Any], flags: tuple[str, ...]) -> Settings:
    try:
        return Settings(**overrides)
    except ValidationError as invalid:
        # Show the reason only: the input may be a token or a password.
        error = invalid.errors(include_input=False, include_url=False)[0]
        name = str(error["loc"][0]) if error["loc"] else "database_read_url"
        flag = f" ({_flag(name)})" if name in flags else ""
        reason = error["msg"].removeprefix("Value error, ")
        raise click.UsageError(f"{name.upper()}{flag}: {reason}.") from None
