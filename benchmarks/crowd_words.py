"""What a made-up crowd of calls talks of: names, phrases of the trade, and words by their rank."""

from pathlib import Path

_COMMON = (
    "the i to you and it a that is of in so on have for yes we be with my not can do but your this "
    "just no okay are was if it's me what at i'm all there as that's know one get don't they or "
    "right will would then now see our from like well because out up thank about been had could "
    "when please good how some which does too i've that'll let's time call number account name "
    "going want need look think said really got back thing day month bill phone line service check "
    "pay contract address email date today tomorrow week year first last moment bear hold speak "
    "customer team manager price offer deal package internet broadband router speed engineer visit "
    "appointment order delivery payment card bank direct debit balance due charge refund credit "
    "cancel cancelled upgrade renew renewal switch move leave stay join complaint problem issue "
    "fault slow fast working broken connection signal coverage data minutes text roaming device "
    "handset sim plan monthly cheaper expensive discount free extra cost pounds pence security "
    "password postcode confirm question answer help happy sorry apologise understand explain "
    "system notes department transfer waiting queue minute hour morning afternoon evening sure "
    "perfect lovely great brilliant fine alright course actually basically obviously probably "
    "maybe anyway anything everything something nothing someone anyone else other another same "
    "different new old better worse best still already again always never sometimes often"
)
COMMON = tuple(_COMMON.split())
"""The commonest words of such calls, the commonest first."""

PHRASES = (
    "thank you for calling",
    "is there anything else",
    "cancel my contract",
    "speak to a manager",
    "fed up with the service",
    "thinking of switching",
    "cheaper somewhere else",
    "out of contract now",
    "price went up again",
    "matching their offer",
)

AGENTS = tuple(
    f"{first} {last}"
    for last in ("Abbot", "Baker", "Cole", "Dixon")
    for first in ("Ann", "Ben", "Cara", "Dev", "Ella", "Finn", "Gita", "Hugo", "Iris", "Jon")
)

_COMPETITORS = (
    "Vodafone,Virgin Media,Sky,EE,Three,O2,BT,TalkTalk,giffgaff,Plusnet,Tesco Mobile,Lebara,"
    "Hyperoptic,Zen,Community Fibre,Smarty,Voxi,iD Mobile,Spusu,Lyca,Gigaclear,KCOM,Now,Cuckoo,"
    "Onestream,Trooli,Truespeed,YouFibre,Toob,Brsk"
)
COMPETITORS = tuple(_COMPETITORS.split(","))


def vocabulary() -> list[str]:
    """20,000 words: the common ones, and behind them those of a recogniser's dictionary."""
    import pocketsphinx

    common = set(COMMON)
    dictionary = Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"))
    known = (line.split(maxsplit=1)[0] for line in dictionary.read_text().splitlines() if line)
    rare = [word for word in known if word.isalpha() and len(word) > 3 and word not in common]
    return [*dict.fromkeys(COMMON), *rare[:: max(len(rare) // 20_000, 1)][:20_000]]
