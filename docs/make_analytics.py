"""Generate docs/analytics.md from database comments and example queries: `make docs`."""

import tempfile
from pathlib import Path

import psycopg

from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from callpipeline.storage.postgres.migrations import migrate
from callpipeline.storage.postgres.sql import statements

PAGE = Path(__file__).parent / "analytics.md"
QUESTIONS = {name: text for name, text in statements().items() if name.startswith("questions/")}

HEAD = """# Analytics queries

Schema `analytics` contains the results for SQL, dashboards and notebooks. Calls are counted by the
time of the call, not of its processing. This page is generated from the comments in the database
(`make docs`); `\\d+ analytics.mentions` in psql shows them too.

Role `callpipeline_analyst` can read these views and nothing else:

    CREATE ROLE alice LOGIN PASSWORD '…' IN ROLE callpipeline_analyst;

The embedded Postgres listens while `callpipeline up` runs. Its port is in
`data/postgres/server.json`, and the password of its owner, `callpipeline`, in
`data/postgres/password`.

"""
COLUMNS = ("| column | type | |", "|---|---|---|")
_VIEWS = """
SELECT c.relname, obj_description(c.oid, 'pg_class'), a.attname,
       format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('v', 'm')
ORDER BY c.oid, a.attnum
"""


def page(database_url: str) -> str:
    """Return the text of docs/analytics.md for a migrated database."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(_VIEWS).fetchall()
    lines, seen = [HEAD.rstrip(), "", "## Views"], ""
    for view, description, column, kind, comment in rows:
        if view != seen:
            lines += ["", f"### `analytics.{view}`", "", description, "", *COLUMNS]
            seen = view
        lines.append(f"| `{column}` | {kind} | {comment} |")
    lines += ["", "## Ten example queries", ""]
    for number, question in enumerate(QUESTIONS.values(), start=1):
        comment, _, query = question.partition("\n")
        title = f"### {number}. {comment.removeprefix('-- ')}"
        lines += [title, "", "```sql", query.strip(), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    with (
        # The server removes its own files while it stops.
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        EmbeddedPostgres(Path(folder)).running() as url,
    ):
        migrate(url)
        PAGE.write_text(page(url))


if __name__ == "__main__":
    main()
