"""Prompts that pasctl asks, written for it: for fitting, for self-reports, for tuning, and for the report.

No prompt is in two lists: what is reported was asked on prompts that nothing was fitted or chosen on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pasctl.inventory import Inventory

NEUTRAL_QUESTIONS = (
    "How was your day?",
    "What do you like to do in your free time?",
    "What are you thinking about right now?",
    "Tell me about yourself.",
    "How do you spend a typical weekend?",
    "What would you do with a free afternoon?",
    "What matters to you in life?",
    "How do you feel today?",
)
"""Questions that directions are fitted on: anybody can answer them, and none is about a trait."""

SELF_REPORT_PROMPTS = (
    "What kind of person are you?",
    "Describe yourself in one sentence.",
    "Tell me something about yourself.",
    "What are you like?",
)
"""Prompts that a statement in the first person answers."""


def self_reports(inventory: Inventory) -> tuple[str, ...]:
    """The prompts that an inventory's statements answer: its own, in its language, or `SELF_REPORT_PROMPTS`."""
    return inventory.wording.self_reports or SELF_REPORT_PROMPTS


TUNING_PROMPTS = (
    "What are you going to do after work today?",
    "A new neighbour has moved in next door. What do you do?",
    "How was your last holiday?",
    "Your train is two hours late. What now?",
    "What do you think about the new office rules?",
    "A friend asks to borrow your car. What do you say?",
    "Write a short note for someone who is ill.",
    "What would you do with a free morning?",
    "Somebody sings loudly in the street at night. What do you think?",
    "How do you get ready for a job interview?",
    "You have found a wallet in the park. What happens next?",
    "Tell me about a meal that you remember.",
)
"""Everyday prompts on which strength is chosen and the classifier of texts is calibrated."""

EVERYDAY_PROMPTS = (
    "What are your plans for the weekend?",
    "How do you feel about tomorrow's exam?",
    "You are invited to a party where you know nobody. What do you do?",
    "Someone has just broken your favourite cup. What do you say?",
    "A colleague made a mistake in your report. How do you react?",
    "We are planning a trip to the mountains. Any thoughts?",
    "My sister and I have not spoken for a month. What should I do?",
    "Should I buy this old house?",
    "What did you do yesterday evening?",
    "The phone rings late at night. What goes through your mind?",
    "Tell me about your desk at work.",
    "There is a museum of modern art around the corner. Shall we go?",
    "You have to give a speech on Friday. How is it going?",
    "A stranger asks you for money. What do you do?",
    "What would you do if you won the lottery?",
    "The dinner that you cooked did not turn out well. What now?",
    "How do you like to celebrate your birthday?",
    "Your best friend is moving to another country. What do you tell them?",
    "What do you think when you look at the night sky?",
    "My boss wants me to work on Sunday. What would you say to him?",
    "How do you pack for a week at the sea?",
    "Someone cuts in front of you in a queue. What do you do?",
    "I have had a cough for three weeks. What do you think it is?",
    "What was school like for you?",
    "A friend has lost her job. Write her a short message.",
    "Your team has lost the match. What do you say to the others?",
    "What would you change about your home?",
    "It is raining and the tent leaks. What happens next?",
    "Tell me a story about a dog.",
    "What will your life look like in ten years?",
)
"""Everyday prompts of the report."""
