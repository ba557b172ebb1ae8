"""Slow queries are cached for a while."""

from callpipeline.web.state import cached


def test_a_value_is_read_again_once_it_has_expired() -> None:
    values, now = iter(("first", "second")), [0.0]
    read = cached(lambda: next(values), ttl_s=60, timer=lambda: now[0])
    results = []
    for now[0] in (0.0, 59.0, 60.0, 61.0):
        results.append(read())
    assert results == ["first", "first", "second", "second"]
