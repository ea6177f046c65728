"""Scopes of tokens. Each change declares the scope that it requires, for both APIs.

- `calendar`: read the calendar feed;
- `read`: read everything;
- `write`: also record sessions: create, start and stop them, and send heartbeats;
- `admin`: also update and delete recorded sessions, and name devices.
"""

from contextvars import ContextVar
from typing import get_args

from resolvers.errors import ForbiddenError
from storage.queries.tokens import Scope as Scope

SCOPES: tuple[Scope, ...] = get_args(Scope)
_RANKS = {scope: rank for rank, scope in enumerate(SCOPES)}

# The scope of the request's token, set by the authentication middleware. Commands have the scope admin.
current_scope: ContextVar[Scope] = ContextVar("current_scope", default="admin")


def require_scope(required: Scope) -> None:
    """Raise ForbiddenError if the current scope does not include the required one."""
    scope = current_scope.get()
    if _RANKS[scope] < _RANKS[required]:
        raise ForbiddenError(f"This operation requires the scope {required}; the token has the scope {scope}.")
