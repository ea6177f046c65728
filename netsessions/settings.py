"""What an operator can set, by flag, environment or .env, and the token that is made where none is set."""

import os
import re
import secrets
from collections.abc import Callable
from functools import wraps
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from platformdirs import user_data_path
from pydantic import Field, HttpUrl, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from resolvers.limits import DEFAULT, Limits
from resolvers.validation.clock import Clock, Period, parse_period
from storage.store import POSTGRESQL, SQLITE, sqlite_path

_TOKEN = re.compile(r"[\x21-\x7e]{8,}", re.ASCII)  # what a header can carry, and not guessed by hand


def _default_url() -> str:
    return f"{SQLITE}{user_data_path('netsessions') / 'netsessions.db'}"


def zone_of(name: str) -> ZoneInfo:
    """The zone of an IANA name. Raises ValueError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of zones is an OSError
        raise ValueError(f"{name[:100]!r} is not an IANA time zone such as Europe/Berlin") from None


class Client(NamedTuple):
    """A network access server, or a network of them, and the secret that it shares with us."""

    network: IPv4Network | IPv6Network
    secret: bytes


def clients_of(text: str) -> list[Client]:
    """ADDRESS[/PREFIX]=SECRET and more of them with blanks between; the narrowest first. Raises ValueError."""
    found = []
    for n, one in enumerate(text.split(), 1):
        address, _, secret = one.partition("=")
        try:
            network = ip_network(address)
        except ValueError:
            network = None
        if network is None or not secret:
            raise ValueError(f"must be ADDRESS[/PREFIX]=SECRET, several with blanks between; number {n} is not")
        found.append(Client(network, secret.encode()))
    return sorted(found, key=lambda client: -client.network.prefixlen)


def origins_of(text: str) -> list[str]:
    """Origins with blanks between, each as browsers write it: lower case, without the usual port. Raises ValueError."""
    found = []
    for n, one in enumerate(text.split(), 1):
        try:
            url = HttpUrl(one)
        except ValidationError:
            url = None
        if url is None or url.path not in (None, "/") or url.query or url.fragment or url.username or url.password:
            raise ValueError(
                f"must be origins such as https://ui.example, several with blanks between, without a path; number {n} is not"
            )
        found.append(str(url).rstrip("/"))
    return found


class Access(NamedTuple):
    """How much one client may have of the server, and which pages may ask it."""

    wrong_tokens: int = 30
    connections: int = 2000
    subscriptions: int = 100
    origins: tuple[str, ...] = ()


ACCESS = Access()


class Settings(BaseSettings):
    """Every setting; its name in capitals is the variable. A flag wins over the environment, that over .env."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore")

    graphql_port: int = Field(20212, ge=1, le=65535, description="TCP port of both doors.")
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 for every IPv4 address.")
    api_token: SecretStr | None = Field(
        None,
        description="Token that clients send, at least 8 characters; made and kept in a file where none is given. "
        "As a flag it is visible to everyone who can list processes.",
    )
    database_url: str = Field(
        default_factory=_default_url,
        description="Database of the sessions: a file, as sqlite:///relative.db or sqlite:////absolute/path.db, or "
        "postgresql://user:password@host:5432/name, also with several hosts; without it a file in the user's data folder.",
    )
    database_read_url: str | None = Field(
        None, description="PostgreSQL replicas of the same database, for reads: postgresql://user@host1,host2/name."
    )
    workers: int = Field(1, ge=1, le=64, description="Processes that answer; on one database and one port.")
    ui: bool = Field(True, description="Whether the pages for people are served, beside the doors.")
    unseen_for: Period | None = Field(
        None,
        description="After how long without a heartbeat the server ends a session at its last one, as in '10 minutes'; "
        "without it never. Sessions that no heartbeat ever told of are left alone.",
    )
    max_body: int = Field(
        DEFAULT.body, ge=1024, le=2**30, description="Bytes of a request's body, at either door; more is answered 413."
    )
    max_page: int = Field(DEFAULT.page, ge=50, le=100_000, description="Rows that a page of a GraphQL list may have.")
    max_tokens: int = Field(
        DEFAULT.tokens,
        ge=500,
        le=1_000_000,
        description="Words and signs of a GraphQL document, of 20 characters each.",
    )
    max_depth: int = Field(DEFAULT.depth, ge=5, le=100, description="Levels of fields in a GraphQL operation.")
    max_aliases: int = Field(DEFAULT.aliases, ge=0, le=10_000, description="Aliases in a GraphQL operation.")
    max_directives: int = Field(DEFAULT.directives, ge=0, le=10_000, description="Directives in a GraphQL operation.")
    max_root_fields: int = Field(
        DEFAULT.root_fields, ge=1, le=10_000, description="Queries, or mutations, in a GraphQL operation."
    )
    max_cost: int = Field(
        DEFAULT.cost,
        ge=20_000,
        le=2**31,
        description="Values that a GraphQL operation may ask for: leaves by page sizes.",
    )
    query_seconds: float = Field(
        DEFAULT.seconds, gt=0, le=3600, description="Seconds for which the database works for what reads; then 408."
    )
    allowed_origins: str | None = Field(
        None,
        description="Origins of pages that may ask this server beside its own, as in https://ui.example, several with "
        "blanks between.",
    )
    wrong_tokens_per_minute: int = Field(
        ACCESS.wrong_tokens,
        ge=1,
        description="Wrong tokens from one address within a minute, after which it is answered 429.",
    )
    connections_per_token: int = Field(
        ACCESS.connections, ge=1, description="WebSockets and event streams that one token may have open at a time."
    )
    subscriptions_per_connection: int = Field(
        ACCESS.subscriptions, ge=1, description="Operations at a time that one WebSocket may ask for."
    )
    radius_clients: SecretStr | None = Field(
        None,
        description="Network access servers and their shared secrets, as ADDRESS[/PREFIX]=SECRET, several with blanks "
        "between; the narrowest that fits counts. As a flag it is visible to everyone who can list processes.",
    )
    radius_host: str = Field("127.0.0.1", min_length=1, description="Address to hear RADIUS Accounting on.")
    radius_port: int = Field(1813, ge=1, le=65535, description="UDP port to hear RADIUS Accounting on.")
    timezone: str = Field("UTC", description="IANA name of the zone of times without an offset, as in Europe/Berlin.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severity that is logged: debug, info, warning or error."
    )

    @field_validator("api_token")
    @classmethod
    def _token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is None or not token.get_secret_value():
            return None
        if not _TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError("must be at least 8 visible ASCII characters without blanks")
        return token

    @field_validator("radius_clients")
    @classmethod
    def _clients(cls, clients: SecretStr | None) -> SecretStr | None:
        if clients is not None:
            clients_of(clients.get_secret_value())
        return clients

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, origins: str | None) -> str | None:
        return " ".join(origins_of(origins or "")) or None

    @field_validator("database_url")
    @classmethod
    def _url(cls, url: str) -> str:
        # The value is not repeated: the URL of a database may hold a password.
        if url.startswith(POSTGRESQL):
            return url
        path = url.removeprefix(SQLITE)
        if path == url:
            raise ValueError(
                "must be sqlite:///netsessions.db, a file, or postgresql://…; other databases are not served"
            )
        if not path or path.endswith("/") or path.startswith(":memory:"):
            raise ValueError("must name a file, as in sqlite:///netsessions.db; a database in memory is not served")
        if re.search(r"[?\x00]", path):
            raise ValueError("must be a plain path after sqlite:///, without parameters")
        return url

    @field_validator("database_read_url")
    @classmethod
    def _read_url(cls, url: str | None) -> str | None:
        if url and not url.startswith(POSTGRESQL):
            raise ValueError("must be postgresql://…; only PostgreSQL has replicas to read from")
        return url or None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.database_read_url and self.database_path:
            raise ValueError("DATABASE_READ_URL needs a DATABASE_URL of PostgreSQL, which its replicas follow")
        return self

    @field_validator("unseen_for", mode="before")
    @classmethod
    def _period(cls, text: object) -> Period | None:
        if not text:
            return None
        period = parse_period(text)
        # Refused here, if it reaches back too far, and not by every sweep.
        Clock(ZoneInfo("UTC")).last(period)
        return period

    @field_validator("timezone")
    @classmethod
    def _zone(cls, name: str) -> str:
        return zone_of(name).key

    @field_validator("log_level", mode="before")
    @classmethod
    def _level(cls, level: object) -> object:
        return level.lower() if isinstance(level, str) else level

    @property
    def database_path(self) -> Path | None:
        """The SQLite file, if the database is one."""
        return sqlite_path(self.database_url)

    @property
    def data_folder(self) -> Path:
        """Where the server keeps files of its own: beside the database, if that is a file."""
        return self.database_path.absolute().parent if self.database_path else user_data_path("netsessions")

    def address(self, host: str) -> str:
        """Where the server is reached under a name or address of its machine."""
        return f"http://{f'[{host}]' if ':' in host else host}:{self.graphql_port}"

    @property
    def limits(self) -> Limits:
        """How much one request may ask for."""
        return Limits(
            body=self.max_body,
            seconds=self.query_seconds,
            page=self.max_page,
            tokens=self.max_tokens,
            depth=self.max_depth,
            aliases=self.max_aliases,
            directives=self.max_directives,
            root_fields=self.max_root_fields,
            cost=self.max_cost,
        )

    @property
    def access(self) -> Access:
        """How much one client may have, and which pages may ask."""
        return Access(
            self.wrong_tokens_per_minute,
            self.connections_per_token,
            self.subscriptions_per_connection,
            tuple((self.allowed_origins or "").split()),
        )

    @property
    def clients(self) -> list[Client]:
        """Who may report by RADIUS, the narrowest network first."""
        return [] if self.radius_clients is None else clients_of(self.radius_clients.get_secret_value())

    @property
    def zone(self) -> ZoneInfo:
        """The zone of times without an offset."""
        return zone_of(self.timezone)


def settings_options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a click command a flag for each named setting, and its function the `settings` made of them."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def with_settings(**arguments: Any) -> Any:
            flags = {name: arguments.pop(name) for name in names}
            given = {name: value for name, value in flags.items() if value is not None}
            return command(settings=_read(given, names), **arguments)

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


def _read(given: dict[str, Any], flags: tuple[str, ...]) -> Settings:
    try:
        return Settings(**given)
    except ValidationError as refused:
        # Only the reason is shown: the input may be the token.
        error = refused.errors(include_input=False, include_url=False)[0]
        name = str(error["loc"][0]) if error["loc"] else "database_read_url"
        flag = f" ({_flag(name)})" if name in flags else ""
        reason = error["msg"].removeprefix("Value error, ")
        raise click.UsageError(f"{name.upper()}{flag}: {reason}.") from None


def token_for(settings: Settings) -> tuple[str, Path | None]:
    """The token that clients must send and, where it was not given, the file that keeps it.

    Makes the data folder and the file where they are missing; raises OSError, or ClickException for a damaged file.
    """
    if settings.api_token is not None:
        return settings.api_token.get_secret_value(), None
    kept = settings.data_folder / "api_token"
    kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        # Exclusive, with its mode from the first moment: nobody reads it in between, and no start replaces it.
        descriptor = os.open(kept, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        token = kept.read_text(encoding="ascii", errors="replace").strip()
        if not _TOKEN.fullmatch(token):
            raise click.ClickException(
                f"{kept} holds no token of at least 8 visible ASCII characters; delete it to have one made, "
                "or set API_TOKEN."
            ) from None
        return token, kept
    token = secrets.token_urlsafe(32)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")
    return token, kept
