"""Index terms that also join irregular forms: "ran" and "run", "death" and "die"."""

from __future__ import annotations

from functools import cache

from mmkg.algorithms.terms import terms

_FORMS = """
    begin began begun | bind bound | bear born birth birthplace birthday | bite bit bitten | blow blew blown | break broke broken
    bring brought | build built | buy bought | catch caught | choose chose chosen | come came | die dead death | draw drew drawn
    drink drank drunk | drive drove driven | eat ate eaten | fall fell fallen | feed fed | fight fought | fly flew flown flight
    forget forgot forgotten | freeze froze frozen | get got gotten | give gave given | go went gone | grow grew grown | hang hung
    hear heard | hide hid hidden | hold held | keep kept | know knew known | lay laid | lead led | leave left | lend lent | lose lost
    make made | meet met | pay paid | ride rode ridden | ring rang rung | rise rose risen | run ran | say said | see saw seen | seek sought
    sell sold | send sent | shake shook shaken | shoot shot | show shown | sing sang sung | sink sank sunk | sit sat | sleep slept
    speak spoke spoken | spend spent | stand stood | steal stole stolen | strike struck | swear swore sworn | swim swam swum
    take took taken | teach taught | tear tore torn | tell told | think thought | throw threw thrown | wear wore worn | win won
    weave wove woven | write wrote written
"""


@cache
def _roots() -> dict[str, str]:
    groups = [line.split() for part in _FORMS.strip().splitlines() for line in part.split("|")]
    return {stem: terms(group[0])[0] for group in groups for word in group for stem in terms(word)}


def stems(text: str) -> list[str]:
    """Index terms of a text (mmkg.algorithms.terms), irregular forms replaced by the root they share.

    >>> stems("The boat ran aground"), stems("Where did it run?")
    (['boat', 'run', 'aground'], ['run'])
    """
    roots = _roots()
    return [roots.get(term, term) for term in terms(text)]
