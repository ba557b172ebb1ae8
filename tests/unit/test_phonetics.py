"""Words that sound like names: pronunciations, and their resemblance."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callpipeline.engines.phonetics.pronouncers import (
    EspeakPronouncer,
    SpellingPronouncer,
    choose_pronouncer,
    spelled_phonemes,
)
from callpipeline.engines.phonetics.resemblance import (
    MIN_SIMILARITY,
    NameSounds,
    compare_words,
    sound_key,
    sound_similarity,
)
from callpipeline.errors import EngineUnavailable

PHONEMES = st.text("aɪəpbtdkɡszfvmnlɹw", min_size=1, max_size=12)


def fake_espeak(folder: Path, body: str) -> str:
    """Write a program that stands for espeak-ng; returns the search path."""
    program = folder / "espeak-ng"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return str(folder)


def test_one_process_pronounces_many_words_and_they_are_remembered(tmp_path: Path):
    log = tmp_path / "log"
    path = fake_espeak(tmp_path, f'echo "$@" >> {log}; sed "s/^/sˈaɪː_/"')
    pronouncer = choose_pronouncer("en", path=path)
    assert pronouncer.name == "espeak-ng"
    assert pronouncer.pronounce(["site", "eva", "'"]) == {"site": "saɪ_site", "eva": "saɪ_eva"}
    assert pronouncer.pronounce(["eva"]) == {"eva": "saɪ_eva"}
    assert log.read_text().splitlines() == ["-q --ipa -v en-us"] * 2  # the first is the check


@pytest.mark.parametrize("body", ["exit 1", "printf '\\377\\n'"])
def test_a_program_that_fails_is_not_used(tmp_path: Path, body: str):
    path = fake_espeak(tmp_path, body)
    with pytest.raises(EngineUnavailable, match="espeak-ng"):
        EspeakPronouncer(f"{path}/espeak-ng", "en-us").pronounce(["site", "eva"])
    broken = fake_espeak(tmp_path, "exit 1")
    assert isinstance(choose_pronouncer("en", path=broken), SpellingPronouncer)


@pytest.mark.parametrize(
    ("script", "expected"), [("s/^b$/b\\nb/", {"b": "bb"}), ("/^b$/d", dict[str, str]())]
)
def test_a_word_with_several_lines_or_none_leaves_the_others_alone(
    tmp_path: Path, script: str, expected: dict[str, str]
):
    path = fake_espeak(tmp_path, f"sed -e '{script}'")
    pronouncer = EspeakPronouncer(f"{path}/espeak-ng", "en-us")
    assert pronouncer.pronounce(list("abcd")) == {"a": "a", "c": "c", "d": "d"} | expected


def test_without_espeak_spelling_gives_the_sounds(tmp_path: Path):
    pronouncer = choose_pronouncer("en", path=str(tmp_path))
    assert pronouncer.name == "rules of spelling"
    assert spelled_phonemes("phone") == spelled_phonemes("fone") == "foʊn"
    assert spelled_phonemes("site") == "saɪt" and spelled_phonemes("cite") == "saɪt"
    assert spelled_phonemes("32") == "θɹitu"


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_the_real_espeak_hears_a_misheard_name():
    sounds = NameSounds(choose_pronouncer("en"), {"Cyteva": ["cyteva"], "Vodafone": ["vodafone"]})
    heard = [("site", "eva"), ("vote", "a", "phone"), ("the", "price")]
    found = {(match.run, match.name): match.similarity for match in sounds.find(heard)}
    assert found.keys() == {(0, "Cyteva"), (1, "Vodafone")}
    assert found[0, "Cyteva"] > 0.9 and found[1, "Vodafone"] > 0.8


@given(PHONEMES, PHONEMES)
def test_similarity_is_symmetric_and_between_0_and_1(one: str, other: str):
    similarity = sound_similarity(one, other)
    assert similarity == pytest.approx(sound_similarity(other, one))
    assert similarity == 0.0 or MIN_SIMILARITY <= similarity <= 1.0
    assert sound_similarity(one, one) == 1.0


def test_confusable_sounds_cost_less_than_others():
    name = "kəntʃoʊ"
    voiced, vowel, other = "ɡəntʃoʊ", "kæntʃoʊ", "lənmʃoʊ"
    assert sound_similarity(name, vowel) > sound_similarity(name, voiced) > 0.9
    assert sound_similarity(name, other) < 0.75
    assert sound_key(name) == sound_key(voiced) == sound_key(vowel) != sound_key(other)


def test_words_that_both_have_say_nothing():
    capital = "kæpɪtəl"
    assert compare_words(("ðə", capital), ("dʒii", capital)) == (0.0, 4)
    similarity, phonemes = compare_words(("dʒeɪ", capital), ("dʒii", capital))
    assert similarity > 0.6 and phonemes == 4
    assert compare_words((capital,), (capital,)) == (1.0, 0)
    assert compare_words((capital,), ("dʒii", capital)) == (0.0, 4)


def test_the_best_form_of_a_name_counts():
    names = {"SiTime": ["sitime", "si time"], "GoDaddy": ["godaddy"]}
    sounds = NameSounds(SpellingPronouncer(), names)
    runs = [("sigh", "time"), ("goh", "dady"), ("nothing", "here"), ("1234",)]
    found = {match.run: (match.name, round(match.similarity, 1)) for match in sounds.find(runs)}
    assert found.keys() <= {0, 1} and found[1] == ("GoDaddy", 0.9)
    assert found[0][0] == "SiTime"
    assert list(NameSounds(SpellingPronouncer(), {}).find(runs)) == []
    assert list(sounds.find([])) == []
