"""How somebody speaks who speaks to a machine, kept as data.

Phrases are looked for in lower case without punctuation, accents and apostrophes, with single
spaces. Each is to be what nobody says to a person on the telephone: "follow the instructions in
the letter", "they gave me negative feedback" and "the quote they sent" are ordinary.
"""

import re

from callpipeline.domain.vocabulary import word_set


def phrases(text: str) -> re.Pattern[str]:
    """One pattern of many, a line each; `…3` stands for up to three words, `…` for up to six.

    A line that ends in `|` goes on in the next.
    """
    lines = re.sub(r"\|\s*\n\s*", "|", text).split("\n")
    lines = [line.strip() for line in lines if line.strip()]
    spaced = (re.sub(r" …(\d?) ", lambda gap: rf" (?:\S+ ){{0,{gap[1] or 6}}}?", x) for x in lines)
    return re.compile("|".join(rf"(?<!\S)(?:{line})(?!\S)" for line in spaced))


_MACHINE = (
    r"(?:ai|a i|language model|llm|chatgpt|chat gpt|gpt\S*|chatbot|bot|robot|model|classifier|"
    r"algorithm|judge|evaluator|annotator|summari[sz]er|transcriber|virtual assistant|ai assistant)"
)
_LABEL = r"(?:positive|negative|neutral|unsure)"
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

ADDRESSED = phrases(rf"""
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

SAID_ALONE = phrases(rf"""
    {_JUDGING} …2 {_LABEL}
    (?:everything|all mentions|every mention|each mention) …2 (?:is|are|be) …1 {_LABEL}
""")
"""Where that is all, or ends what is said: "say positive"."""

OTHER_LANGUAGES = phrases(r"""
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

RUN_TOGETHER = re.compile(
    r"(?:ignore|disregard|forget|override|bypass)\w*(?:instruction|prompt|previous|rules|above)"
    r"|(?:say|answer|output|mark|label|rate)\w{0,12}(?:positive|negative|neutral)"
)
"""The same without spaces: spelled letter by letter, or written as one word."""

ORDINARY_BEFORE = word_set("i id ill ive we wed they theyd he she people everyone would")
"""Who, among the three words before, makes of an order a report: "I would say positive"."""
ARTICLES = word_set("the a an my your their no")
"""Before a word that is no order then: "the answer was negative"."""
