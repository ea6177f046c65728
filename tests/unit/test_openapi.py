"""The OpenAPI description."""

from rest_compat.openapi import document


def test_description_covers_the_rest_api() -> None:
    """All paths, methods and parameters; every reference resolves."""
    description = document()
    assert {path: list(methods) for path, methods in description["paths"].items()} == {
        "/sessions/create": ["post"],
        "/sessions/start": ["post"],
        "/sessions/stop": ["post"],
        "/sessions/delete": ["delete"],
        "/sessions/list": ["get"],
        "/sessions/export": ["get"],
        "/sessions/calendar": ["get"],
        "/sessions/calendar.ics": ["get"],
        "/sessions/session-events": ["get"],
        "/sessions/{mac}": ["get"],
    }
    events = description["paths"]["/sessions/session-events"]["get"]
    names = ["type", "period", "page", "limit", "search", "sortCol", "sortDir", "format"]
    assert [p["name"] for p in events["parameters"]] == names
    assert all("anyOf" not in p["schema"] for p in events["parameters"])
    schemas = description["components"]["schemas"]
    references = str(description).split("'#/components/schemas/")[1:]
    assert {reference.partition("'")[0] for reference in references} <= set(schemas)


def test_description_has_the_constraints_of_parameters() -> None:
    """Allowed values, ranges, formats and examples."""
    paths = document()["paths"]
    schemas = {
        p["name"]: p["schema"]
        for path in ("list", "session-events")
        for p in paths[f"/sessions/{path}"]["get"]["parameters"]
    }
    assert schemas["sortDir"] == {"type": "string", "enum": ["asc", "desc"], "default": "desc"}
    assert schemas["limit"] == {"type": "integer", "minimum": 1, "maximum": 1000}
    assert schemas["start_date"] == {"type": "string", "format": "date", "examples": ["2025-08-01"]}
