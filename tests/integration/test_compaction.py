"""Erased words in the files of Postgres, before and after `erase --compact`."""

from pathlib import Path

import psycopg
import pytest

from callpipeline.storage.postgres.compaction import compact
from callpipeline.storage.postgres.embedded import EmbeddedPostgres
from callpipeline.storage.postgres.migrations import migrate
from callpipeline.storage.postgres.sql import SCHEMA

WORDS = b"zanzibarmarker"


def files_with_words(folder: Path) -> list[str]:
    """Return the files that contain the words, in the cluster and its log."""
    (cluster,) = folder.glob("cluster-*")
    files = [path for path in cluster.rglob("*") if path.is_file()]
    return [str(path.relative_to(cluster)) for path in files if WORDS in path.read_bytes()]


@pytest.mark.parametrize("privileged", [True, False])
def test_erased_words_are_in_no_file_after_a_compaction(tmp_path: Path, privileged: bool):
    with EmbeddedPostgres(tmp_path, durable=False).running() as url:
        migrate(url)
        with psycopg.connect(url, autocommit=True, options=f"-c search_path={SCHEMA}") as database:
            database.execute("CREATE TABLE kept (text text)")
            database.execute("CREATE TABLE public.events (text text)")
            for table in ("kept", "public.events"):
                for number in range(200):
                    said = f"{WORDS.decode()} {number % 3}"
                    database.execute(f"INSERT INTO {table} VALUES (%s)".encode(), [said])
                database.execute(f"ANALYZE {table}".encode())
                database.execute(f"DELETE FROM {table}".encode())
            database.execute("CHECKPOINT")
            if not privileged:
                database.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
                database.execute(f"GRANT USAGE ON SCHEMA {SCHEMA} TO plain".encode())
                database.execute("ALTER TABLE kept OWNER TO plain")
        before = files_with_words(tmp_path)
        assert any("base/" in name for name in before)
        assert any("pg_wal/" in name for name in before)
        if privileged:
            done = compact(url)
            assert done.problems == ()
            assert done.tables > 20
            assert files_with_words(tmp_path) == []
        else:
            host = url.rpartition("@")[2]
            done = compact(f"postgresql://plain:plain@{host}")
            assert done.tables == 1
            assert any("CHECKPOINT" in problem for problem in done.problems)


def test_a_table_in_use_is_named_and_the_rest_is_rewritten(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("callpipeline.storage.postgres.compaction.LOCK_WITHIN_S", 0.2)
    with psycopg.connect(database_url, options=f"-c search_path={SCHEMA}") as busy:
        busy.execute("SELECT FROM segments")
        done = compact(database_url)
    assert [problem.split()[0] for problem in done.problems] == ["segments"]
    assert compact(database_url).problems == ()
