"""What an evaluation does unless it is told otherwise; light enough for a help text."""

TRIED_ALPHAS = "0,1,2,4,8"
"""Strengths to choose from."""
FOLDS = 4
"""Parts of the fit items, each held out once; PAPI has four fit items a facet."""
CONTROL_DRAWS = 3
"""Random directions that each persona is steered along."""
BUDGET_KL = 0.5
"""What steering may do to neutral text: KL(unsteered || steered) in nats/token."""
CONTROL_PEOPLE = {"letters": 24, "statements": 12}
"""Personas that prompts, controls and readings after the first are run for, where there are more, by the first reading:
a long system text and every random direction cost as much as steering itself. r over the items of 12 persons is known
to about .02. Letters cost less where steering begins at the answer."""
SELF_REPORTS = 1
"""Self-report prompts that a statement is a reply to. A second one shows how much the prompt matters, and costs as much
as the first; on SmolLM2 the mean of two told 12 respondents apart no better than the better one."""
