"""Closed word lists of English that the rules for names rest on. All words are in the folded form of `names.fold`."""

from __future__ import annotations

from functools import cache
from importlib import resources


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ARTICLES = frozenset({"the", "a", "an"})

STOP = _words(
    """
    a about above according accordingly across actually after afterwards again against ago all almost alone along already
    also although altogether always am among amongst an and another any anybody anyone anything anyway anywhere apart are
    arent around as aside at away back be became because become becomes been before beforehand behind being below beneath
    beside besides between beyond both but by can cannot cant could couldnt currently despite did didnt do does doesnt
    doing done dont down due during each earlier eg either else elsewhere enough especially et etc even eventually ever every everybody
    everyone everything everywhere except few finally first following for former formerly from further furthermore
    generally given had hadnt has hasnt have havent having he hence her here hereby herein hers herself him himself his
    how however i ie if im in indeed initially inside instead into is isnt it its itself ive just last later latter least
    less lets like likewise many may maybe me meanwhile might mine more moreover most mostly much must my myself namely
    near nearly neither never nevertheless next no nobody none nonetheless nor not nothing notwithstanding now nowhere of
    off often oh on once one only onto or originally other others otherwise our ours ourselves out outside over overall
    own per perhaps please possibly prior probably provided rather really recently regarding same second seldom several she
    should shouldnt similarly simply since so some somebody somehow someone something sometimes somewhat somewhere soon
    still subsequently such than that thats the their theirs them themselves then thence there thereafter thereby
    therefore therein these they third this those though through throughout thus till to today together too toward towards
    two typically under unfortunately unless unlike until up upon us usually versus very via vs was wasnt we well were
    werent what whatever when whence whenever where whereas whereby wherein wherever whether which whichever while whilst
    who whoever whole whom whose why will with within without wont would wouldnt yes yet you your yours yourself
    yourselves born based built released founded located known named called using used see note
    """
)
"""Function words, and words that open sentences: never a name alone, cut from the start of a capitalised run."""

JOINERS = _words("of the de and von van la le du des del della di da dos das der den ter zu zur al el bin ibn y for")
"""Lower-case words that may stand inside a capitalised run ("University of California")."""

MONTHS_AND_DAYS = _words(
    """
    january february march april may june july august september october november december jan feb mar apr jun jul aug sep
    sept oct nov dec monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thurs fri sat sun
    spring summer autumn fall winter
    """
)

DESIGNATORS = _words(
    """
    figure figures fig figs table tables tab section sections sec chapter chapters page pages appendix equation equations
    eq step steps item items part parts example examples exercise lemma theorem definition listing line lines row rows
    column columns slide slides footnote note notes paragraph question questions answer version volume volumes vol issue
    number no file
    """
)
"""Words that, followed by a number, point into a document ("Figure 3") and name nothing outside it."""

HONORIFICS = _words(
    """
    mr mrs ms miss mx dr prof professor sir dame lord lady rev reverend fr st president senator governor captain capt
    colonel col general gen major maj lieutenant lt sergeant sgt commander cmdr admiral king queen prince princess pope
    """
)

FORMS_OF_ADDRESS = HONORIFICS - _words("sir dame lord lady st king queen prince princess pope fr sgt major")
"""Words before a person's name that are no part of it; not those that tell persons apart ("King George", "St Paul")."""

NEVER_ALONE = _words(
    """
    inc ltd co corp llc plc gmbh jr sr vol ed eds pp ibid isbn issn doi pdf txt html xml http https url www am pm est edt
    cst cdt mst pst pdt utc gmt khz mhz ghz hz km kg cm mm mph kph db ok okay reg no tel fax ca approx retrieved archived
    accessed yeah etc north south east west northern southern eastern western northeast northwest southeast southwest
    """
)
"""Abbreviations, units, marks of references and directions: written with capitals, they name nothing alone."""

INITIALISMS = _words("us usa uk un eu ussr uae")
"""Names that are written as single letters with full stops; other runs of single letters are no names."""

GENERIC_HEADINGS = frozenset(
    line.strip()
    for line in """
    abstract | acknowledgements | acknowledgments | addendum | answers | appendices | appendix | author | authors
    background | bibliography | biography | career | citations | comments | conclusion | conclusions | contact | contents
    copyright | credits | data availability | definition | definitions | description | details | discussion | document
    download | draft | early life | evaluation | example | examples | executive summary | exercises | experiments
    external links | faq | features | figures | footnotes | foreword | further reading | future work | getting started
    glossary | help | history | home | index | info | information | install | installation | introduction | intro
    legacy | licence | license | life | life and career | limitations | links | list of figures | list of tables | main
    materials and methods | menu | method | methodology | methods | misc | miscellaneous | motivation | navigation | note
    notes | notes and references | objectives | other | outline | overview | page | personal life | preface | preliminaries
    questions | readme | reception | references | related work | requirements | results | results and discussion | see also
    sources | summary | supplementary material | table of contents | tables | title | untitled | untitled document | usage
    works cited
    """.replace("\n", "|").split("|")
    if line.strip()
)
"""Headings that say what a part is for and name nothing."""


@cache
def common_words() -> frozenset[str]:
    """Words written in lower case more often than with a capital; made by scripts/build_common_words.py."""
    text = resources.files("mmkg.algorithms").joinpath("common_words.txt").read_text(encoding="utf-8")
    return frozenset(text.split())


def is_common(word: str) -> bool:
    """Whether a folded word says too little to be a name alone, however it is capitalised.

    >>> is_common("however"), is_common("armstrong")
    (True, False)
    """
    return word in STOP or word in NEVER_ALONE or word in common_words()
