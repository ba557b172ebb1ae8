"""`/find-competitors`: which competitors a text names, by the list of this installation."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, StringConstraints

from callpipeline.domain.mention import Mention, MentionStatus
from callpipeline.domain.plain_text import mentions_in
from callpipeline.web.competitor_list import CompetitorList
from callpipeline.web.opened import Here
from callpipeline.web.problems import problems

LONGEST_TEXT = 1_000_000
MOST_MENTIONS = 2_000

router = APIRouter(tags=["competitors"])


class Text(BaseModel):
    """What was said, as plain text."""

    transcript_text: Annotated[str, StringConstraints(max_length=LONGEST_TEXT)]


class Named(BaseModel):
    """A competitor's name at `char_start:char_end` of the text, counted in characters from 0.

    `accepted` counts; `unsure` does not until a person says so; `rejected` is an ordinary word.
    """

    competitor: str
    alias: str
    said: str
    char_start: int
    char_end: int
    status: MentionStatus
    reason: str


class Found(BaseModel):
    """Competitors in the order in which they are named first, and every place where one may be."""

    competitors_found: list[str]
    count: int
    mentions: list[Named]
    catalog_version: str


@router.post("/find-competitors", responses=problems(413, 422, 500))
async def find_competitors(text: Text, here: Here) -> Found:
    """Find the competitors that a text names; those count of which a mention is accepted."""
    async with here.competitors.searching:
        return await asyncio.to_thread(_found, text.transcript_text, here.competitors)


def _found(text: str, competitors: CompetitorList) -> Found:
    matcher = competitors.matcher()
    mentions = mentions_in(text, matcher, most=MOST_MENTIONS)
    if mentions is None:
        raise HTTPException(
            422, f"The text names competitors over {MOST_MENTIONS:,} times: send it in parts."
        )
    in_order = sorted(mentions, key=lambda mention: mention.char_start)
    counted = dict.fromkeys(mention.competitor for mention in in_order if mention.counts)
    return Found(
        competitors_found=list(counted),
        count=len(counted),
        mentions=[_named(mention) for mention in in_order],
        catalog_version=matcher.catalog.version,
    )


def _named(mention: Mention) -> Named:
    return Named(
        competitor=mention.competitor,
        alias=mention.alias,
        said=mention.said,
        char_start=mention.char_start,
        char_end=mention.char_end,
        status=mention.status,
        reason=mention.reason,
    )
