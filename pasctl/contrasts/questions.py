"""What a model is asked, by purpose; no question serves two purposes, so nothing is judged on what it was fitted on."""

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
"""Asked of both sides of a contrast of descriptions; directions are fitted where the answers begin."""

SELF_REPORT_PROMPTS = (
    "Describe yourself in one sentence.",
    "What kind of person are you?",
    "Tell me something about yourself.",
    "What are you like?",
)
"""Statements are read as the reply to these."""

TUNING_PROMPTS = (
    "What did you have for breakfast?",
    "Describe the street that you live in.",
    "Your phone rings late at night. What do you do?",
    "How do you get to work?",
    "What do you do when it rains all day?",
    "A shop gives you too much change. What happens next?",
    "What would you cook for a guest?",
    "How do you start a new project?",
    "Tell me about a book or a film.",
    "What do you say to a new neighbour?",
    "Your train is cancelled. What now?",
    "What would you change about your room?",
)
"""For choosing alpha and calibrating classifiers of text."""

EVERYDAY_PROMPTS = (
    "Tell me about your weekend.",
    "How do you feel about tomorrow's exam?",
    "A friend invites you to a big party. What do you say?",
    "What did you do last night?",
    "You broke a cup at a friend's house. What do you do?",
    "Your colleague made a mistake in a report. How do you react?",
    "Plan a trip for next summer.",
    "What would you do with a million dollars?",
    "Write a short message to an old friend.",
    "How was your first day at the new job?",
    "Your neighbour plays loud music. What do you do?",
    "What do you think about moving to another city?",
    "Tell me about your family.",
    "You are waiting for a doctor's call. What goes through your mind?",
    "A stranger asks you for directions. What happens?",
    "What do you want to achieve this year?",
    "Describe your ideal evening.",
    "Your boss wants to talk to you. What do you expect?",
    "How do you prepare for a long journey?",
    "What would you say in a speech at a wedding?",
    "Somebody takes your seat on the bus. What do you do?",
    "Tell me about something that went wrong.",
    "What do you do on a Sunday morning?",
    "A child asks you why the sky is blue. What do you answer?",
    "You find a wallet in the park. What now?",
    "Should I buy this old house?",
    "What do you think of modern art?",
    "How do you deal with a deadline?",
    "Your team lost the game. What do you tell them?",
    "Write the first lines of a diary entry.",
)
"""Everyday prompts of the report, on which nothing is fitted, chosen or calibrated."""
