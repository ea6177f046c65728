"""Ten clients that repeat the attacks of graphql-cop, each as soon as the last response arrives, until terminated.

Run as `python -m tests.support.attackers PORT TOKEN`, in a separate process so that it uses no time of the measuring
process.
"""

import asyncio
import json
import os
import random
import sys
from typing import Any

CLIENTS = 10

ALIASES = "query cop { " + " ".join(f"alias{n}: __typename" for n in range(101)) + " }"
DIRECTIVES = "query cop { __typename " + "@aa" * 10 + " }"
CIRCULAR = "query cop { __schema { types " + "{ fields { type " * 4 + "{ name }" + " } }" * 4 + " } }"
DUPLICATION = "query cop { " + "__typename \n" * 500 + " }"
SUGGESTION = "query cop { __schema { directive } }"
MUTATION = "mutation cop { __typename }"
UNHANDLED = "qwerty cop { abc }"
BATCH = [{"query": "query cop { __typename }"}] * 10

# The attacks that put load on a server.
HEAVY: list[Any] = [
    {"query": query} for query in (ALIASES, DIRECTIVES, CIRCULAR, DUPLICATION, SUGGESTION, UNHANDLED)
] + [BATCH]


def randomize(attack: Any) -> Any:
    """Return the attack with a random operation name, so that no cache of the server contains it."""
    return json.loads(json.dumps(attack).replace("cop", f"cop{random.randrange(10**9)}"))


async def _run_client(port: int, token: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
    while True:
        body = json.dumps(randomize(random.choice(HEAVY)))
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        response_head = await reader.readuntil(b"\r\n\r\n")
        length = response_head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))


async def _attack(port: int, token: str) -> None:
    await asyncio.gather(*(_run_client(port, token) for _ in range(CLIENTS)))


if __name__ == "__main__":
    os.nice(19)  # real attackers have machines of their own: leave the processor to the server
    asyncio.run(_attack(int(sys.argv[1]), sys.argv[2]))
