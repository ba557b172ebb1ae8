"""Connections, migrations, named SQL statements, and the embedded server."""
