"""What a rule found about a mention, and the words that several rules share."""

from dataclasses import dataclass

from callpipeline.domain.vocabulary import word_set

NEGATIONS = word_set("""
    not no never nobody nothing none neither nor hardly barely without cannot can't don't doesn't
    didn't won't wouldn't couldn't shouldn't isn't aren't wasn't weren't haven't hasn't hadn't ain't
    dont doesnt didnt wont isnt arent wasnt werent cant
    """)
US_TO_CUSTOMER = word_set("you your you're yours you've")
US_TO_AGENT = word_set("we our we're us ours we've")


@dataclass(frozen=True, slots=True)
class Finding:
    """`score` in −1..1 towards the name judged; `rule` says which rule fired and on what words."""

    score: float
    rule: str

    def contradicts(self, other: "Finding") -> bool:
        return self.score * other.score < 0


def is_negated(words: tuple[str, ...], place: int, reach: int = 4) -> bool:
    """Whether an odd number of negations stand in the `reach` words before `place`."""
    return sum(word in NEGATIONS for word in words[max(0, place - reach) : place]) % 2 == 1
