"""Everything that makes GraphQL lists fast. The rest of the server works without this package, more slowly.

Only `schema/build.py` refers to it, in one line behind the switch `FAST_PATH`. A test deletes the package from a copy of
the tree and runs the GraphQL tests. Property tests compare the responses of both paths byte for byte.

A lever is kept only while it buys at least a tenth of a figure of `benchmarks/RESULTS.md`. Measured without it, then with it:

1.  SQL-made JSON (`executor.py`): `graphql-1000` 28.9 and 1.42 ms of CPU (20 times), `graphql-device-week` 0.78 and 0.19 ms
    (4 times).
2.  Documents from the cache go directly to the executor (`caching_schema.py`): `graphql-device-week` 0.33 and 0.20 ms (1.7
    times, with lever 3), `creates-graphql` 2,490 and 3,200 per second (1.3 times).
3.  Cached list plans (`caching_schema.py`): `graphql-device-week` 0.25 and 0.19 ms (1.3 times).
4.  Input that bypasses Strawberry's input objects (`bulk_inputs.py`): `create-sessions-10000` 615 and 203 ms (3 times),
    `creates-graphql` 2,820 and 3,660 per second (1.4 times). The part that bypasses coercion: 243 and 200 ms (1.2 times).
5.  Presence buckets made in a thread (`executor.py`): no figure covers it. A year of hourly buckets over GraphQL takes 625
    and 510 ms (1.2 times), and the event loop serves other requests meanwhile.
"""

from schema.fast_path.caching_schema import CachingSchema

__all__ = ["CachingSchema"]
