"""Detection of prompt injections, which are hidden from the language model.

A list of phrases cannot detect all of them: see docs/decisions/0018. Phrases match text in lower
case without punctuation, accents and apostrophes, with single spaces. None of them may occur in a
conversation between people: "follow the instructions in the letter", "they gave me negative
feedback" and "the quote they sent" are ordinary.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, pairwise

from callpipeline.domain.competitors.disambiguation.vocabulary import word_set
from callpipeline.engines.sentiment.transcript_lines import (
    LineToken,
    MentionPosition,
    TranscriptLine,
    fold,
)

TokenId = tuple[int, int]
"""The numbers of a line and of a token in it."""

_LOOKALIKES = str.maketrans(
    "авеіӏјкмнорѕтухсԁɡһղοαερτυνικηωɑıⅼ", "abeiijkmhopstyxcdghnoaeptuvikhwail"
)
_AS_LETTERS = str.maketrans("013457@$!", "oieastasi")
_MARKUP = re.compile(
    r"<\||\|>|\[/?INST|<</?SYS|```|</|<\w+|\{\"|\"\}|\{'|\":|\]\]>|\{\{|\}\}|^#{2,}|!\[|\]\("
)
_DIGITS_AS_LETTERS = re.compile(r"(?<=[a-z])[013457@$!]+(?=[a-z])|(?<!\w)[013457@$]+(?=[a-z]{2})")
_ENCODED = re.compile(r"[A-Za-z0-9+/_=-]{16,}")
_MIN_SPELLED_LETTERS = 4
_MACHINE_TEXT = "\0"
"""Form of a token with markup or encoded text."""


def find_injections(
    lines: Sequence[TranscriptLine], positions: Mapping[str, MentionPosition]
) -> frozenset[TokenId]:
    """Return the tokens to hide.

    An injection is hidden from its first token to the end of its line, with the tokens before it in
    the line unless they contain a mention, and with the rest of the segment up to the next line
    that contains one.
    """
    mentions: dict[int, list[MentionPosition]] = {}
    for position in positions.values():
        mentions.setdefault(position.line, []).append(position)
    hidden: set[TokenId] = set()
    for first, last in _injections(lines):
        hidden.update(_injection_tokens(lines, first, last, mentions))
        hidden.update(_rest_of_segment(lines, last[0], mentions))
    return frozenset(hidden)


def _injection_tokens(
    lines: Sequence[TranscriptLine],
    first: TokenId,
    last: TokenId,
    mentions: Mapping[int, Sequence[MentionPosition]],
) -> Iterator[TokenId]:
    """Yield the tokens of an injection in every line that it spans."""
    for number in range(first[0], last[0] + 1):
        starts_here = number == first[0]
        is_after_mention = starts_here and any(
            position.last < first[1] for position in mentions.get(number, ())
        )
        start = first[1] if is_after_mention else 0
        yield from ((number, at) for at in range(start, len(lines[number].tokens)))


def _rest_of_segment(
    lines: Sequence[TranscriptLine], number: int, mentions: Mapping[int, Sequence[MentionPosition]]
) -> Iterator[TokenId]:
    line = lines[number]
    for after in range(number + 1, len(lines)):
        next_line = lines[after]
        segment = (next_line.channel, next_line.segment_index)
        if segment != (line.channel, line.segment_index) or after in mentions:
            return
        yield from ((after, at) for at in range(len(next_line.tokens)))


def _injections(lines: Sequence[TranscriptLine]) -> Iterator[tuple[TokenId, TokenId]]:
    """Yield first and last token of each injection, including those across lines and speakers."""
    all_numbers = range(len(lines))
    yield from _matches_in(lines, all_numbers)
    channels = {line.channel for line in lines}
    if len(channels) > 1:
        for channel in channels:
            yield from _matches_in(lines, [n for n in all_numbers if lines[n].channel is channel])


def _matches_in(
    lines: Sequence[TranscriptLine], numbers: Iterable[int]
) -> Iterator[tuple[TokenId, TokenId]]:
    words = [
        (form, (number, at))
        for number in numbers
        for at, token in enumerate(lines[number].tokens)
        for form in _forms(token)
    ]
    for number, at in {token for form, token in words if form == _MACHINE_TEXT}:
        yield (number, at), (number, at)
    words = [word for word in words if word[0] != _MACHINE_TEXT]
    text = " ".join(form for form, _ in words)
    starts = list(accumulate((len(form) + 1 for form, _ in words), initial=0))
    line_ends = {starts[i + 1] - 1 for i in range(len(words)) if _ends_line(words, i)}
    for start, end in _spans(text, line_ends):
        first, last = (bisect_right(starts, edge) - 1 for edge in (start, end - 1))
        yield words[first][1], words[last][1]
    yield from _spelled(words)


def _ends_line(words: Sequence[tuple[str, TokenId]], at: int) -> bool:
    return at + 1 == len(words) or words[at + 1][1][0] != words[at][1][0]


def _spans(text: str, line_ends: set[int]) -> Iterator[tuple[int, int]]:
    for pattern in (INJECTIONS, FOREIGN_INJECTIONS, UNSPACED_INJECTIONS):
        for match in pattern.finditer(text):
            if not (pattern is INJECTIONS and _is_report(text, match)):
                yield match.span()
    for match in BARE_COMMANDS.finditer(text):
        if match.end() in line_ends and not _is_report(text, match):
            yield match.span()


def _is_report(text: str, match: re.Match[str]) -> bool:
    """Return True if the match is a statement of the speaker and not a command."""
    if not BARE_COMMANDS.match(match[0]):
        return False
    before = text[max(match.start() - 60, 0) : match.start()].split()[-3:]
    return bool(REPORTING_WORDS.intersection(before) or DETERMINERS.intersection(before[-1:]))


def _spelled(words: Sequence[tuple[str, TokenId]]) -> Iterator[tuple[TokenId, TokenId]]:
    """Yield injections that are spelled letter by letter."""
    run: list[tuple[str, TokenId]] = []
    for word in [*words, ("..", (-1, -1))]:
        if len(word[0]) == 1:
            run.append(word)
            continue
        if len(run) >= _MIN_SPELLED_LETTERS and UNSPACED_INJECTIONS.search(
            "".join(f for f, _ in run)
        ):
            yield run[0][1], run[-1][1]
        run = []


def _forms(token: LineToken) -> list[str]:
    """Return the words of a token with look-alike letters and digits replaced."""
    if _MARKUP.search(token.text) or any(map(_is_encoded, _ENCODED.findall(token.text))):
        return [_MACHINE_TEXT]
    bare = fold(token.text)
    if any("a" <= letter <= "z" for letter in bare):
        bare = bare.translate(_LOOKALIKES)
        if any(letter.isalpha() for letter in bare) and not re.fullmatch(r"\W*\d+\w?\w?\W*", bare):
            bare = _DIGITS_AS_LETTERS.sub(_letters_of, bare)
    return re.findall(r"\w+", re.sub(r"['’‘`´ʼ]", "", bare).replace("_", " "))


def _letters_of(digits: re.Match[str]) -> str:
    return digits[0].translate(_AS_LETTERS)


def _is_encoded(text: str) -> bool:
    """Return True for base64 and hexadecimal text, judged by its mix of letters and digits."""
    kinds = (str.isupper, str.islower, str.isdigit)
    is_mixed = all(any(kind(letter) for letter in text) for kind in kinds)
    switches = sum(a.islower() and b.isupper() for a, b in pairwise(text))
    is_hex = (
        len(text) >= 24 and not re.search(r"[^0-9a-fA-F]", text) and any(map(str.isdigit, text))
    )
    return is_hex or (is_mixed and switches >= 2) or switches >= 4


def compile_phrases(text: str) -> re.Pattern[str]:
    """Compile one pattern per line into one; `…3` is up to three words, `…` up to six.

    A line that ends in `|` continues on the next line.
    """
    lines = re.sub(r"\|\s*\n\s*", "|", text).split("\n")
    lines = [line.strip() for line in lines if line.strip()]
    spaced = (re.sub(r" …(\d?) ", lambda gap: rf" (?:\S+ ){{0,{gap[1] or 6}}}?", x) for x in lines)
    return re.compile("|".join(rf"(?<!\S)(?:{line})(?!\S)" for line in spaced))


_MACHINE = (
    r"(?:ai|a i|language model|llm|chatgpt|chat gpt|gpt\S*|chatbot|bot|robot|model|classifier|"
    r"algorithm|judge|evaluator|annotator|summari[sz]er|transcriber|virtual assistant|ai assistant)"
)
_LABEL = r"(?:positive|negative|neutral|mixed|unsure)"
_RULES = (
    r"(?:instructions?|prompts?|guidelines?|directives?|programming|system message|constraints|"
    r"your rules|(?:the|all|previous|prior|your|above|these) rules|your training|your task|"
    r"your orders|everything above|text above|above text)"
)
_JUDGING = (
    r"(?:say|answer|output|respond|reply|return|print|mark|label|rate|classify|judge|score|tag|"
    r"categori[sz]e|grade|treat)"
)
_FORMAT = (
    r"(?:json|html|markdown|xml|yaml|csv|base64|hyperlink|image tag|iframe|script tag|code block|"
    r"poem|haiku|emojis?)"
)

INJECTIONS = compile_phrases(rf"""
    (?:ignore|ignoring|disregard|disregarding|forget|override|overrule|bypass|discard|
        neglect) … {_RULES}
    (?:do not|dont|never|stop|quit) (?:follow|following|obey|obeying|apply|applying) … {_RULES}
    pay no attention to … {_RULES}
    (?:ignore|disregard|forget) (?:everything|anything|all|all of that|whatever) …3 (?:before|
        above|told|so far|previously)
    (?:hey|dear|hello|attention|listen|note to|note for|message to|message for|
        memo to) …3 {_MACHINE}
    (?:instructions?|orders?|command|commands|task) (?:to|for) …2 {_MACHINE}
    (?:you are|youre|you re) (?:not )?(?:now )?(?:a |an |the |my |just )?(?:\S+ )?{_MACHINE}
    if you are …3 {_MACHINE}
    (?:you are|youre) now (?:an? |the )?(?:\S+ )?(?:assistant|dan|mode|admin|unrestricted|free|in)
    act as (?:an? |the |my )?(?:\S+ )?(?:{_MACHINE}|assistant|dan|reviewer|fan|spokesman|salesman)
    (?:pretend|roleplay|role play|imagine) (?:that )?(?:you are|youre|to be)
    as (?:the|your|an?) (?:system |database |chief |senior |site )?(?:administrator|admin|
        developer|engineer|supervisor|auditor) … (?:i order|i command|i instruct|i authori[sz]e|
        i require|you must|you will|you are to|set|mark|change|rate)
    (?:system|developer|admin|administrator|root) (?:prompt|override|instructions?|command|
        directive)
    (?:system|admin|administrator|root) (?:message|mode)
    (?:override|debug|maintenance|jailbreak|god) (?:mode|code)
    jailbreak\S*
    (?:dear|hey|hello|attention|computer|sudo) …2 (?:grader|analyst|computer|machine|systems?|
        software|mark|please)
    (?:any|every|the|to the) …1 (?:ai|model|software|machine|computer) …2 (?:processing|listening|
        reading|analy[sz]ing|summari[sz]ing)
    (?:your|the) (?:answer|output|response|reply|result) (?:has to|have to|must|should|shall|
        needs to) …3 (?:contain|be|say|read|include)
    (?:you|you should|you must|you have to|please) (?:consider|treat|regard|count|judge|
        rate) …5 (?:{_LABEL}|favou?rable|as praise|as excellent|highly)
    (?:call|everything|this|it) (?:has been|is|was|to be) (?:approved|classified|recorded|logged|
        counted) as {_LABEL}
    (?:whatever|regardless of what|no matter what) you (?:were|are|have been) (?:configured|told|
        instructed|programmed|trained)
    (?:override|overrides|overriding|supersedes?|replaces?) …1 (?:everything|anything|
        all) …3 (?:told|said|given|above|before)
    (?:when|if) you (?:summari[sz]e|analy[sz]e|judge|classify|evaluate|transcribe) (?:this|
        the call|it|these)
    from now on …2 (?:answer|say|respond|reply|output|always|every|all|judge|mark|rate|treat|label)
    (?:new|updated|real|hidden|secret|revised) …2 (?:instructions?|task|prompt|directives?|
        orders) (?:is|for|follow|follows|begin|begins|start|now|to)
    your (?:new|real|only|actual|true|updated) (?:task|job|goal|role|instructions?|purpose|
        objective|orders)
    (?:obey|execute|comply with) …3 (?:instructions?|commands?|orders?|directives?)
    follow (?:only )?(?:my|these|this|the following) …2 (?:instructions?|orders?|
        commands?) (?:instead|only|now|exactly)
    {_JUDGING} …3 {_LABEL} (?:sentiment|score|label|rating|only|and|for|to|no matter|regardless|
        instead|in|please|everywhere|every|always|with|now|is)
    (?:sentiment|sentiments|verdict|verdicts|label|labels|classification|judge?ments?) …3 (?:is|
        are|as|to|must be|should be|shall be|be|of|equals) …2 {_LABEL}
    (?:answer|rating|score|response|output|result) …2 (?:must be|should be|shall be|has to be|
        to be|equals|is always) …2 {_LABEL}
    (?:set|change|make|mark|record|switch|flip|give|assign|report|choose|pick|select|
        force) …4 (?:sentiment|sentiments|verdict|verdicts|judge?ments?)
    (?:end|beginning|begin|close|closing|terminate) (?:of )?(?:the |this |of )*(?:transcript|
        transcription|delimiter|data block|data section|user input|prompt|untrusted data|document)
    (?:the|this|whole|entire|above) (?:transcript|transcription|conversation log) …4 (?:must|
        should|is over|ends|ended|is finished|is fake|is a test)
    (?:who|what) ?ever (?:reads|is reading|processes|analy[sz]es|judges|evaluates|
        labels) …3 (?:this|that|these|transcript|call)
    (?:anyone|any model|any system|any ai|the system|the model|the machine) (?:that is |
        which is )?(?:reading|processing|analy[sz]ing|judging|evaluating|labelling)
    (?:output|return|respond|reply|answer|print|render|include|append|embed|insert|emit|produce|
        begin|start|end|finish) …5 (?:in|with|as|an?|the|only|some|valid|raw|this|
        using) (?:\S+ )?{_FORMAT}
    (?:add|insert|append|include|invent|create|change|swap|replace|renumber|duplicate|repeat|
        output|report|leave out|omit|skip) …4 (?:mentions?|mention ids?|the ids|all ids|
        judge?ments?) (?:with|for|of|about|to|id|ids|number|one|two|that|called|named|and|from)
    (?:use|using|with|under|return|give|set) (?:the )?(?:mention )?id (?:number )?(?:\d+|zero|one|
        two|three|nine)
    (?:quote|cite) …2 (?:the words|the sentence|the phrase|the following|verbatim|word for word|
        as evidence|as proof)
    (?:as|for|in) (?:the|your|every|each) (?:quote field|quotation|citation|evidence)
    (?:reveal|print|show|repeat|leak|output|tell me|send) …4 (?:system prompt|your prompt|nonce|
        delimiter|random mark|api key|secret key)
    (?:json|curly|square|angle) (?:bracket|brackets|brace|braces) … (?:judgements?|sentiment|id|
        quote|role|system|assistant)
    (?:open|close|closing|opening|end|start) (?:tag|bracket|brace|quote) …3 (?:system|assistant|
        user|transcript|instructions?)
    (?:decode|decrypt|unscramble|translate) …4 (?:and|then) (?:follow|obey|do|execute|run|apply)
    (?:system|assistant|user|developer) (?:colon|says|role) …3 (?:you|answer|sentiment|ignore|
        mark|{_LABEL})
    role (?:is )?(?:system|assistant|developer)
""")

BARE_COMMANDS = compile_phrases(rf"""
    {_JUDGING} …2 {_LABEL}
    (?:everything|all mentions|every mention|each mention) …2 (?:is|are|be) …1 {_LABEL}
""")
"""Injections only at the end of a line: "say positive"."""

FOREIGN_INJECTIONS = compile_phrases(r"""
    (?:ignorier\S*|vergiss|vergesst|missacht\S*) … (?:anweisung\S*|instruktion\S*|vorgaben|regeln|
        befehl\S*|prompt)
    (?:ignor\S*|oubli\S*) … (?:instructions?|consignes?|directives?|regles)
    (?:ignor\S*|olvid\S*|descart\S*) … (?:instruccion\S*|ordenes|indicaciones|reglas)
    (?:ignor\S*|dimentic\S*) … (?:istruzion\S*|ordini|regole|indicazioni)
    (?:ignor\S*|esquec\S*|desconsider\S*) … (?:instruc\S*|ordens|regras)
    (?:negeer|vergeet) … (?:instructies?|opdracht\S*|regels)
    (?:zignoruj\S*|ignoruj\S*|zapomnij) … (?:instrukcj\S*|polecen\S*|zasad\S*)
    (?:ignorera|glom) … (?:instruktion\S*|anvisning\S*)
    (?:игнорир\S*|проигнорир\S*|забуд\S*) … (?:инструкц\S*|указани\S*|правил\S*)
    (?:onceki|tum|butun) … talimatlar\S* … (?:yok say|unut|gormezden)\S*
    \S*(?:忽略|无视|忘记)\S*(?:指令|指示|说明|规则)\S*
    \S*(?:指示|命令|指令)\S*(?:無視|忘れ)\S*
    \S*(?:무시|잊)\S* … (?:지시|명령)\S*
    (?:지시|명령|이전)\S* … (?:무시|잊)\S*
    \S*(?:تجاهل|انس)\S* … \S*(?:تعليمات|اوامر)\S*
    \S*(?:निर्देश|अनुदेश)\S* … \S*(?:अनदेखा|भूल)\S*
    (?:antwort\S*|sag|sage|bewerte|markier\S*|schreib\S*) …4 (?:positiv|negativ|neutral)
    (?:reponds|repondez|dis|dites|marque\S*|note\S*) …4 (?:positif|negatif|neutre)
    (?:responde|di|diga|marca|califica|clasifica) …4 (?:positivo|negativo|neutral|neutro)
    (?:rispondi|valuta|segna|scrivi) …4 (?:positivo|negativo|neutro)
    (?:responda|diga|marque|classifique) …4 (?:positivo|negativo|neutro)
    (?:antwoord|zeg|markeer|beoordeel) …4 (?:positief|negatief|neutraal)
    (?:odpowiedz|powiedz|oznacz|ocen) …4 (?:pozytywn\S*|negatywn\S*|neutraln\S*)
    (?:ответь\S*|скажи\S*|отметь\S*|оцени\S*) …4 (?:положительн\S*|отрицательн\S*|позитивн\S*|
        негативн\S*)
    \S*(?:回答|说|標記|标记|输出)\S*(?:正面|积极|負面|负面)\S*
""")

UNSPACED_INJECTIONS = re.compile(
    r"(?:ignore|disregard|forget|override|bypass)\w*(?:instruction|prompt|previous|rules|above)"
    r"|(?:say|answer|output|mark|label|rate)\w{0,12}(?:positive|negative|neutral)"
)
"""Injections without spaces: spelled letter by letter, or written as one word."""

REPORTING_WORDS = word_set("i id ill ive we wed they theyd he she people everyone would")
"""Words that, among the three words before, make a command a statement: "I would say positive"."""
DETERMINERS = word_set("the a an my your their no")
"""Words that, right before, make a command a noun: "the answer was negative"."""
