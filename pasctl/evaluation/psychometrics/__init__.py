"""Psychometrics of a model that answers as a panel of people, compared with the people: one file per method."""
