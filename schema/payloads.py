"""The GraphQL types that mutations return."""

import strawberry

from resolvers.sessions import SessionResult
from schema.types import Session


@strawberry.type(description="The result of creating, starting or stopping a session.")
class CreateSessionPayload:
    session: Session = strawberry.field(description="The session after the mutation.")
    message: str = strawberry.field(description="What the mutation did, as a sentence.")

    @classmethod
    def from_result(cls, result: SessionResult) -> "CreateSessionPayload":
        return cls(session=Session.from_row(result.session), message=result.message)


@strawberry.type(description="The result of `createSessions`.")
class CreateSessionsPayload:
    created: int = strawberry.field(description="Number of sessions created.")


@strawberry.type(description="The result of `heartbeat`.")
class HeartbeatPayload:
    seen: int = strawberry.field(description="Number of distinct devices in the heartbeat.")
    opened: int = strawberry.field(description="Number of these devices for which a session was opened.")


@strawberry.type(description="The result of deleting sessions.")
class DeleteSessionsPayload:
    deleted: int = strawberry.field(description="Number of sessions deleted.")
    message: str = strawberry.field(description="What the mutation did, as a sentence.")
