"""What a token may do. The one rule of both doors: each change names the scope that it needs, where it is made.

- `calendar`: read the calendar to subscribe to;
- `read`: read everything;
- `write`: record sessions, too: create, start and stop them, and tell of what is seen;
- `admin`: change and delete what is recorded, too, and name devices.
"""

from contextvars import ContextVar
from typing import get_args

from resolvers.errors import ForbiddenError
from storage.queries.tokens import Scope

SCOPES: tuple[Scope, ...] = get_args(Scope)
_RANKS = {scope: rank for rank, scope in enumerate(SCOPES)}

# The scope of whose token came, set by the program around a request. Commands may do everything.
granted: ContextVar[Scope] = ContextVar("granted", default="admin")


def require(needed: Scope) -> None:
    """Raises ForbiddenError where the token that came may not do what needs the scope."""
    given = granted.get()
    if _RANKS[given] < _RANKS[needed]:
        raise ForbiddenError(f"This needs a token of scope {needed}; the scope of the one that came is {given}.")
