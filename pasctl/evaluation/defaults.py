"""What an evaluation does unless it is told otherwise; light enough for a help text."""

TRIED_ALPHAS = "0,1,2,4,8"
"""Strengths to choose from."""
FOLDS = 4
"""Parts of the fit items, each held out once; PAPI has four fit items a facet."""
CONTROL_DRAWS = 3
"""Random directions that each persona is steered along."""
BUDGET_KL = 0.5
"""What steering may do to neutral text: KL(unsteered || steered) in nats/token."""
CONTROL_PEOPLE = 24
"""Personas that prompts and controls are run for, where there are more: a long system text and every random direction
cost as much as steering itself, and r over the items of 24 persons is known to about .02."""
SELF_REPORTS = 2
"""Self-report prompts that a statement is a reply to; the second shows how much the prompt matters."""
