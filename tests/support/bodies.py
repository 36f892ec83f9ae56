"""The smallest bodies that make a table, a view and a function, for tests that are about others."""

SCHEMA = {
    "type": "struct",
    "schema-id": 0,
    "fields": [{"id": 1, "name": "id", "type": "long", "required": False}],
}
VIEW_VERSION = {
    "version-id": 1,
    "timestamp-ms": 1_760_000_000_000,
    "schema-id": 0,
    "summary": {},
    "default-namespace": ["a"],
    "representations": [{"type": "sql", "sql": "SELECT 1 AS id", "dialect": "spark"}],
}
FUNCTION = {
    "definitions": [
        {
            "parameters": [],
            "return-type": "int",
            "representations": [{"dialect": "spark", "sql": "1"}],
        }
    ]
}
