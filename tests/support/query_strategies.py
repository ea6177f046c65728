"""Hypothesis strategies for queries that select sessions, with aliases, fragments, directives and variables."""

from typing import Any

from hypothesis import strategies as st
from strawberry.utils.str_converters import to_camel_case

from storage.queries.json_objects import JSON_FIELDS
from tests.conftest import MAC

OTHER_MAC = "02:00:5E:10:00:01"
FIELDS = (*(to_camel_case(name) for name in JSON_FIELDS), "__typename")
FRAGMENTS = {
    "Plain": "fragment Plain on Session { id again: mac ip }",
    "Deep": "fragment Deep on Session { ...Plain info ... on Node { id __typename } }",
    "Whose": "fragment Whose on Session { mac device { mac name owner } }",
}
CONDITIONS = ("", "", "", " @include(if: $yes)", " @skip(if: $yes)", " @skip(if: $no)", " @include(if: false)")
conditions = st.sampled_from(CONDITIONS)


@st.composite
def session_fields(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(FIELDS))
    # The alias contains the field name, so that no two fields conflict.
    alias = draw(st.sampled_from(["", f"a_{name}: ", f"b_{name}: "]))
    return f"{alias}{name}{draw(conditions)}"


@st.composite
def session_selections(draw: st.DrawFn, depth: int = 2) -> str:
    """A selection set of a session."""
    parts = draw(st.lists(session_fields(), min_size=1, max_size=6))
    if depth and draw(st.booleans()):
        on = draw(st.sampled_from(["", " on Session", " on Node"]))
        inner = "id __typename" if on == " on Node" else draw(session_selections(depth - 1))
        parts.append(f"...{on}{draw(conditions)} {{ {inner} }}")
    if depth and draw(st.booleans()):
        parts.append(f"...{draw(st.sampled_from(list(FRAGMENTS)))}{draw(conditions)}")
    if draw(st.integers(0, 9)) == 0:
        parts.append(f"device{draw(conditions)} {{ mac name }}")
    return " ".join(draw(st.permutations(parts)))


@st.composite
def connection_selections(draw: st.DrawFn) -> str:
    """A selection set of a page of sessions."""
    node = draw(session_selections())
    parts = draw(
        st.lists(
            st.sampled_from(
                [
                    f"nodes {{ {node} }}",
                    f"nodes {{ {node} }}",
                    f"edges {{ cursor node {{ {node} }} }}",
                    f"edges {{ place: cursor __typename session: node {{ {node} }} again: cursor }}",
                    "edges { cursor }",
                    "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }",
                    "pageInfo { end: endCursor __typename }",
                    "totalCount",
                    "__typename",
                ]
            ),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    return " ".join(parts)


@st.composite
def root_fields(draw: st.DrawFn, name: str) -> str:
    """A field of the query."""
    match draw(st.integers(0, 7)):
        case 0 | 1:
            mac = draw(st.sampled_from(["$mac", f'"{OTHER_MAC}"', '"aabb.ccdd.eeff"', '"nonsense"']))
            return f'{name}: deviceSessions(mac: {mac}, period: "{draw(st.sampled_from(["2 days", "200 years"]))}")' + (
                f"{draw(conditions)} {{ {draw(session_selections())} }}"
            )
        case 2:
            if draw(st.integers(0, 4)) == 0:
                return f"{name}: server {{ version zone: timeZone now{draw(conditions)} __typename }}"
            order = draw(
                st.sampled_from(["", "orderBy: OLDEST, ", "orderBy: NAME_DESC, ", 'search: "e", orderBy: IP, '])
            )
            rows = draw(st.sampled_from(["nodes", "edges { cursor } nodes", "totalCount pageInfo { endCursor } nodes"]))
            session = draw(session_selections())
            return f"{name}: sessionEvents({order}first: 5) {{ {rows} {{ eventType session {{ {session} }} }} }}"
        case 3:
            return f'{name}: node(id: "S:{MAC}:{2**62 + 1}") {{ id ... on Session {{ {draw(session_selections())} }} }}'
        case _:
            order = draw(st.sampled_from(["NEWEST", "OLDEST", "LONGEST", "SHORTEST"]))
            page = draw(st.sampled_from(["first: $n", "first: 7", "last: 3", "first: 0", "first: 100", "first: -1"]))
            filter_argument = draw(
                st.sampled_from(
                    [
                        "",
                        "filter: { macs: [$mac] }, ",
                        "filter: { states: [COMPLETE, MISSING_CONNECTION] }, ",
                        'filter: { overlaps: { from: "2025-08-19T00:00Z" }, search: "e" }, ',
                        'filter: { ips: ["2001:db8::ffff"] }, ',
                        'filter: { startDate: "2025-08-19", endDate: "2025-08-20" }, ',
                    ]
                )
            )
            return f"{name}: sessions({filter_argument}orderBy: {order}, {page}) {{ {draw(connection_selections())} }}"


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A request of one or two operations, with the variables that they declare."""
    declared = "($yes: Boolean!, $no: Boolean = false, $n: Int, $mac: MAC!)"
    used = (
        "v: __typename @include(if: $yes) @skip(if: $no) w: sessions(first: $n, filter: {macs: [$mac]}) { __typename }"
    )
    operations = [
        f"query {name}{declared} {{ {used} {' '.join(draw(root_fields(f'r{n}')) for n in range(draw(st.integers(1, 2))))} }}"
        for name in ("One", "Two")[: draw(st.integers(1, 2))]
    ]
    text = " ".join(operations)
    for name in ("Deep", "Whose", "Plain"):
        if f"...{name}" in text:
            text += " " + FRAGMENTS[name]
    variables = {"yes": draw(st.booleans()), "n": draw(st.sampled_from([None, 4])), "mac": MAC}
    if draw(st.booleans()):
        variables["no"] = draw(st.booleans())
    return text, {"variables": variables, "operationName": "One"}


@st.composite
def single_lists(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A request for one list without directives, with valid and invalid arguments in variables and in the text."""
    text = draw(root_fields("list").filter(lambda text: "@" not in text))
    declared = draw(
        st.sampled_from(
            [
                '($n: Int, $mac: MAC! = "aabb.ccdd.eeff")',
                '($n: Int = 2, $mac: MAC = "nonsense")',
                "($n: Int, $mac: MAC)",
                "($n: Int!, $mac: MAC!)",
            ]
        )
    )
    again = draw(st.sampled_from(["", f" list: {text.removeprefix('list: ')}", " more: __typename"]))
    text = f"query One{declared} {{ {text}{again} }}"
    for name in ("Deep", "Whose", "Plain"):
        if f"...{name}" in text:
            text += " " + FRAGMENTS[name]
    variables = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "n": st.sampled_from([None, 4, -1, 2**40, "4", 1.5]),
                "mac": st.sampled_from([MAC, "aabb.ccdd.eeff", "nonsense", None, 5]),
                "unknown": st.just(1),
            },
        )
    )
    return text, {"variables": variables}
