"""Reading the places where recordings arrive, and what is said of a list that cannot be used."""

from pathlib import Path

import pytest

from callpipeline.config import Settings
from callpipeline.domain.call import DuplicatePolicy, Lane
from callpipeline.domain.source import Source
from callpipeline.errors import MissingObject, SettingsInvalid, StoreUnavailable
from callpipeline.storage.recordings import Recordings
from callpipeline.storage.sources_file import lies_in, read_sources
from callpipeline.wiring import load_sources, open_results_store, open_source


def read(folder: Path, text: str) -> tuple[Source, ...]:
    file = folder / "sources.yaml"
    file.write_text(text, encoding="utf-8")
    return read_sources(file)


def test_a_source_is_a_name_a_url_and_what_differs_from_the_rest(tmp_path: Path):
    text = r"""
sources:
  - name: contact_centre
    url: s3://calls/uk/
    filename: 'AGENT_(?P<agent>[^_]+)_DT_(?P<started_at>[0-9T-]+)'
    timezone: Europe/London
    agent_channel: right
    duplicates: process
    lane: bulk
    day_folders: '%Y/%m/%d'
  - name: branches
    url: branches/recordings
  - {name: archive, url: /srv/archive, lane: }
"""
    centre, branches, archive = read(tmp_path, text)
    assert centre == Source(
        name="contact_centre",
        url="s3://calls/uk/",
        filename="AGENT_(?P<agent>[^_]+)_DT_(?P<started_at>[0-9T-]+)",
        timezone="Europe/London",
        agent_channel="right",
        duplicates=DuplicatePolicy.PROCESS,
        lane=Lane.BULK,
        day_folders="%Y/%m/%d",
    )
    assert branches == Source("branches", str(tmp_path / "branches/recordings"))
    assert archive == Source("archive", "/srv/archive")


def test_an_empty_list_has_no_sources(tmp_path: Path):
    assert read(tmp_path, "sources:\n") == ()


def one(field: str) -> str:
    return f"sources:\n  - name: calls\n    url: /calls\n    {field}\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("places: []", "must hold the one key `sources:`"),
        ("sources: calls", "must hold the one key `sources:`"),
        ("", "must hold the one key `sources:`"),
        ("sources: [calls", "is not YAML .line 1"),
        ("sources: [calls]", r"source 1 \(without a name\): must have fields"),
        ("sources: [{url: /calls}]", r"source 1 \(without a name\): has no name: add `name:`"),
        ("sources: [{name: calls}]", r"source 1 \(calls\): has no url"),
        (one("folder: x"), r"source 1 \(calls\): unknown field folder: use name, url, filename"),
        (one("timezone: 3"), "`timezone:` must be text: put 3 in"),
        (one("timezone: ''"), "`timezone:` is empty"),
        (one("timezone: london"), "`timezone:` london is not known: did you mean Europe/London"),
        (one("timezone: Mars/Base"), "Mars/Base is not known: write for example Europe/London"),
        (one("timezone: ../../etc/passwd"), "is not known"),
        (one("agent_channel: both"), "`agent_channel:` must be left or right, not both"),
        (one("duplicates: drop"), "`duplicates:` must be one of link, process, refuse, not drop"),
        (one("lane: fast"), "`lane:` must be one of live, bulk, not fast"),
        (one("filename: '(?P<agent>[a-z'"), r"no regular expression at character \d+ \(unterm"),
        (one(r"filename: '\d+_.*'"), "`filename:` names nothing"),
        (one("day_folders: today"), "does not name folders after days"),
        (one("day_folders: '%Y/%m/%d/%H'"), "does not name folders after days"),
        (one("day_folders: '/%Y'"), "does not name folders after days"),
        (one("day_folders: '../%Y'"), "does not name folders after days"),
        ("sources: [{name: My calls, url: /calls}]", "small letters, digits and underscores"),
        ("sources: [{name: calls, url: 'ftp://host/calls'}]", "ftp:// is no place for objects"),
        ("sources: [{name: calls, url: 's3:///calls'}]", "names no bucket"),
    ],
)
def test_a_faulty_list_names_the_file_the_source_and_what_to_do(
    tmp_path: Path, text: str, complaint: str
):
    with pytest.raises(SettingsInvalid, match=complaint) as refusal:
        read(tmp_path, text)
    assert "sources.yaml" in str(refusal.value)


def test_a_missing_or_binary_file_is_refused_by_name(tmp_path: Path):
    with pytest.raises(SettingsInvalid, match=r"nowhere\.yaml: there is no such file"):
        read_sources(tmp_path / "nowhere.yaml")
    (tmp_path / "sound.yaml").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(SettingsInvalid, match=r"sound\.yaml: cannot be read"):
        read_sources(tmp_path / "sound.yaml")


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
def test_a_place_lies_in_itself_and_in_what_is_above_it(url: str, other: str, inside: bool):
    assert lies_in(url, other) is inside


def configured(settings: Settings, text: str, **others: object) -> Settings:
    file = settings.home.parent / "sources.yaml"
    file.write_text(text)
    return settings.model_copy(update={"sources": file, **others})


def test_without_a_list_there_is_the_one_source_of_the_settings(settings: Settings):
    chosen = settings.model_copy(update={"agent_channel": "right"})
    [source] = load_sources(chosen)
    url = str(settings.home / "recordings")
    assert source == Source("recordings", url, agent_channel="right")
    assert open_source(chosen, source).name == "recordings"


def test_the_default_source_keeps_the_identity_of_older_ledgers(settings: Settings, tmp_path: Path):
    chosen = settings.model_copy(update={"recordings": str(tmp_path / "drop")})
    assert open_source(chosen, load_sources(chosen)[0]).name == "drop"
    text = f"sources: [{{name: recordings, url: {tmp_path}/drop/, timezone: Europe/London}}]"
    named = configured(chosen, text)
    [source] = load_sources(named)
    assert source.timezone == "Europe/London"
    assert open_source(named, source).name == "drop"


def test_the_default_source_stays_beside_others_and_is_the_first(
    settings: Settings, tmp_path: Path
):
    chosen = configured(settings, f"sources: [{{name: branches, url: {tmp_path}/x/recordings}}]")
    sources = load_sources(chosen)
    assert [source.name for source in sources] == ["recordings", "branches"]
    assert open_source(chosen, sources[1]).name == "branches"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{name: a, url: /x}, {name: a, url: /y}", "Two sources are named a: rename one"),
        ("{name: a, url: /x}, {name: b, url: /x/y}", "sources a and b share recordings"),
        ("{name: a, url: 's3://x/y'}, {name: b, url: 's3://x/'}", "a and b share recordings"),
        ("{name: a, url: DROP}", "sources recordings and a share recordings"),
        ("{name: drop, url: /x}", "recordings and drop would have the same bucket, drop: rename"),
        ("{name: a, url: HOME}", "CALLPIPELINE_STORAGE lies in the source a"),
    ],
)
def test_sources_that_would_mix_are_refused(
    settings: Settings, tmp_path: Path, text: str, complaint: str
):
    text = text.replace("DROP", str(tmp_path / "drop")).replace("HOME", str(settings.home))
    others = {"recordings": str(tmp_path / "drop")}
    with pytest.raises(SettingsInvalid, match=complaint):
        load_sources(configured(settings, f"sources: [{text}]", **others))


@pytest.mark.parametrize(
    ("recordings", "storage", "complaint"),
    [
        ("s3://bucket/calls", "s3://bucket", "recordings lies in CALLPIPELINE_STORAGE"),
        ("s3://bucket", "s3://bucket/kept", "CALLPIPELINE_STORAGE lies in the source recordings"),
        ("s3://bucket/", "s3://bucket", "CALLPIPELINE_STORAGE lies in the source recordings"),
        ("s3://bucket//x", "s3://bucket/x/", "CALLPIPELINE_STORAGE lies in the source recordings"),
        ("/srv/kept/calls", "/srv/kept", "recordings lies in CALLPIPELINE_STORAGE"),
        ("/srv/kept", "/srv/x/../kept", "CALLPIPELINE_STORAGE lies in the source recordings"),
    ],
)
def test_a_source_in_the_store_of_results_or_around_it_is_refused(
    settings: Settings, recordings: str, storage: str, complaint: str
):
    chosen = settings.model_copy(update={"recordings": recordings, "storage": storage})
    with pytest.raises(SettingsInvalid, match=complaint):
        load_sources(chosen)


@pytest.mark.parametrize("storage", ["s3://bucket/storage", "s3://bucket/recordings2"])
def test_a_source_beside_the_store_of_results_is_fine(settings: Settings, storage: str):
    update = {"recordings": "s3://bucket/recordings", "storage": storage}
    assert load_sources(settings.model_copy(update=update))


def test_the_folders_of_the_home_are_made_and_those_of_other_sources_are_not(
    settings: Settings, tmp_path: Path
):
    chosen = configured(settings, f"sources: [{{name: branches, url: {tmp_path}/share/calls}}]")
    for source in load_sources(chosen):
        open_source(chosen, source)
    open_results_store(chosen)
    assert (settings.home / "recordings").is_dir()
    assert (settings.home / "storage").is_dir()
    assert not (tmp_path / "share").exists()


def test_places_that_cannot_be_made_or_are_broken_are_opened_all_the_same(
    settings: Settings, tmp_path: Path
):
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to("circle")
    update = {"recordings": f"{tmp_path}/file/calls", "storage": f"{tmp_path}/file/kept"}
    text = f"sources: [{{name: branches, url: {tmp_path}/circle}}]"
    chosen = configured(settings.model_copy(update=update), text)
    stores = [open_source(chosen, source) for source in load_sources(chosen)]
    for store in (*stores, open_results_store(chosen)):
        with pytest.raises(StoreUnavailable, match="is not there"):
            store.read("a.wav")


def all_recordings(settings: Settings) -> Recordings:
    return Recordings(open_source(settings, source) for source in load_sources(settings))


def test_recordings_are_found_in_the_bucket_they_came_from(settings: Settings, tmp_path: Path):
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


def test_a_recording_that_was_replaced_is_not_fetched(settings: Settings, tmp_path: Path):
    recordings = all_recordings(settings)
    store = open_source(settings, load_sources(settings)[0])
    store.put("a.wav", b"one")
    one = store.recording("a.wav")
    store.put("a.wav", b"another")
    with pytest.raises(MissingObject, match="replaced"):
        recordings.fetch(one, tmp_path / "back")


def test_a_recording_whose_source_is_gone_says_to_put_it_back(settings: Settings):
    recordings = all_recordings(settings)
    with pytest.raises(MissingObject, match="came from branches.*put that source back"):
        recordings.read("branches", "a.wav")
