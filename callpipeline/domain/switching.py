"""Switching intent: a customer says that they leave, join, consider or stay with a competitor.

Independent of sentiment and its judge. "Competitor" is <t> in the patterns.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from callpipeline.domain.audio import Speaker
from callpipeline.domain.utterances import TargetContext


class SwitchingIntent(StrEnum):
    """A customer leaves for a competitor, comes from it, considers it or stays with it."""

    LEAVING_TO = "leaving_to"
    COMING_FROM = "coming_from"
    CONSIDERING = "considering"
    STAYING = "staying"


@dataclass(frozen=True, slots=True)
class SwitchingEvidence:
    """An intent, and the words that say so."""

    intent: SwitchingIntent
    quote: str


_T = r"(?:the |their |our |my |a )?<t>"
_FEW = r"(?:(?!(?:but|or|and|out|off|wrong|round|in|again|than)\b)[\w'&]+ ){0,3}?"
_WE = r"(?:i|we|he|she|everyone|people|i'm|we're|i've|we've|i'd|we'd|and|to|just|be|you)"
_GO = (
    r"(?:go|goes|going|gone|went|mov(?:e|es|ed|ing)|switch(?:ed|ing|es)?|chang(?:e|ed|ing)"
    r"|transfer(?:red|ring)?|port(?:ed|ing)?|migrat(?:e|ed|ing)|defect(?:ed|ing)?|flocking)"
)
_TO = r"(?:over |across |back |straight )*(?:to|onto|on to)"
_FROM = (
    r"(?:over |across |here |everything |away |back |to you |to yourselves )*"
    r"(?:from|off|off of|out of)"
)
_LEAVE = (
    r"(?:leav(?:e|ing)|left|quit(?:ting)?|ditch(?:ed|ing)?|dump(?:ed|ing)?|binn?(?:ed|ing)?"
    r"|dropp?(?:ed|ing)?|cancel(?:l?ed|l?ing)?|terminat(?:e|ed|ing)|sack(?:ed|ing)? off"
    r"|get(?:ting)? (?:rid|shot|out) of|got (?:rid|shot|out) of|gett?(?:ing)? away from"
    r"|part(?:ed|ing)? (?:ways|company) with|see the back of|mov(?:e|ing) on from"
    r"|(?:i'm|we're|am|are) (?:so |all )?(?:done|through) with|jump(?:ed|ing)? ship from"
    r"|pull(?:ed|ing)? (?:the plug on|out of)"
    r"|clos(?:e|ed|ing) (?:the|our|my) accounts? (?:with|at))"
)
_NOT = (
    r"(?:not|never|n't|no (?:reason|plans?|intention|interest|way)|(?:mad|daft|stupid|head"
    r" examining) to|against)"
)
_HARDLY_WAIT = r"(?<!ca n't )(?<!could n't )"
_RENEW = r"(?:renew(?:ed|ing)?|extend(?:ed|ing)?|re-?sign(?:ed|ing)?|stay(?:ed|ing)?|stick(?:ing)?)"
_WISH = (
    r"(?:think(?:ing)? (?:of|about)|thought (?:of|about)|consider(?:ed|ing)?|tempted|lean(?:ing)?"
    r"|minded|look(?:ing)? (?:at|into)|might|may well|toying with|wondering about)"
)
_CHOSE = (
    r"(?:sign(?:ed|ing)(?: up)? (?:with|to)|(?:gone|going|go|went) with|chose|chosen|picked"
    r"|plumped for|opt(?:ed|ing) for|decided on|set on|join(?:ed|ing))"
)
_RULES: Sequence[tuple[SwitchingIntent | None, str]] = (
    (None, rf"\b(?:left|leav(?:e|es|ing)) {_T} (?:an? |standing|us |me |alone)"),
    (None, rf"\bwhy (?:on earth )?(?:would )?(?:any(?:one|body)|people|i|we|you) {_FEW}.*<t>"),
    (None, r"\b(?:you'd|you would|they'd|they would) have to .*<t>"),
    (None, rf"\b(?:tried|trying|try) to {_LEAVE} {_T}"),
    (None, rf"\bonly (?:ever )?(?:{_LEAVE}|{_CHOSE}|{_GO}|{_RENEW}) .*<t>.*\bbecause\b"),
    (None, rf"\b(?:since|when|before) (?:i|we|he|she) {_LEAVE} {_T}"),
    (None, rf"\b(?:regret\w*|mistake|nearly|(?:was|were) going to) {_FEW}(?:{_GO}|{_CHOSE}).*<t>"),
    (None, r"<t> (?:was|were|is) (?:a|the|my|our) (?:[\w']+ )?mistake"),
    (SwitchingIntent.LEAVING_TO, rf"\b(?:leaving|left|leave|ditch\w*) {_FEW}for {_T}"),
    (SwitchingIntent.COMING_FROM, rf"\bn't wait to {_LEAVE} {_T}|{_LEAVE} {_T} fast enough"),
    (SwitchingIntent.STAYING, rf"\b{_HARDLY_WAIT}{_NOT}\b {_FEW}(?:{_LEAVE}|{_GO} {_FROM}) {_T}"),
    (SwitchingIntent.STAYING, rf"\b(?:regret(?:ted)?|nearly) {_FEW}leav(?:e|ing) {_T}"),
    (SwitchingIntent.STAYING, rf"\bnever left {_T}"),
    (SwitchingIntent.COMING_FROM, rf"\b{_NOT}\b {_FEW}{_RENEW} (?:[\w']+ ){{0,2}}?{_T}"),
    (SwitchingIntent.COMING_FROM, rf"\b{_NOT}\b {_FEW}back (?:to|with) {_T}"),
    (None, rf"\b(?:{_NOT}|rather) {_FEW}(?:{_GO} {_TO}|{_CHOSE}|consider\w*) {_T}"),
    (SwitchingIntent.COMING_FROM, rf"\b{_WISH} {_FEW}(?:{_LEAVE}|{_GO} {_FROM}) {_T}"),
    (
        SwitchingIntent.CONSIDERING,
        rf"\b{_WISH} {_FEW}(?:{_GO} {_TO}|{_CHOSE}|giv(?:e|ing)|try(?:ing)?) {_T}"
        rf"|\b(?:consider(?:ed|ing)?|tempted by|lean\w* towards?|thinking (?:of|about)) {_T}",
    ),
    (SwitchingIntent.STAYING, rf"\b(?:{_RENEW}|settled) {_FEW}with {_T}"),
    (SwitchingIntent.COMING_FROM, rf"\b{_LEAVE} {_FEW}{_T}"),
    (SwitchingIntent.COMING_FROM, rf"\b{_GO} {_FEW}{_FROM} {_T}"),
    (SwitchingIntent.COMING_FROM, rf"\b{_WE} (?:have |had )?(?:c[ao]me|coming) {_FEW}{_FROM} {_T}"),
    (
        SwitchingIntent.COMING_FROM,
        rf"\b(?:giv(?:e|en|ing)|gave|hand(?:ed|ing)?) {_FEW}notice (?:in )?(?:to|on) {_T}"
        rf"|\b(?:given|gave|give) {_T} {_FEW}notice"
        rf"|\b(?:alternative to|(?:something|somebody) to replace|had enough of) {_T}"
        rf"|\breplac(?:e|ed|ing) {_T} with"
        rf"|\b(?:phas|ripp|kick|chuck|throw|sack|bin)\w* {_T} (?:out|off)\b",
    ),
    (SwitchingIntent.LEAVING_TO, rf"\b(?:{_CHOSE}|{_WE} off to|{_GO} {_FEW}{_TO}) {_T}"),
)  # fmt: skip
_PATTERNS = [(intent, re.compile(pattern)) for intent, pattern in _RULES]
_HYPOTHESIS = re.compile(
    r"\b(?:if|suppose|say|imagine|were (?:i|we) to|would (?:i|we))\b[^.?!]*<t>"
)
_THREAT = re.compile(r"\b(?:or|then) (?:i|we)(?:'ll|'m| will| am|'re)\b[^.?!]*<t>")
_SENTENCE_END = re.compile(r"[.?!;]+(?=\s|$)")


def find_switching_intent(context: TargetContext) -> SwitchingEvidence | None:
    """Return what the customer says about switching, or None; agents have no such intent.

    Questions and hypotheses ("if I moved to …") are none.
    """
    if context.speaker is Speaker.AGENT:
        return None
    before = _SENTENCE_END.split(context.left)[-1]
    end = _SENTENCE_END.search(context.right)
    after = context.right[: end.start()] if end else context.right
    if end and "?" in end.group():
        return None
    text = f"{before}<t>{after}".lower().replace("’", "'").replace("n't", " n't")
    text = re.sub(r"[,\s]+", " ", text)
    if _HYPOTHESIS.search(text) and not _THREAT.search(text):
        return None
    for intent, pattern in _PATTERNS:
        if found := pattern.search(text):
            if intent is None:
                return None
            return SwitchingEvidence(intent, _verbatim(found.group(), before, context, after))
    return None


def _verbatim(matched: str, before: str, context: TargetContext, after: str) -> str:
    """Return the words of a match as they are in the transcript."""
    words = [re.escape(word) for word in matched.replace("<t>", context.name).split()]
    words = [word.replace("'", "['’]") for word in words]
    pattern = r"[,\s]*".join(words)
    if matched.startswith("n't"):
        pattern = rf"\w*{pattern}"
    said = f"{before}{context.name}{after}"
    found = re.search(pattern, said, re.IGNORECASE)
    return found.group() if found else said.strip()
