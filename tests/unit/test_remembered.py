"""What takes long to read is not read for every page."""

from callpipeline.web.remembered import Remembered


def test_a_value_is_read_again_only_when_it_is_old() -> None:
    values, clock = iter(("first", "second")), iter((0.0, 59.0, 60.0, 61.0))
    remembered = Remembered(lambda: next(values), for_s=60, now=lambda: next(clock))
    assert [remembered() for _ in range(4)] == ["first", "first", "second", "second"]
