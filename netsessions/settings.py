"""The settings, read from command-line flags, the environment and .env, in this order of precedence."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Literal, NamedTuple, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from platformdirs import user_data_path
from pydantic import Field, HttpUrl, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from resolvers.limits import DEFAULT_LIMITS, Limits
from resolvers.validation.clock import Clock
from resolvers.validation.periods import Period, parse_period
from storage.store import POSTGRESQL_SCHEMES, SQLITE_SCHEME, sqlite_path

VALID_TOKEN = re.compile(r"[\x21-\x7e]{8,}", re.ASCII)  # fits in an HTTP header, too long to guess by hand


def _default_database_url() -> str:
    return f"{SQLITE_SCHEME}{user_data_path('netsessions') / 'netsessions.db'}"


def parse_time_zone(name: str) -> ZoneInfo:
    """Return the time zone with an IANA name. Raise ValueError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder, such as Europe
        raise ValueError(f"{name[:100]!r} is not an IANA time zone such as Europe/Berlin") from None


class RadiusClient(NamedTuple):
    """A network access server, or a network of them, and the secret it shares with the listener."""

    network: IPv4Network | IPv6Network
    secret: bytes


def parse_radius_clients(text: str) -> list[RadiusClient]:
    """Parse `ADDRESS[/PREFIX]=SECRET` entries separated by spaces. Return the narrowest network first.

    Raise ValueError. Its message has the number of the invalid entry and not its text, which may contain a secret.
    """
    clients = []
    for number, entry in enumerate(text.split(), 1):
        address, _, secret = entry.partition("=")
        try:
            network = ip_network(address)
        except ValueError:
            network = None
        if network is None or not secret:
            raise ValueError(f"must be ADDRESS[/PREFIX]=SECRET entries separated by spaces; entry {number} is not")
        clients.append(RadiusClient(network, secret.encode()))
    return sorted(clients, key=lambda client: -client.network.prefixlen)


def parse_origins(text: str) -> list[str]:
    """Parse origins separated by spaces. Return them as browsers send them: lower case, without the default port.

    Raise ValueError.
    """
    origins = []
    for number, entry in enumerate(text.split(), 1):
        try:
            url = HttpUrl(entry)
        except ValidationError:
            url = None
        if url is None or url.path not in (None, "/") or url.query or url.fragment or url.username or url.password:
            raise ValueError(
                "must be origins such as https://ui.example, without a path, separated by spaces; "
                f"entry {number} is not"
            )
        origins.append(str(url).rstrip("/"))
    return origins


class AccessPolicy(NamedTuple):
    """Limits for each client, and the other origins whose pages may call the server."""

    wrong_tokens_per_minute: int = 30
    connections_per_token: int = 2000
    subscriptions_per_connection: int = 100
    allowed_origins: tuple[str, ...] = ()


DEFAULT_ACCESS = AccessPolicy()


class Settings(BaseSettings):
    """All settings. The environment variable of a setting is its name in capitals."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore")

    graphql_port: int = Field(20212, ge=1, le=65535, description="TCP port to listen on, for both APIs.")
    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 for all IPv4 addresses.")
    api_token: SecretStr | None = Field(
        None,
        description="Token that clients send, at least 8 characters. If not set, one is generated and stored in a file. "
        "A flag is visible to everyone who can list processes.",
    )
    database_url: str = Field(
        default_factory=_default_database_url,
        description="URL of the database: sqlite:///relative.db, sqlite:////absolute/path.db, or "
        "postgresql://user:password@host:5432/name, also with several hosts. Default: a SQLite file in the user's data "
        "folder.",
    )
    database_read_url: str | None = Field(
        None, description="PostgreSQL replicas of the same database, for reads: postgresql://user@host1,host2/name."
    )
    workers: int = Field(1, ge=1, le=64, description="Number of server processes, on one database and one port.")
    ui: bool = Field(True, description="Whether to serve the web pages.")
    unseen_for: Period | None = Field(
        None,
        description="How long after its last heartbeat the server ends a session, such as '10 minutes'; if not set, "
        "never. Sessions without any heartbeat are never ended.",
    )
    max_body: int = Field(
        DEFAULT_LIMITS.body,
        ge=1024,
        le=2**30,
        description="Bytes of a request body, in both APIs; larger ones get 413.",
    )
    max_page: int = Field(DEFAULT_LIMITS.page, ge=50, le=100_000, description="Items of a page of a GraphQL list.")
    max_tokens: int = Field(
        DEFAULT_LIMITS.tokens,
        ge=500,
        le=1_000_000,
        description="Lexical tokens of a GraphQL document, and 20 characters for each.",
    )
    max_depth: int = Field(DEFAULT_LIMITS.depth, ge=5, le=100, description="Nesting depth of a GraphQL operation.")
    max_aliases: int = Field(DEFAULT_LIMITS.aliases, ge=0, le=10_000, description="Aliases in a GraphQL operation.")
    max_directives: int = Field(
        DEFAULT_LIMITS.directives, ge=0, le=10_000, description="Directives in a GraphQL operation."
    )
    max_root_fields: int = Field(
        DEFAULT_LIMITS.root_fields, ge=1, le=10_000, description="Root fields in a GraphQL operation."
    )
    max_cost: int = Field(
        DEFAULT_LIMITS.cost,
        ge=20_000,
        le=2**31,
        description="Values that a GraphQL operation may request: the fields of each item times the page size.",
    )
    query_seconds: float = Field(
        DEFAULT_LIMITS.seconds, gt=0, le=3600, description="Seconds that the database may work on a read; then 408."
    )
    allowed_origins: str | None = Field(
        None,
        description="Origins of other pages that may call the server, such as https://ui.example, separated by spaces.",
    )
    wrong_tokens_per_minute: int = Field(
        DEFAULT_ACCESS.wrong_tokens_per_minute,
        ge=1,
        description="Wrong tokens from one address within a minute after which it gets 429.",
    )
    connections_per_token: int = Field(
        DEFAULT_ACCESS.connections_per_token,
        ge=1,
        description="Open WebSockets and event streams of one token.",
    )
    subscriptions_per_connection: int = Field(
        DEFAULT_ACCESS.subscriptions_per_connection, ge=1, description="Concurrent operations on one WebSocket."
    )
    radius_clients: SecretStr | None = Field(
        None,
        description="Network access servers and their shared secrets: ADDRESS[/PREFIX]=SECRET, separated by spaces; "
        "the narrowest network wins. A flag is visible to everyone who can list processes.",
    )
    radius_host: str = Field("127.0.0.1", min_length=1, description="Address to listen on for RADIUS Accounting.")
    radius_port: int = Field(1813, ge=1, le=65535, description="UDP port to listen on for RADIUS Accounting.")
    timezone: str = Field(
        "UTC", description="IANA time zone of days and of times without an offset, such as Europe/Berlin."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest severity to log: debug, info, warning or error."
    )

    @field_validator("api_token")
    @classmethod
    def _check_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is None or not token.get_secret_value():
            return None
        if not VALID_TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError("must be at least 8 visible ASCII characters without spaces")
        return token

    @field_validator("radius_clients")
    @classmethod
    def _check_radius_clients(cls, clients: SecretStr | None) -> SecretStr | None:
        if clients is not None:
            parse_radius_clients(clients.get_secret_value())
        return clients

    @field_validator("allowed_origins")
    @classmethod
    def _normalize_origins(cls, origins: str | None) -> str | None:
        return " ".join(parse_origins(origins or "")) or None

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, url: str) -> str:
        # The messages do not repeat the URL: it may contain a password.
        if url.startswith(POSTGRESQL_SCHEMES):
            return url
        path = url.removeprefix(SQLITE_SCHEME)
        if path == url:
            raise ValueError(
                "must be a file, as in sqlite:///netsessions.db, or postgresql://…; other databases are not supported"
            )
        if not path or path.endswith("/") or path.startswith(":memory:"):
            raise ValueError("must name a file, as in sqlite:///netsessions.db; in-memory databases are not supported")
        if re.search(r"[?\x00]", path):
            raise ValueError("must be a plain path after sqlite:///, without parameters")
        return url

    @field_validator("database_read_url")
    @classmethod
    def _check_database_read_url(cls, url: str | None) -> str | None:
        if url and not url.startswith(POSTGRESQL_SCHEMES):
            raise ValueError("must be postgresql://…; only PostgreSQL has replicas to read from")
        return url or None

    @model_validator(mode="after")
    def _check_replicas_have_primary(self) -> Self:
        if self.database_read_url and self.database_path:
            raise ValueError("DATABASE_READ_URL needs a PostgreSQL DATABASE_URL, the primary of its replicas")
        return self

    @field_validator("unseen_for", mode="before")
    @classmethod
    def _parse_unseen_for(cls, text: object) -> Period | None:
        if not text:
            return None
        period = parse_period(text)
        # Reject a period that reaches back too far at startup, not in every sweep.
        Clock(ZoneInfo("UTC")).period_window(period)
        return period

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, name: str) -> str:
        return parse_time_zone(name).key

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower_log_level(cls, level: object) -> object:
        return level.lower() if isinstance(level, str) else level

    @property
    def database_path(self) -> Path | None:
        """The SQLite file; None for PostgreSQL."""
        return sqlite_path(self.database_url)

    @property
    def data_folder(self) -> Path:
        """The folder for the server's own files: that of the SQLite file, otherwise the user's data folder."""
        return self.database_path.absolute().parent if self.database_path else user_data_path("netsessions")

    def address(self, host: str) -> str:
        """Return the server's base URL with the given host name or IP address."""
        return f"http://{f'[{host}]' if ':' in host else host}:{self.graphql_port}"

    @property
    def limits(self) -> Limits:
        """The limits of one request."""
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
    def access(self) -> AccessPolicy:
        """The limits of one client, and the allowed origins."""
        return AccessPolicy(
            self.wrong_tokens_per_minute,
            self.connections_per_token,
            self.subscriptions_per_connection,
            tuple((self.allowed_origins or "").split()),
        )

    @property
    def parsed_radius_clients(self) -> list[RadiusClient]:
        """The RADIUS clients, the narrowest network first."""
        return [] if self.radius_clients is None else parse_radius_clients(self.radius_clients.get_secret_value())

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of days and of times without an offset."""
        return parse_time_zone(self.timezone)
