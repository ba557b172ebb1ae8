"""Documents of tools that keep words, sentences, channels and speakers in different places.

`arrange` returns a document with a list of words or lines that have all of it; documents of any
other shape are returned unchanged.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from callpipeline.engines.transcribe.supplied import fields as f

MAX_DEPTH = 5
_PUNCTUATION = ("punctuation", "punct")
_NO_WORDS = ("spacing", "audio_event")
_PEOPLE = ("participants", "speakerlabels", "speakers", "speakermap")
_WIDE = ("numberofchannels", "audiochannels", "channels", "channelcount", "mediachannels")

Fields = dict[str, Any]


def arrange(document: Any, depth: int = 0) -> Any:
    """Return the words or lines of a tool's document in one list, else the document."""
    if depth > MAX_DEPTH:
        return document
    if isinstance(document, list):
        parts = [arrange(each, depth + 1) for each in cast("list[Any]", document)]
        return parts[0] if len(parts) == 1 else parts
    if not isinstance(document, Mapping):
        return document
    fields = f.folded(cast("f.Document", document))
    for reader in _READERS:
        found = reader(fields)
        if found is not None:
            name = "words" if reader in _OF_WORDS else "lines"
            return {name: [each for each in found if each]}
    for name in ("results", "data", "response", "result", "output", "body"):
        inner = fields.get(name)
        if isinstance(inner, list | Mapping):
            arranged = arrange(inner, depth + 1)
            # The only element of a list, as it was, is not the whole document.
            is_as_it_was = isinstance(inner, list) and inner and arranged is inner[0]
            if arranged is not inner and isinstance(arranged, Mapping) and not is_as_it_was:
                return cast("Any", arranged)
    return cast("Any", document)


def people(document: Any, depth: int = 0) -> dict[str, str]:
    """Return the role or name of each speaker that the document lists by an identifier."""
    found: dict[str, str] = {}
    if depth > MAX_DEPTH or not isinstance(document, Mapping):
        return found
    fields = f.folded(cast("f.Document", document))
    for name in _PEOPLE:
        for person in _objects(fields.get(name)):
            names = ("participantrole", "role", "purpose", "displaytext", "displayname", "name")
            called = next((person[each] for each in names if person.get(each)), None)
            ids = ("participantid", "speaker", "speakerid", "speakerlabel", "id", "label")
            for key in ids:
                if isinstance(called, str) and isinstance(person.get(key), str | int):
                    found.setdefault(str(person[key]), called)
    for inner in fields.values():
        if isinstance(inner, Mapping):
            found = people(inner, depth + 1) | found
    return found


def channel_count(document: Any, depth: int = 0) -> int:
    """Return how many channels a document says there are, 0 if it doesn't."""
    if depth > MAX_DEPTH or not isinstance(document, Mapping):
        return 0
    fields = f.folded(cast("f.Document", document))
    counts = [channel_count(inner, depth + 1) for inner in fields.values()]
    for name in (*_WIDE, "combinedrecognizedphrases", "combinedphrases"):
        value = fields.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            counts.append(value)
        elif isinstance(value, list):
            counts.append(len(cast("list[Any]", value)))
    return max(counts, default=0)


def _objects(value: Any) -> list[Fields]:
    """Return the objects of a list by their folded names; empty for anything else."""
    if not isinstance(value, list):
        return []
    listed = cast("list[Any]", value)
    return [f.folded(each) for each in listed if isinstance(each, Mapping)]


def _items(fields: Fields) -> Iterator[Fields] | None:
    """Words of AWS Transcribe, by channel or with speakers, and of Speechmatics."""
    labels = fields.get("channellabels")
    channels = _objects(f.folded(labels).get("channels")) if isinstance(labels, Mapping) else []
    if channels:
        speakers = _speakers_by_start(fields)
        return (
            word
            for channel in channels
            for word in _punctuated(
                _objects(channel.get("items")), f.channel_label(channel)[0], speakers
            )
        )
    items = _objects(fields.get("items")) or _objects(fields.get("results"))
    if any(_is_item(each) for each in items):
        return _punctuated(items, None, _speakers_by_start(fields))
    if fields.get("items") == [] and "transcripts" in fields:
        return iter(())
    return None


def _is_item(item: Fields) -> bool:
    return item.get("type") in ("pronunciation", "punctuation", "word") and "alternatives" in item


def _speakers_by_start(fields: Fields) -> dict[str, str]:
    labels = fields.get("speakerlabels")
    segments = _objects(f.folded(labels).get("segments")) if isinstance(labels, Mapping) else []
    speakers: dict[str, str] = {}
    for segment in segments:
        for item in _objects(segment.get("items")):
            label = f.speaker_label(item) or f.speaker_label(segment)
            if label is not None:
                speakers[str(item.get("starttime"))] = label
    return speakers


def _punctuated(
    items: Sequence[Fields], channel: str | None, speakers: Mapping[str, str]
) -> Iterator[Fields]:
    """Yield the words; marks without times are part of the word before."""
    word: Fields | None = None
    for item in items:
        best = f.best_alternative(item) or item
        text = f.text_of_fields(best) or ""
        if item.get("type") in _PUNCTUATION:
            if word is not None:
                word["word"] += text.strip()
            continue
        if item.get("type") in _NO_WORDS:
            continue
        if word is not None:
            yield word
        speaker = speakers.get(str(item.get("starttime"))) or f.speaker_label(item)
        word = item | {"word": text, "confidence": best.get("confidence")}
        word = {name: value for name, value in word.items() if name != "alternatives"}
        word["speaker"] = speaker or f.speaker_label(best)
        word["channel"] = channel or f.channel_label(item)[0]
    if word is not None:
        yield word


def _channels(fields: Fields) -> Iterator[Fields] | None:
    """Utterances of Deepgram, else the words of its channels."""
    channels = _objects(fields.get("channels"))
    if not any("alternatives" in channel for channel in channels):
        return None
    utterances = _objects(fields.get("utterances"))
    is_mono = len(channels) < 2
    if utterances:
        return (each | ({"channel": None} if is_mono else {}) for each in utterances)
    return _channel_lines(channels, is_mono=is_mono)


def _channel_lines(channels: Sequence[Fields], *, is_mono: bool) -> Iterator[Fields]:
    for number, channel in enumerate(channels):
        best = f.best_alternative(channel) or {}
        label = None if is_mono else number
        yield from _runs(_objects(best.get("words")), {"channel": label})


def _runs(words: Sequence[Fields], about: Fields) -> Iterator[Fields]:
    """Yield a line for each sentence, pause and speaker in the words."""
    line: list[Fields] = []
    for word in words:
        text = f.text_of_fields(word) or ""
        if line:
            last = line[-1]
            gap_s = (f.start_of(word, "words") or 0.0) - (f.end_of(last, 0.0, "words") or 0.0)
            is_over = (f.text_of_fields(last) or "").endswith((".", "?", "!")) or gap_s > 0.7
            if is_over or f.speaker_label(word) != f.speaker_label(last):
                yield _line(line, about)
                line = []
        if text.strip():
            line.append(word)
    if line:
        yield _line(line, about)


def _line(words: Sequence[Fields], about: Fields) -> Fields:
    text = " ".join((f.text_of_fields(word) or "").strip() for word in words)
    start_s = f.start_of(words[0], "words")
    end_s = f.end_of(words[-1], f.start_of(words[-1], "words"), "words")
    speaker = f.speaker_label(words[0])
    line = {"text": text, "start": start_s, "end": end_s, "words": list(words)}
    return line | ({"speaker": speaker} if speaker else {}) | about


def _results(fields: Fields) -> Iterator[Fields] | None:
    """Results of Google and IBM: each has alternatives with a text and perhaps words."""
    results = _objects(fields.get("results"))
    bests = [(result, f.best_alternative(result)) for result in results]
    if not any(best and ("transcript" in best or "words" in best) for _, best in bests):
        return None
    found = [(result, best) for result, best in bests if best is not None]
    labels = _objects(fields.get("speakerlabels"))
    return _result_lines(_without_repeats(found), labels)


def _without_repeats(found: list[tuple[Fields, Fields]]) -> list[tuple[Fields, Fields]]:
    """Keep only the last result if it repeats the words of all others, with their speakers."""
    words = [own for _, best in found if (own := _objects(best.get("words")))]
    if len(words) < 2 or not any(map(_speaker_of_word, words[-1])):
        return found
    texts = [f.text_of_fields(word) for own in words[:-1] for word in own]
    is_repeated = [f.text_of_fields(word) for word in words[-1][: len(texts)]] == texts
    return found[-1:] if is_repeated else found


def _speaker_of_word(word: Fields) -> str | None:
    label = f.speaker_label(word)
    return None if label in ("0", "") and "speakertag" in word else label


def _result_lines(
    found: Sequence[tuple[Fields, Fields]], labels: Sequence[Fields]
) -> Iterator[Fields]:
    ends_s: dict[str | None, float] = {}
    last_s = 0.0
    for result, best in found:
        words = _objects(best.get("words")) or _triples(best.get("timestamps"), labels)
        channel = f.channel_label(result)[0]
        about = {name: result[name] for name in f.CHANNEL if name in result}
        end_s = _end_of_result(result)
        if any(_speaker_of_word(word) for word in words):
            for word in words:
                word["speaker"] = _speaker_of_word(word)
                word.pop("speakertag", None)
            yield from _runs(words, about)
            continue
        start_s = f.start_of(words[0], "words") if words else None
        if start_s is None:
            # Known is only the end, so the line follows the one before on its channel.
            start_s = ends_s.get(channel, 0.0) if end_s is not None else last_s
        if words and end_s is None:
            end_s = f.end_of(words[-1], start_s, "words")
        text = best.get("transcript") or " ".join(f.text_of_fields(w) or "" for w in words)
        yield {"text": text, "start": start_s, "end": end_s, "words": words} | about
        ends_s[channel] = last_s = max(end_s or start_s, start_s)


def _end_of_result(result: Fields) -> float | None:
    for name in ("resultendtime", "resultendoffset"):
        if name in result:
            return f.seconds(result[name], f"results.{name}")
    return None


def _triples(timestamps: Any, labels: Sequence[Fields]) -> list[Fields]:
    """Return words given as [text, start, end], with the speaker who speaks at their start."""
    if not isinstance(timestamps, list):
        return []
    speakers = {str(each.get("from")): f.speaker_label(each) for each in labels}
    return [
        {"word": each[0], "start": each[1], "end": each[2], "speaker": speakers.get(str(each[1]))}
        for each in cast("list[Any]", timestamps)
        if isinstance(each, list) and len(cast("list[Any]", each)) == 3
    ]


def _recognized(fields: Fields) -> Iterator[Fields] | None:
    """Recognised phrases of Azure: the best of several readings, with words in it."""
    if not isinstance(fields.get("recognizedphrases"), list):
        return None
    phrases = _objects(fields["recognizedphrases"])
    return (
        {name: value for name, value in phrase.items() if name != "nbest"}
        | {"words": best.get("displaywords") or best.get("words") or []}
        | {"text": best.get("display") or best.get("lexical") or ""}
        for phrase in phrases
        if (best := f.best_alternative(phrase)) is not None
        and phrase.get("recognitionstatus", "Success") in ("Success", 0)
    )


def _monologues(fields: Fields) -> Iterator[Fields] | None:
    """Words of monologues, whose punctuation is in elements of their own."""
    if not isinstance(fields.get("monologues"), list):
        return None
    return (
        word
        for monologue in _objects(fields["monologues"])
        for word in _punctuated(
            [
                each | {"speaker": f.speaker_label(monologue)}
                for each in _objects(monologue.get("elements"))
                if (f.text_of_fields(each) or "").strip() and each.get("type") != "unknown"
            ],
            None,
            {},
        )
    )


def _events(fields: Fields) -> Iterator[Fields] | None:
    """Captions of YouTube in JSON: events with pieces of text."""
    events = _objects(fields.get("events"))
    if not any("segs" in event for event in events):
        return None
    return (
        {
            "text": "".join(str(piece.get("utf8", "")) for piece in _objects(event["segs"])),
            "startms": event.get("tstartms"),
            "durationms": event.get("ddurationms"),
        }
        for event in events
        if "segs" in event
    )


_Reader = Callable[[Fields], Iterator[Fields] | None]
_READERS: tuple[_Reader, ...] = (_items, _channels, _results, _recognized, _monologues, _events)
_OF_WORDS: tuple[_Reader, ...] = (_items, _monologues)
