"""Code that depends on private parts of Dagster.

Only this package imports private modules of Dagster, extends its storages, or reads and writes its
tables. `tests/unit/test_dagster_internals.py` lists every name it relies on and fails on any
Dagster version other than the pinned one.
"""
