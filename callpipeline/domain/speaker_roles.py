"""Roles of the voices of a mono recording, from what they say.

Each phrase is evidence, in log-odds that its speaker is the agent. Phrases are those of service
calls in general; none names a company or a product.
"""

import re
from collections.abc import Sequence

from callpipeline.domain.transcripts import Segment
from callpipeline.domain.voices import VOICES

MIN_EVIDENCE = 2.2
"""Difference in log-odds from which a role is decided: odds of about 9 to 1."""
FIRST_VOICE_EVIDENCE = 0.5
"""The first to speak is more often the agent, who answers the call."""
OPENING_EVIDENCE = 1.5
MAX_COUNTED = 2
"""A phrase counts at most twice for each voice: repetition is a habit, not more evidence."""

_THING = (
    r"(?:bill|account|phone|number plan|order|contract|internet|broadband|router|policy|"
    r"subscription|service|package|invoice|password|card|line|delivery|booking|claim|car|website)"
)
_DETAIL = (
    r"(?:name|names|account|number|post ?code|zip|address|date of birth|birthday|email|e-mail|"
    r"phone|password|pin|digits|reference|order)"
)
_AGENT = (
    (
        3.0,
        r"\bthank(?:s| you)(?: very much| so much)? for (?:calling|contacting|holding|waiting|"
        r"your patience|choosing|staying)",
    ),
    (3.0, r"\bhow (?:can|may|could) (?:i|we) (?:help|assist|direct)|\bwhat can i do for you"),
    (3.0, r"\banything else (?:that )?(?:i|we) can|\bis there anything else"),
    (3.0, r"\bcalls? (?:may be|is being|are|is|will be) (?:recorded|monitored)"),
    (
        2.5,
        r"\b(?:can|could|may) i (?:just |please |first )?(?:get|have|take|ask for|confirm|verify)"
        rf"(?: \w+){{0,4}} {_DETAIL}",
    ),
    (2.5, rf"\b(?:what is|what's|confirm|verify) your (?:\w+ ){{0,3}}{_DETAIL}"),
    (3.0, r"\bi(?: am|'m) calling (?:from|on behalf of)"),
    (2.0, r"\b(?:for|a few) (?:security|verification)|\bsecurity questions?"),
    (2.0, r"\b(?:my name is|this is) \w+ (?:from|at|with|speaking)\b"),
    (1.5, r"\bgood (?:morning|afternoon|evening),? (?:\w+,? ){1,6}(?:my name is|this is)"),
    (1.5, r"\bthis is \w+\.? how\b"),
    (
        1.2,
        r"\bi(?:'ll| will| can| could) (?:also |just |certainly )?(?:send|transfer|put you|offer|"
        r"arrange|book|email|refund|credit|process|schedule|check|look|take \w+ \w+ off|note|pass)",
    ),
    (1.2, r"\b(?:one|just a|a) moment\b|\bbear with me|\bplease hold|\bhold (?:on|the line)"),
    (1.0, r"\blet me (?:just )?(?:check|look|pull|see|bring|transfer|put you|find|get)"),
    (1.0, r"\bi(?: am|'m) (?:very |so )?sorry to hear|\bi apologi[sz]e|\bi understand\b"),
    (1.0, r"\bwhen would you like|\bwould you like\b|\bhow long have you\b"),
    (1.0, r"\bhave a (?:good|great|nice|lovely|wonderful) (?:day|one|evening|afternoon|weekend)"),
    (0.8, rf"\byour {_THING}\b"),
    (0.7, r"\bma'am\b|\bsir\b"),
    (0.7, r"\bwe (?:offer|can offer|have a|could offer|will send|do have|can also)"),
)
_AGENT_DETAILS = (
    (2.0, r"\bwelcome to \w+"),
    (2.0, r"\bwhat (?:seems to be|is|was) the (?:problem|matter|issue)"),
    (
        2.0,
        r"\b(?:can|could|may|would) you (?:please )?(?:give|tell|spell|confirm)(?: \w+){0,2} your",
    ),
    (1.2, r"\b(?:an|our|the) (?:engineer|technician|colleague|specialist) (?:will|can)\b"),
    (1.0, r"\bi(?: can)? see (?:here )?(?:that )?(?:you|your|in|on|a|one)\b"),
    (
        0.8,
        r"\bour (?:line|support|team|plans?|prices?|service|offers?|warranty|systems?|records?)\b",
    ),
    (0.8, r"\bwould (?:that|it|you) (?:suit|stay|prefer|be able)\b|\bmay i ask\b"),
    (0.7, r"\bwe can (?:have|move|send|do|arrange|connect|match|set)\b"),
)
_CUSTOMER = (
    (
        2.5,
        r"\bi(?: am|'m| was)? (?:just )?(?:calling|ringing|phoning) (?:you )?"
        r"(?:about|because|to|regarding|for|in regards|with|as)\b",
    ),
    (
        2.0,
        r"\b(?:can|could|would) you (?:please )?help me|\bi was wondering|"
        r"\bi have a (?:question|problem|issue)",
    ),
    (2.0, r"\bi(?:'ve| have) been (?:with you|a customer|waiting|charged|overcharged)"),
    (
        2.0,
        r"\bi(?: would|'d)? (?:want|need|like|am thinking|have decided)(?: of| about)?(?: to)? "
        r"(?:cancel|leave|switch\w*|change|upgrade|return|complain|pay|buy|order|move)",
    ),
    (2.0, r"\bi(?: am|'m) thinking (?:of|about) (?:cancel\w*|leav\w*|switch\w*|mov\w*)"),
    (1.5, r"\bwith you for\b|\byou (?:people|guys|charged|told|sent|promised)\b"),
    (1.2, r"\byour (?:company|competitors?|prices?|engineers?|technicians?|colleagues?|advert)"),
    (1.2, rf"\bmy (?:\w+ )?{_THING}\b"),
    (
        1.0,
        r"\bmy (?:husband|wife|brother|sister|mother|father|son|daughter|neighbou?r|friend|house|"
        r"old provider|last provider)\b",
    ),
    (1.0, r"\bi (?:bought|ordered|received|paid|moved|called|rang|joined|left)\b"),
)
_CUSTOMER_DETAILS = (
    (1.5, rf"\bmy (?:\w+ )?{_THING} (?:is|was|does|has|keeps|stopped|went)\b"),
    (1.5, r"\bthank(?:s| you) for (?:your|the) help"),
    (1.0, r"\bhow much (?:would|does|do|is|will|are)\b"),
    (1.0, r"\b(?:i|we) (?:am|are|was|were|have been) (?:already )?with \w+"),
    (0.8, r"\bi need (?:a|an|to|some|help)\b|\bi(?: have|'ve)(?: got)? an? (?:better )?offer"),
)
_OPENING = re.compile(r"\bmy name is\b|\bthis is\b|\bgood (?:morning|afternoon|evening)\b")
"""Said first in a call, it is the answer of a company."""
_EVIDENCE = tuple(
    (weight * sign, re.compile(pattern))
    for sign, phrases in ((1, _AGENT + _AGENT_DETAILS), (-1, _CUSTOMER + _CUSTOMER_DETAILS))
    for weight, pattern in phrases
)
_DROPPED = re.compile(r"[^\w'. -]+")


def agent_voice(segments: Sequence[Segment]) -> int | None:
    """Return the voice that is the agent, by what both say; None if that is undecided."""
    if {each.voice for each in segments if each.voice} != set(VOICES):
        return None
    evidence = dict.fromkeys(VOICES, 0.0)
    for voice in VOICES:
        said = " | ".join(_plain(each.text) for each in segments if each.voice == voice)
        evidence[voice] = agent_evidence(said)
    lead = evidence[1] - evidence[2] + FIRST_VOICE_EVIDENCE + _opening_evidence(segments)
    if abs(lead) < MIN_EVIDENCE:
        return None
    return 1 if lead > 0 else 2


def agent_evidence(said: str) -> float:
    """Return the log-odds that the speaker of a text in lower case is the agent."""
    return sum(
        weight * min(MAX_COUNTED, sum(1 for _ in phrase.finditer(said)))
        for weight, phrase in _EVIDENCE
    )


def _opening_evidence(segments: Sequence[Segment]) -> float:
    """Return the evidence of the first words of the call for voice 1."""
    first = next((_plain(each.text) for each in segments if each.voice == 1), "")
    return OPENING_EVIDENCE if _OPENING.search(first) else 0.0


def _plain(text: str) -> str:
    return _DROPPED.sub("", text.lower().replace("’", "'"))
