"""Patterns of operators: the meaning of Python's, in linear time."""

import pickle
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.errors import SettingsInvalid
from callpipeline.storage.sources import patterns
from callpipeline.storage.sources.patterns import compile_pattern

CATASTROPHIC = [
    r"AGENT_(?P<agent>(?:[A-Za-z]+[ ._-]?)+)_DT_(?P<started_at>[0-9T-]+)",
    r"(?P<agent>(a+)+)$",
    r"(?P<agent>(\w*)*)!",
    r"(?P<agent>(a|a)*)b",
    r"(?P<agent>(a|aa)+)\Z!",
    r"(?P<agent>\w*\w*\w*\w*\w*\w*)-!",
    r"(?P<agent>.*.*.*.*.*=.*)x",
    r"(?P<agent>(x+x+)+)y",
    r"(?P<agent>([a-z0-9]+[-_]*)*)\.\.",
]
NAMES = ["a" * 40, "x/AGENT_" + "a" * 1000 + ".wav", "x" * 1024, "a_" * 512, "a1-" * 341, "=" * 999]


@pytest.mark.parametrize("pattern", CATASTROPHIC)
def test_a_catastrophic_pattern_is_matched_in_linear_time(pattern: str):
    compiled = compile_pattern(pattern, "filename")
    begin = time.thread_time()
    for name in NAMES:
        compiled.groups(name)
    assert time.thread_time() - begin < 0.5


def test_a_name_that_would_freeze_python_is_matched_all_the_same():
    pattern = compile_pattern(CATASTROPHIC[0], "filename")
    found = pattern.groups("x/AGENT_" + "Ann Mary " * 20 + "Abbot_DT_2026-03-02T10-00.wav")
    assert found == {"agent": "Ann Mary " * 20 + "Abbot", "started_at": "2026-03-02T10-00"}


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"(?P<a>x)(?=y)", "uses look-ahead, which can take forever"),
        (r"(?P<a>x)(?!y)", "uses look-ahead"),
        (r"(?<=y)(?P<a>x)", "uses look-behind"),
        (r"(?<!y)(?P<a>x)", "uses look-behind"),
        (r"(?P<a>x)(?P=a)", "uses references to groups"),
        (r"(?P<a>x)\1", "uses references to groups"),
        (r"(?P<a>(?>x+)y)", "uses atomic groups"),
        (r"(?P<a>x)?(?(a)y|z)", "uses conditions"),
        (r"(?P<a>x{1,2000})", "is not supported by RE2"),
        (r"(?P<a>((\w{1,900}){1,900}){1,900})", "repetition|too large"),
        (r"(?P<a>[\W_]+)", r"has \\W between brackets"),
        (r"(?P<a>x", "not a valid regular expression at character"),
        (r"(?P<a>x)" + "y" * 2000, "the limit is 2000"),
        (r"\d+", "has no named groups"),
    ],
)
def test_what_is_not_supported_is_refused_with_a_reason(pattern: str, why: str):
    with pytest.raises(SettingsInvalid, match=why):
        compile_pattern(pattern, "filename")


def test_a_pattern_that_is_slow_on_a_hostile_name_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(patterns, "MAX_MATCH_S", 0.0)
    with pytest.raises(SettingsInvalid, match="ms on a name of 1024 characters"):
        compile_pattern(r"AGENT_(?P<agent>\w+)_", "filename")


SAME_AS_PYTHON = [
    r"AGENT_(?P<agent>[^_]+)_DT_(?P<started_at>[0-9T-]+)",
    r"^(?P<year>\d+)/(?P<rest>\D+)",
    r"(?P<agent>\w+)(?:-(?P<customer>\w+))?",
    r"(?P<gap>\s+)(?P<word>\S+)",
    r"(?P<other>\W)(?P<same>[\w.]+)",
    r"(?P<a>[\d\s]+)|(?P<b>[^\d\s]+)",
    r"(?P<a>[]a]+)(?P<b>[^]a]*)",
    r"(?P<a>[x[\]]+)",
    r"(?P<few>a{,2})b",
    r"(?P<brace>a\{,2\})|(?P<b>[{,}]+)",
    r"(?i)(?P<a>agent)(?P<b>.*?)_",
    r"(?P<a>\u00e4+|\U0001f3a7|\x41)",
    r"\A(?P<a>.+)\Z",
    r"(?P<a>a|ab)(?P<b>c|bcd)(?P<c>d*)",
    r"(?P<back>\\\\|\\w)",
]


@given(
    st.sampled_from(SAME_AS_PYTHON),
    st.text("aäbÜcdAGENT_DT012٣/- .\u00a0\u2003\\w[]{},🎧\ufb01", max_size=30),
)
def test_patterns_mean_what_they_mean_in_python(pattern: str, name: str):
    expected = re.search(pattern, name)
    found = compile_pattern(pattern, "filename").groups(name)
    assert found == (expected.groupdict("") if expected else None)


def test_undecodable_names_are_matched():
    assert compile_pattern("(?P<a>x+)", "filename").groups("\udce4xx") == {"a": "xx"}
    assert compile_pattern("(?P<a>.+)", "filename").groups("a\udce4") == {"a": "a\ue000"}


def test_a_compiled_pattern_can_be_sent_to_another_process():
    pattern = compile_pattern("(?P<a>x+)", "filename")
    copy = pickle.loads(pickle.dumps(pattern))
    assert copy == pattern
    assert copy.groups("xx") == {"a": "xx"}
