"""The built-in inventory: 60 statements written for pasctl, so that everything runs with no data at hand.

Twelve statements a trait, in three facets of four. It has not been validated on people: use it to try things out, and
a published inventory for results about personality.
"""

from __future__ import annotations

from functools import cache

from pasctl.inventory.item import Item, Split
from pasctl.inventory.items import Inventory

LABELS = (
    "Very accurate",
    "Moderately accurate",
    "Neither accurate nor inaccurate",
    "Moderately inaccurate",
    "Very inaccurate",
)

# Each facet's four statements stand in this order, so that either split holds one of each key.
_PLACES: tuple[tuple[Split, int], ...] = (("fit", 1), ("fit", -1), ("report", 1), ("report", -1))

_FACETS: tuple[tuple[str, str, tuple[str, str, str, str]], ...] = (
    (
        "O",
        "imagination",
        (
            "I make up stories in my head while I wait for a bus.",
            "I stay with the facts and leave make-believe to other people.",
            "I can picture places that do not exist down to the last detail.",
            "I get impatient when a conversation drifts into what might have been.",
        ),
    ),
    (
        "O",
        "aesthetics",
        (
            "I stop what I am doing when a piece of music moves me.",
            "I walk past paintings without slowing down.",
            "I notice the light, the colors and the shapes of a room that I enter.",
            "I find a poem a roundabout way of saying something simple.",
        ),
    ),
    (
        "O",
        "curiosity",
        (
            "I look things up for no other reason than wanting to know.",
            "I lose interest in a question that has no practical use.",
            "I enjoy an argument that makes me change my view of something.",
            "I stay with the topics that I already understand.",
        ),
    ),
    (
        "C",
        "order",
        (
            "I put my tools back where they belong as soon as I am done.",
            "I let papers and clothes pile up for weeks.",
            "I keep lists so that nothing slips my mind.",
            "I search for my keys more often than I would like to admit.",
        ),
    ),
    (
        "C",
        "perseverance",
        (
            "I finish a long task even when the fun has gone out of it.",
            "I drop a project as soon as it turns tedious.",
            "I practice a difficult piece until I get it right.",
            "I let small distractions pull me away from my desk.",
        ),
    ),
    (
        "C",
        "reliability",
        (
            "I show up at the hour I said I would.",
            "I agree to a deadline and then let it pass.",
            "I read a letter over for mistakes before I send it.",
            "I forget favors that I said I would do.",
        ),
    ),
    (
        "E",
        "sociability",
        (
            "I start conversations with people I have never met.",
            "I look for an empty corner when a room fills up.",
            "I come home from a long evening with friends in better spirits than I left.",
            "I would rather spend a free Saturday by myself than in company.",
        ),
    ),
    (
        "E",
        "assertiveness",
        (
            "I speak first when a group has to decide something.",
            "I let louder people make the decision.",
            "I tell people plainly what I want from them.",
            "I swallow an objection if everybody else seems to agree.",
        ),
    ),
    (
        "E",
        "energy",
        (
            "I throw myself into a new day with plenty of drive.",
            "I need a long break after a busy hour.",
            "I talk fast and wave my hands when something delights me.",
            "I move through most days slowly and without much excitement.",
        ),
    ),
    (
        "A",
        "compassion",
        (
            "I leave my own work lying when someone near me is upset.",
            "I find it tiresome to listen to other people's troubles.",
            "I feel a lump in my throat when I see a stranger cry.",
            "I walk past people in need without giving them much thought.",
        ),
    ),
    (
        "A",
        "trust",
        (
            "I take people at their word until they give me a reason to doubt it.",
            "I assume that a favor comes with strings attached.",
            "I would lend my bicycle to a new neighbor without a second thought.",
            "I count my change twice in case somebody tries to cheat me.",
        ),
    ),
    (
        "A",
        "courtesy",
        (
            "I choose gentle words even when I am sure that I am right.",
            "I make cutting remarks about people who annoy me.",
            "I give way in a quarrel to keep the peace.",
            "I push past other people to get what I want.",
        ),
    ),
    (
        "N",
        "worry",
        (
            "I lie awake going over what could go wrong.",
            "I put bad news out of my mind within the hour.",
            "I feel my heart race before an ordinary phone call.",
            "I walk into an exam with a quiet mind.",
        ),
    ),
    (
        "N",
        "irritability",
        (
            "I snap at people over small things.",
            "I stay friendly when someone keeps me waiting.",
            "I go on fuming long after a disagreement is over.",
            "I laugh it off when a plan of mine falls through.",
        ),
    ),
    (
        "N",
        "gloom",
        (
            "I have days when nothing seems worth the effort.",
            "I wake up content with the life I have.",
            "I blame myself for slips that nobody else remembers.",
            "I recover within a day from a disappointment.",
        ),
    ),
)


@cache
def builtin_inventory() -> Inventory:
    """The inventory "builtin": 60 items, ids such as `E01`, six fit and six report items a trait."""
    items: list[Item] = []
    for trait, facet, texts in _FACETS:
        for text, (split, key) in zip(texts, _PLACES, strict=True):
            number = 1 + sum(item.trait == trait for item in items)
            items.append(Item(id=f"{trait}{number:02d}", text=text, trait=trait, facet=facet, key=key, split=split))
    return Inventory(name="builtin", items=tuple(items), labels=LABELS)
