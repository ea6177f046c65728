"""Connections to a SQLite file, compiled statements and translated errors."""

import errno
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import apsw
from sqlalchemy.dialects import sqlite as dialect
from sqlalchemy.sql.elements import CompilerElement

from storage.errors import StoreFullError, StoreUnavailableError
from storage.store import Parameters

Row = tuple[Any, ...]

BUSY_TIMEOUT_MS = 30_000  # waiting for the write lock of another process
STATEMENT_CACHE_SIZE = 512  # clients can request lists in any number of shapes
NO_SPACE_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DAMAGE_ERRORS = (apsw.CorruptError, apsw.NotADBError)


@lru_cache(STATEMENT_CACHE_SIZE)
def compile_query(statement: CompilerElement) -> tuple[str, Parameters]:
    """Return the SQL of a statement and the values of its constants. Cached."""
    compiled = statement.compile(dialect=dialect.dialect(paramstyle="named"))
    return str(compiled), {name: value for name, value in compiled.params.items() if value is not None}


def bind(statement: CompilerElement, parameters: Parameters) -> tuple[str, Parameters]:
    """Return the SQL of a statement and its bindings."""
    sql, constants = compile_query(statement)
    return sql, {**constants, **parameters}


def _ip_order(*ips: Any) -> bytes | None:
    (ip,) = ips
    if ip is None:
        return None
    address = ip_address(ip)
    return bytes([address.version]) + address.packed


def _fold_case(*texts: Any) -> str | None:
    (text,) = texts
    return None if text is None else str(text).casefold()


def connect(path: Path, *, read_only: bool) -> apsw.Connection:
    """Open a connection. Writable ones sync the write-ahead log at every commit."""
    mode = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
    # A connection is used by one thread at a time and needs no mutex.
    mode |= apsw.SQLITE_OPEN_NOMUTEX
    connection = apsw.Connection(str(path), mode, statementcachesize=STATEMENT_CACHE_SIZE)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    # Plan without the values of parameters. Otherwise most statements would be prepared again at each execution.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.execute("PRAGMA cache_size = -16000")
    if not read_only:
        connection.execute("PRAGMA synchronous = FULL")
    connection.create_scalar_function("fold", _fold_case, 1, deterministic=True)
    connection.create_scalar_function("ip_order", _ip_order, 1, deterministic=True)
    return connection


def translate_error(cause: Exception, connection: apsw.Connection | None = None) -> Exception:
    """Return the exception to raise for a cause: itself, or StoreUnavailableError if SQLite failed."""
    if not isinstance(cause, apsw.Error) or isinstance(cause, apsw.ConstraintError | apsw.BindingsError):
        return cause
    # SQLite reports an exceeded quota or file size limit as a generic I/O error.
    no_space = isinstance(cause, apsw.IOError) and connection is not None and connection.system_errno in NO_SPACE_ERRNOS
    error = (StoreFullError if no_space or isinstance(cause, apsw.FullError) else StoreUnavailableError)(
        f"{cause}; stop the server and restore a backup" if isinstance(cause, DAMAGE_ERRORS) else str(cause)
    )
    error.__cause__ = cause
    return error
