"""What is asked and who answers: inventories, personas and the prompts made from them."""

from pasctl.inventory.answers import read_answers
from pasctl.inventory.builtin import builtin_inventory
from pasctl.inventory.check import DataReport, check_data
from pasctl.inventory.coding import CodingReport, prove_coding
from pasctl.inventory.described import norms_described
from pasctl.inventory.first_person import first_person
from pasctl.inventory.item import Item
from pasctl.inventory.items import Inventory, canonical_digest, listing
from pasctl.inventory.option_labels import chosen_inventory
from pasctl.inventory.options import (
    by_level,
    expected_scores,
    option_names,
    option_places,
    option_scores,
    relative_chances,
)
from pasctl.inventory.papi import papi_inventory, papi_personas
from pasctl.inventory.papi_hub import cached_papi, pull_papi
from pasctl.inventory.persona_table import persona_table, set_of_table, write_personas
from pasctl.inventory.personas import (
    Personas,
    PersonaSet,
    Span,
    require_on_scale,
    require_usable,
    safe_label,
    signs,
    trait_poles,
)
from pasctl.inventory.prompts import (
    ORDERS,
    draw_orders,
    few_shot,
    option_levels,
    personality_prompt,
    question,
    second_person,
    spoken,
    wording_digest,
)
from pasctl.inventory.prose import load_prose
from pasctl.inventory.simulate import GradedResponse, simulate
from pasctl.inventory.spec import (
    absolute_spec,
    default_personas,
    has_respondents,
    inventory_of,
    load_inventory,
    load_personas,
    open_personas,
    resolve_personas,
)

__all__ = [
    "ORDERS",
    "CodingReport",
    "DataReport",
    "GradedResponse",
    "Inventory",
    "Item",
    "PersonaSet",
    "Personas",
    "Span",
    "absolute_spec",
    "builtin_inventory",
    "by_level",
    "cached_papi",
    "canonical_digest",
    "check_data",
    "chosen_inventory",
    "default_personas",
    "draw_orders",
    "expected_scores",
    "few_shot",
    "first_person",
    "has_respondents",
    "inventory_of",
    "listing",
    "load_inventory",
    "load_personas",
    "load_prose",
    "norms_described",
    "open_personas",
    "option_levels",
    "option_names",
    "option_places",
    "option_scores",
    "papi_inventory",
    "papi_personas",
    "persona_table",
    "personality_prompt",
    "prove_coding",
    "pull_papi",
    "question",
    "read_answers",
    "relative_chances",
    "require_on_scale",
    "require_usable",
    "resolve_personas",
    "safe_label",
    "second_person",
    "set_of_table",
    "signs",
    "simulate",
    "spoken",
    "trait_poles",
    "wording_digest",
    "write_personas",
]
