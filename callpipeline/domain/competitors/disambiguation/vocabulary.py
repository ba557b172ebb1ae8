"""Word lists of the disambiguation rules.

They come mostly from British telecom and hosting calls, where names are most ambiguous. None of
them is specific to one competitor.
"""


def word_set(text: str) -> frozenset[str]:
    """Split `text` into a set of words, which stays readable for long lists."""
    return frozenset(text.split())


def phrase_set(text: str) -> frozenset[tuple[str, ...]]:
    """Split `text` at bars into phrases, each a tuple of words."""
    return frozenset(tuple(phrase.split()) for phrase in text.split("|"))


# The name is a number.

NUMBERS = word_set(
    """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety
    hundred thousand million billion oh double triple first second third half quarter dozen couple
    """
)
"""Words that form a number together with an adjacent number word."""

UNITS = word_set(
    """
    month year day week hour minute min second pound quid pence penny p dollar euro percent per
    point times gig gigs gigabyte meg megs megabyte megabit mb gb tb kb of hundred thousand million
    billion people children men women am pm o'clock and-a-half bedroom fold way phase third quarter
    g d more other different separate additional full straight consecutive main whole
    """
)
AFTER_ONE = word_set(
    """
    moment thing who is was will would could can should has had time more of for i we you they he
    she it there where when at on in with to up by from that which i'm we're day
    """
)
BEFORE_A_NUMBER = word_set(
    """
    number option options phase tier level stage step chapter section part page slide question
    line day week month year quarter version type class grade category floor room flat unit
    building gate platform channel zone point item figure table note press star key button then
    digit digits code around about under nearly almost only just all any every each mandate cohort
    no another other last first next previous top these those the that this which some both
    least most until till past a an my your his her our their its plus minus times falls into q
    """
)
AMOUNTS = word_set("more less fewer greater higher lower longer other rather")

# The name is another ordinary word.

DETERMINERS = word_set(
    """
    a an the my your his her our their its this that these those some any every each no another
    which what whose
    """
)
LABELS = word_set(
    """
    number numbers card cards check checks badge document documents verification code codes theft
    proof photo field tag please
    """
)
LABELLED = word_set(
    """
    customer caller user account order photo apple email login personal national voter student
    valid transaction session device proof face touch security reference ticket
    """
)
"""Words before "ID" that make it an identifier."""

COLOUR_NAMES = word_set("orange olive lime mint plum red")
COLOURS = word_set(
    """
    red green blue yellow amber white black pink purple grey gray brown violet solid flashing
    blinking steady bright dark pale light orange
    """
)
BEFORE_A_COLOUR = COLOURS | word_set(
    """
    is are was were went goes gone turned turns turning flashing flashes blinking showing stays
    stayed glowing be been it's that's
    """
)
THINGS = word_set(
    """
    light lights lamp led button box cable wire line icon screen arrow colour color square circle
    bar dot paint shirt case cases
    """
)
"""Things that have a colour."""

COMPOUNDS = {
    "apple": word_set("juice pie pies tree trees crumble sauce cider"),
    "olive": word_set("oil oils branch tree trees grove green"),
    "orange": word_set("juice peel squash tree county"),
    "sky": word_set("high blue diving dive rocket rocketed scraper light lights limit falling"),
    "virgin": word_set("olive oil islands atlantic forest"),
}
"""Second words of compounds: "sky high"."""

DESCRIBED = {
    "sky": word_set("clear blue cloudy grey gray dark night starry whole"),
    "apple": word_set("an red green rotten big"),
    "virgin": word_set("extra"),
}
"""Adjectives of the ordinary word: "clear sky"."""

COLLOCATIONS = phrase_set(
    """
    sky's the limit | sky is the limit | pie in the sky | out of the sky | one on one | all in one
    | one by one | one stop shop | no one | some one | any one | every one | square one | three
    way call | agent orange | one another | one for one | one or the other | one to one | one and
    all | id like | id say | id love | id rather | id just | id be | id have
    """
)
"""Fixed phrases, in which a name is an ordinary word."""

MODALS = word_set("to will can could would should might must please we you i they not help")
"""Words before a verb: "we can boost your signal"."""

# The name is the company.

FUNCTION_AFTER = word_set(
    """
    and or but for at because so now who which when where if since before until till as than then
    instead already anyway though although while too also please thanks yeah yes on in by about
    i i'm i've he she we they you it it's they're them their is was are were has have had do does
    did will would can could may might right okay ok currently next soon again today
    tomorrow yesterday to isn't aren't wasn't weren't hasn't haven't don't doesn't didn't won't
    can't wouldn't after last this
    """
)
"""Words that start a new phrase: after "with three", the name stands alone."""

NEAR_NAME_NOUNS = word_set(
    """
    contract network broadband mobile sim tariff plan deal bill customer service services
    signal coverage internet wifi fibre store shop website app account support router hub
    engineer roaming upgrade phone handset package subscription offer price email voicemail
    hosting server domain cloud uk tv fiber provider data online dashboard
    """
)
"""Nouns after a company's name: "three contract", "sky broadband"."""

MOVING_VERBS = word_set(
    """
    switch switched switching switches move moved moving moves go going went gone goes change
    changed changing transfer transferred transferring port ported porting migrate migrated
    migrating sign signed signing come coming came upgrade upgraded upgrading return returned
    returning
    """
)
COMING = word_set("come comes coming came")
LEAVING_OR_JOINING = word_set(
    "leave leaving left join joining joined ditch ditched dump dumped quit quitting"
)
DEALING_VERBS = word_set(
    """
    tried try trying asked ask asking called phoned rang contacted checked compare compared prefer
    preferred chose choose choosing chosen picked use used using recommend recommended love loved
    like liked hate hated pay pays paid paying owe owed cancel cancelled canceled
    considered considering
    """
)
TALKING_VERBS = word_set(
    "write wrote talk talked speak spoke complain complained speaking talking look looked looking"
)
BEING = word_set(
    """
    am i'm are we're you're they're is he's she's was were be been being stay stayed staying
    stick stuck sticking remain currently still happy unhappy
    """
)
PEOPLE = word_set("i we he she they i'm we're he's she's they're i've")
"""Subjects that may be "on orange", as opposed to a light."""

LINKS = word_set("to from with as by at than through via for like onto over into against on")
NUMBER_LINKS = word_set("from with through as")
"""Those that rarely precede a plain number at the end of a phrase."""

BUSINESS_NOUNS = word_set(
    """
    offer offers deal deals price prices quote quotes bill bills letter email contract contracts
    account broadband internet mobile phone phones sim signal coverage customer service package
    plan tariff problem problems trouble advert ad rate rates discount provider
    network website hosting domain server competitor
    """
)
COMPANY_NOUNS = word_set(
    """
    carrier carriers company companies provider providers network networks operator operators
    competitor competitors supplier suppliers someone
    """
)
NAMING = word_set("like as called named including especially namely")
COMPARATIVES = word_set(
    "better worse cheaper dearer faster slower quicker easier harder stronger weaker nicer "
    "reliable expensive competitive affordable"
)
COMPANY_VERBS = word_set(
    """
    offers offered offering charges charged charging quoted told gave gives promised sends sent
    sells sold costs wants says said refused keeps kept provides provided claims advertised
    announced launched undercut beats beat matched answered rang phoned called emailed advertises
    """
)
COMPANY_ACTS = word_set(
    "charge offer give quote keep send sell provide beat match undercut promise cost put gone"
)
"""Company verbs after "will", "would" or "have": "sky would charge you more"."""

HAVING = word_set(
    """
    used has have had do does did can could will would might is are was were isn't aren't wasn't
    weren't don't doesn't didn't won't can't wouldn't couldn't
    """
)
PREDICATES = word_set(
    """
    better worse cheaper cheapest dearer faster slower best worst great terrible awful rubbish
    brilliant expensive reliable unreliable useless excellent overpriced charging offering doing
    giving deal deals offer offers sale promotion unlimited good bad helpful competitive
    """
)
JOINERS = word_set("and or vs versus than to over from like , / - nor with but unlike")
NUMBER_JOINERS = word_set("and or vs versus than to , /")
"""Those that join a number word to a company's name: "vodafone or three"."""

WHO_WITH = phrase_set(
    """
    who with | who's with | which company | which provider | which network | what network | what
    company | what provider | who provider | who supplier | who switching | who moving | who going
    | who offered | who use
    """
)
"""Ordered pairs of words of a question that a company's name answers."""

COMPANY_WORDS = (
    (BUSINESS_NOUNS - {"problem", "problems", "trouble", "ad", "rate", "rates"})
    | COMPANY_NOUNS
    | LEAVING_OR_JOINING
    | word_set(
        """
        switch switched switching cancel cancelled subscription card savings fees fee cheaper quote
        quoted brand brands rival rivals competes compete competing supplier vendor vendors store
        stores shop stock shares share analyst securities bid tender insurance mortgage policy
        premium charges charge licence flight fly flew booked book delivery deliver ordered bought
        buy buys sell sells works
        """
    )
)
"""Words of any trade that are said near a company's name."""
COMPANY_SUFFIXES = word_set(
    """
    inc ltd limited plc llc corp corporation company co group holdings bank securities capital
    partners financial research advisors associates bancorp energy insurance motors airlines
    airways media mobile telecom wireless communications technologies systems industries brothers
    """
)
"""Words that go on the name of a company."""

# The name is a person's.

GIVEN_NAMES = word_set(
    """
    aaron adam adrian al alan albert alex alexander alice amanda amy andrea andrew andy angela
    ann anna anne anthony antonio arthur barbara ben benjamin beth betty bill bob brad brandon
    brenda brett bret brian bruce bryan carl carlos carol caroline cathy chad charles charlie
    chris christian christina christine christopher cindy claire colin connor craig cynthia dan
    daniel daisy dale darren dave david dean debbie deborah dennis derek diana diane don donald
    donna doug douglas duncan dylan ed eddie edward elizabeth emily emma eric erik erin ethan
    eva evan frank fred gary geoff george gerald gina glen glenn gordon grace graham greg
    gregory hannah harold harry heather helen henry howard hugh ian isaac ivan jack jacob jake
    james jamie jan jane janet jason jay jean jeff jeffrey jennifer jenny jeremy jerry jess
    jesse jessica jill jim jimmy joan joe joel john johnny jon jonathan jordan jose joseph josh
    joshua joyce juan judy julia julie justin karen kate katherine kathleen kathy katie keith
    kelly ken kenneth kevin kim kurt kyle larry laura lauren lee leo leonard leslie lewis liam
    linda lisa logan lou louis louise lucas lucy luis luke lynn marc marcus margaret maria marie
    marilyn mark martin mary matt matthew maureen max megan melissa michael michelle miguel mike
    mitch monica nancy natalie nathan neal neil nicholas nick nicole nigel noah nora oliver
    olivia oscar pam pamela pat patricia patrick paul paula pete peter phil philip phillip quinn
    rachel ralph ray raymond rebecca rich richard rick rob robert robin rod roger ron ronald
    rose ross roy russ russell ruth ryan sally sam samantha samuel sandra sara sarah scott sean
    seth shane shannon sharon shaun sheila shirley simon sophie spencer stan stanley stephanie
    stephen steve steven stuart sue susan suzanne ted teresa terry theresa thomas tim timothy
    tina todd tom tommy tony tracy travis trevor troy tyler vanessa victor victoria vince
    vincent virginia walter warren wayne wendy will william zach
    """
)
