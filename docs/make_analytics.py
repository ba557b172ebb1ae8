"""Writes docs/analytics.md from the comments of the database and the questions: `make docs`."""

import tempfile
from pathlib import Path

import psycopg

from callpipeline.storage import sql
from callpipeline.storage.embedded import EmbeddedPostgres
from callpipeline.storage.migrations import migrate

PAGE = Path(__file__).parent / "analytics.md"
QUESTIONS = sorted((Path(sql.__file__).parent / "questions").glob("*.sql"))

HEAD = """# Questions to the database

Schema `analytics` has the results by plain names, for SQL, dashboards and notebooks. It counts by
the time of the call, not of its processing. This page is made from the database's own comments
(`make docs`); `\\d+ analytics.mentions` in psql shows them too.

Who may read these views, and nothing else, is the role `callpipeline_analyst`:

    CREATE ROLE alice LOGIN PASSWORD '…' IN ROLE callpipeline_analyst;

The embedded Postgres listens while `callpipeline up` runs; its port is in
`data/postgres/server.json`, the password of its owner, `callpipeline`, in `data/postgres/password`.

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
    """The text of docs/analytics.md for a migrated database."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(_VIEWS).fetchall()
    lines, seen = [HEAD.rstrip(), "", "## Views"], ""
    for view, about, column, kind, told in rows:
        if view != seen:
            lines += ["", f"### `analytics.{view}`", "", about, "", *COLUMNS]
            seen = view
        lines.append(f"| `{column}` | {kind} | {told} |")
    lines += ["", "## Ten questions", ""]
    for number, question in enumerate(QUESTIONS, start=1):
        asked, _, query = question.read_text().partition("\n")
        title = f"### {number}. {asked.removeprefix('-- ')}"
        lines += [title, "", "```sql", query.strip(), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    with (
        # The server removes files of its own while it ends.
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        EmbeddedPostgres(Path(folder)).running() as url,
    ):
        migrate(url)
        PAGE.write_text(page(url))


if __name__ == "__main__":
    main()
