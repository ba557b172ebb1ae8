"""Loading of recording sources, and errors in the file."""

import re
from pathlib import Path

import pytest

from callpipeline.config import Settings
from callpipeline.domain.audio import Speaker
from callpipeline.domain.calls.call import DuplicatePolicy, Lane
from callpipeline.domain.calls.source_audio import RawFormat
from callpipeline.domain.calls.sources import MonoFirstSpeaker, Source, UnreadableTranscript
from callpipeline.domain.redaction.tokens import Kind
from callpipeline.errors import MissingObject, SettingsInvalid, StoreUnavailable
from callpipeline.storage.sources.patterns import compile_pattern
from callpipeline.storage.sources.recordings import Recordings
from callpipeline.storage.sources.sources_file import is_within, read_sources
from callpipeline.wiring import (
    load_sources,
    open_results_store,
    open_source,
    source_problems,
)
from callpipeline.wiring.stores import first_speakers, redaction_policies


def read(folder: Path, text: str) -> tuple[Source, ...]:
    file = folder / "sources.yaml"
    file.write_text(text, encoding="utf-8")
    return read_sources(file)


def test_a_source_has_a_name_a_url_and_options(tmp_path: Path):
    text = r"""
sources:
  - name: contact_centre
    url: s3://calls/uk/
    filename: 'AGENT_(?P<agent>[^_]+)_DT_(?P<started_at>[0-9T-]+)'
    timezone: Europe/London
    agent_channel: right
    mono_first_speaker: customer
    duplicates: process
    lane: bulk
    day_folders: '%Y/%m/%d'
    speakers: {Ann Abbot: Agent, 1: customer, agent: [SPEAKER_00, ch_0], '*': unknown}
    unreadable_transcript: transcribe
    include: ['*.wav', 'calls/*.dat']
    exclude: archive/*
    raw: PCMU/8000/2
    channel_roles: agent, agent, customer
  - name: branches
    url: branches/recordings
  - {name: archive, url: /srv/archive, lane: }
"""
    centre, branches, archive = read(tmp_path, text)
    assert centre == Source(
        name="contact_centre",
        url="s3://calls/uk/",
        filename=compile_pattern("AGENT_(?P<agent>[^_]+)_DT_(?P<started_at>[0-9T-]+)", "filename"),
        timezone="Europe/London",
        agent_channel="right",
        mono_first_speaker=MonoFirstSpeaker.CUSTOMER,
        duplicates=DuplicatePolicy.PROCESS,
        lane=Lane.BULK,
        day_folders="%Y/%m/%d",
        speakers={
            "Ann Abbot": Speaker.AGENT,
            "1": Speaker.CUSTOMER,
            "SPEAKER_00": Speaker.AGENT,
            "ch_0": Speaker.AGENT,
            "*": Speaker.UNKNOWN,
        },
        unreadable_transcript=UnreadableTranscript.TRANSCRIBE,
        include=("*.wav", "calls/*.dat"),
        exclude=("archive/*",),
        raw=RawFormat("ulaw", 8000, 2),
        channel_roles=(Speaker.AGENT, Speaker.AGENT, Speaker.CUSTOMER),
    )
    assert branches == Source("branches", str(tmp_path / "branches/recordings"))
    assert archive == Source("archive", "/srv/archive")


def test_an_empty_list_has_no_sources(tmp_path: Path):
    assert read(tmp_path, "sources:\n") == ()


def one(field: str) -> str:
    return f"sources:\n  - name: calls\n    url: /calls\n    {field}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stores: []", "must have the single key `sources:`"),
        ("sources: calls", "must have the single key `sources:`"),
        ("", "must have the single key `sources:`"),
        ("sources: [calls", "invalid YAML .line 1"),
        ("sources: [calls]", r"source 1 \(without a name\): must have fields"),
        ("sources: [{url: /calls}]", r"source 1 \(without a name\): has no name: add `name:`"),
        ("sources: [{name: calls}]", r"source 1 \(calls\): has no url"),
        (one("folder: x"), r"source 1 \(calls\): unknown field folder: use name, url, filename"),
        (one("speakers: agent"), "`speakers:` must be a table: for example"),
        (one("speakers: {}"), "`speakers:` must be a table"),
        (
            one("speakers: {Ann: boss}"),
            "`speakers:` Ann must be agent, customer or unknown",
        ),
        (one("unreadable_transcript: skip"), "must be one of fail, transcribe, not skip"),
        (one("redact: names"), "must be a list of card, bank, phone, email, or off"),
        (one("include: []"), "`include:` must be a list of patterns in quotation marks"),
        (one("exclude: [3]"), "`exclude:` must be a list of patterns in quotation marks"),
        (one("timezone: 3"), "`timezone:` must be text: put 3 in"),
        (one("timezone: ''"), "`timezone:` is empty"),
        (one("timezone: london"), "`timezone:` london is unknown: did you mean Europe/London"),
        (one("timezone: Mars/Base"), "Mars/Base is unknown: use for example Europe/London"),
        (one("timezone: ../../etc/passwd"), "is unknown"),
        (one("agent_channel: both"), "`agent_channel:` must be left or right, not both"),
        (one("mono_first_speaker: me"), "must be one of auto, agent, customer, not me"),
        (one("raw: mp3"), "`raw:` mp3 is not a format: use one of ulaw"),
        (one("raw: vox/8000/2"), "`raw:` vox can't have 2 channels"),
        (one("channel_roles: agent, client"), "`channel_roles:` agent, client are not roles"),
        (one("duplicates: drop"), "`duplicates:` must be one of link, process, refuse, not drop"),
        (one("lane: fast"), "`lane:` must be one of live, bulk, not fast"),
        (
            one("filename: '(?P<agent>[a-z'"),
            r"not a valid regular expression at character \d+ \(unterm",
        ),
        (one(r"filename: '\d+_.*'"), "`filename:` has no named groups"),
        (one("filename: '(?P<agent>a)(?!b)'"), "`filename:` uses look-ahead, which can take"),
        (one("day_folders: today"), "does not name folders by day"),
        (one("day_folders: '%Y/%m/%d/%H'"), "does not name folders by day"),
        (one("day_folders: '/%Y'"), "does not name folders by day"),
        (one("day_folders: '../%Y'"), "does not name folders by day"),
        ("sources: [{name: My calls, url: /calls}]", "lowercase letters, digits and underscores"),
        ("sources: [{name: calls, url: 'ftp://host/calls'}]", "ftp:// is not supported"),
        ("sources: [{name: calls, url: 's3:///calls'}]", "has no bucket"),
    ],
)
def test_errors_name_the_file_the_source_and_the_fix(tmp_path: Path, text: str, message: str):
    with pytest.raises(SettingsInvalid, match=message) as raised:
        read(tmp_path, text)
    assert "sources.yaml" in str(raised.value)


def test_errors_name_a_missing_or_binary_file(tmp_path: Path):
    with pytest.raises(SettingsInvalid, match=r"nowhere\.yaml: file not found"):
        read_sources(tmp_path / "nowhere.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(SettingsInvalid, match=r"binary\.yaml: cannot be read"):
        read_sources(tmp_path / "binary.yaml")


@pytest.mark.parametrize(
    ("url", "other", "inside"),
    [
        ("s3://a", "s3://a/", True),
        ("s3://a/b", "s3://a", True),
        ("s3://a", "s3://a/b", False),
        ("s3://ab", "s3://a", False),
        ("/a/b/../c", "file:///a/c", True),
        ("/a/bc", "/a/b", False),
        ("/a", "s3://a", False),
        ("s3://a//b/", "s3://a/b", True),
    ],
)
def test_a_location_is_within_itself_and_its_parents(url: str, other: str, inside: bool):
    assert is_within(url, other) is inside


def configured(settings: Settings, text: str, **others: object) -> Settings:
    file = settings.home.parent / "sources.yaml"
    file.write_text(text)
    return settings.model_copy(update={"sources": file, **others})


def test_without_a_file_the_settings_define_one_source(settings: Settings):
    chosen = settings.model_copy(update={"agent_channel": "right"})
    [source] = load_sources(chosen)
    url = str(settings.home / "recordings")
    assert source == Source("recordings", url, agent_channel="right")
    assert open_source(chosen, source).name == "recordings"


def test_the_setting_for_mono_holds_where_a_source_has_none(settings: Settings, tmp_path: Path):
    text = f"""
sources:
  - {{name: dialler, url: {tmp_path}/dialler, mono_first_speaker: customer}}
  - {{name: branches, url: {tmp_path}/branches}}
"""
    chosen = configured(settings, text)
    assert set(first_speakers(chosen).values()) == {Speaker.CUSTOMER, Speaker.UNKNOWN}
    assert first_speakers(chosen)["dialler"] is Speaker.CUSTOMER
    chosen = configured(settings, text, mono_first_speaker=MonoFirstSpeaker.AGENT)
    assert first_speakers(chosen)["dialler"] is Speaker.CUSTOMER
    assert first_speakers(chosen)["branches"] is Speaker.AGENT


def test_the_default_source_keeps_the_identity_of_older_ledgers(settings: Settings, tmp_path: Path):
    chosen = settings.model_copy(update={"recordings": str(tmp_path / "drop")})
    assert open_source(chosen, load_sources(chosen)[0]).name == "drop"
    text = f"sources: [{{name: recordings, url: {tmp_path}/drop/, timezone: Europe/London}}]"
    named = configured(chosen, text)
    [source] = load_sources(named)
    assert source.timezone == "Europe/London"
    assert open_source(named, source).name == "drop"


def test_the_default_source_comes_first(settings: Settings, tmp_path: Path):
    chosen = configured(settings, f"sources: [{{name: branches, url: {tmp_path}/x/recordings}}]")
    sources = load_sources(chosen)
    assert [source.name for source in sources] == ["recordings", "branches"]
    assert open_source(chosen, sources[1]).name == "branches"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{name: a, url: /x}, {name: a, url: /y}", "Two sources are named a: rename one"),
        ("{name: a, url: /x}, {name: b, url: /x/y}", "sources a and b share recordings"),
        ("{name: a, url: 's3://x/y'}, {name: b, url: 's3://x/'}", "a and b share recordings"),
        ("{name: a, url: DROP}", "sources recordings and a share recordings"),
        ("{name: drop, url: /x}", "recordings and drop would have the same bucket, drop: rename"),
        ("{name: a, url: HOME}", "CALLPIPELINE_STORAGE is inside the source a"),
    ],
)
def test_overlapping_sources_are_rejected(
    settings: Settings, tmp_path: Path, text: str, message: str
):
    text = text.replace("DROP", str(tmp_path / "drop")).replace("HOME", str(settings.home))
    others = {"recordings": str(tmp_path / "drop")}
    assert re.search(message, why_invalid(configured(settings, f"sources: [{text}]", **others)))


def why_invalid(settings: Settings) -> str:
    """Return the problems, or the error if the source for uploads is invalid itself."""
    try:
        assert load_sources(settings)
    except SettingsInvalid as error:
        return str(error)
    return " ".join(source_problems(settings))


def test_a_bad_source_is_left_out_and_the_others_remain(settings: Settings, tmp_path: Path):
    (tmp_path / "a").mkdir()
    text = f"""
sources:
  - {{name: good, url: {tmp_path}/a}}
  - {{name: bad, url: {tmp_path}/b, timezone: london}}
  - {{name: worse, url: {tmp_path}/c, filename: '(?P<agent>x)(?=y)'}}
  - {{name: inside, url: {tmp_path}/a/b}}
  - nonsense
"""
    chosen = configured(settings, text)
    assert [source.name for source in load_sources(chosen)] == ["recordings", "good"]
    problems = source_problems(chosen)
    assert len(problems) == 4
    for part in ("london is unknown", "look-ahead", "good and inside share", "must have fields"):
        assert part in " ".join(problems)


def test_of_an_unreadable_sources_file_the_source_for_uploads_remains(settings: Settings):
    chosen = configured(settings, "sources: [")
    assert [source.name for source in load_sources(chosen)] == ["recordings"]
    [problem] = source_problems(chosen)
    assert "invalid YAML" in problem


def test_calls_of_a_source_that_is_left_out_wait(settings: Settings):
    recordings = Recordings([open_source(settings, load_sources(settings)[0])], is_complete=False)
    with pytest.raises(StoreUnavailable, match="a source in CALLPIPELINE_SOURCES is invalid"):
        recordings.store("dialler")


@pytest.mark.parametrize(
    ("recordings", "storage", "message"),
    [
        ("s3://bucket/calls", "s3://bucket", "recordings is inside CALLPIPELINE_STORAGE"),
        ("s3://bucket", "s3://bucket/kept", "CALLPIPELINE_STORAGE is inside the source recordings"),
        ("s3://bucket/", "s3://bucket", "CALLPIPELINE_STORAGE is inside the source recordings"),
        (
            "s3://bucket//x",
            "s3://bucket/x/",
            "CALLPIPELINE_STORAGE is inside the source recordings",
        ),
        ("/srv/kept/calls", "/srv/kept", "recordings is inside CALLPIPELINE_STORAGE"),
        ("/srv/kept", "/srv/x/../kept", "CALLPIPELINE_STORAGE is inside the source recordings"),
    ],
)
def test_a_source_that_overlaps_the_results_store_is_rejected(
    settings: Settings, recordings: str, storage: str, message: str
):
    chosen = settings.model_copy(update={"recordings": recordings, "storage": storage})
    with pytest.raises(SettingsInvalid, match=message):
        load_sources(chosen)


@pytest.mark.parametrize("storage", ["s3://bucket/storage", "s3://bucket/recordings2"])
def test_a_source_next_to_the_results_store_is_accepted(settings: Settings, storage: str):
    update = {"recordings": "s3://bucket/recordings", "storage": storage}
    assert load_sources(settings.model_copy(update=update))


def test_only_folders_in_the_home_are_created(settings: Settings, tmp_path: Path):
    chosen = configured(settings, f"sources: [{{name: branches, url: {tmp_path}/share/calls}}]")
    for source in load_sources(chosen):
        open_source(chosen, source)
    open_results_store(chosen)
    assert (settings.home / "recordings").is_dir()
    assert (settings.home / "storage").is_dir()
    assert not (tmp_path / "share").exists()


def test_broken_locations_fail_only_when_used(settings: Settings, tmp_path: Path):
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to("circle")
    update = {"recordings": f"{tmp_path}/file/calls", "storage": f"{tmp_path}/file/kept"}
    text = f"sources: [{{name: branches, url: {tmp_path}/circle}}]"
    chosen = configured(settings.model_copy(update=update), text)
    stores = [open_source(chosen, source) for source in load_sources(chosen)]
    for store in (*stores, open_results_store(chosen)):
        with pytest.raises(StoreUnavailable, match="does not exist"):
            store.read("a.wav")


def all_recordings(settings: Settings) -> Recordings:
    return Recordings(open_source(settings, source) for source in load_sources(settings))


def test_recordings_are_found_by_their_bucket(settings: Settings, tmp_path: Path):
    chosen = configured(settings, f"sources: [{{name: branches, url: {tmp_path}/branches}}]")
    for source in load_sources(chosen):
        open_source(chosen, source).put("a.wav", source.name.encode())
    recordings = all_recordings(chosen)
    for bucket in ("recordings", "branches"):
        assert recordings.read(bucket, "a.wav") == bucket.encode()
        assert recordings.exists(bucket, "a.wav")
        assert not recordings.exists(bucket, "b.wav")
        recordings.fetch(recordings.store(bucket).recording("a.wav"), tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == bucket.encode()


def test_a_replaced_recording_is_not_fetched(settings: Settings, tmp_path: Path):
    recordings = all_recordings(settings)
    store = open_source(settings, load_sources(settings)[0])
    store.put("a.wav", b"one")
    one = store.recording("a.wav")
    store.put("a.wav", b"another")
    with pytest.raises(MissingObject, match="replaced"):
        recordings.fetch(one, tmp_path / "back")


def test_a_recording_of_a_removed_source_asks_to_add_it_again(settings: Settings):
    recordings = all_recordings(settings)
    with pytest.raises(MissingObject, match="came from branches.*add it to"):
        recordings.read("branches", "a.wav")


def test_each_source_may_mask_other_numbers_than_the_settings(tmp_path: Path):
    file = tmp_path / "sources.yaml"
    entries = {"cards": "[card, bank]", "sales": "off", "other": ""}
    lines = [
        f"  - {{name: {name}, url: ./{name}{f', redact: {kinds}' if kinds else ''}}}"
        for name, kinds in entries.items()
    ]
    file.write_text("\n".join(["sources:", *lines]))
    settings = Settings(
        home=tmp_path / "data",
        sources=file,
        redact=(Kind.EMAIL,),
        redact_regions=("DE",),
        _env_file=None,  # pyright: ignore[reportCallIssue]
    )
    found = {bucket: policy.kinds for bucket, policy in redaction_policies(settings).items()}
    assert {policy.regions for policy in redaction_policies(settings).values()} == {("DE",)}
    assert found == {
        "recordings": {Kind.EMAIL},
        "announced/": {Kind.EMAIL},
        "imported/": {Kind.CARD, Kind.BANK, Kind.EMAIL},
        "cards": {Kind.CARD, Kind.BANK},
        "sales": set(),
        "other": {Kind.EMAIL},
    }
