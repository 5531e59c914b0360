"""What is answered about the service itself, as classes: `/openapi.json` describes them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pasctl.serving.answers import Answer


class PersonaCard(Answer):
    """A persona, and how strongly requests are steered to it that name no alpha."""

    id: str
    object: Literal["persona"]
    model: str = Field(description="what a request may name as its model")
    name: str = Field(description="reference and id, which stay true whatever else is served")
    directions: str
    alpha: float | None = Field(description="the chosen strength; null if none was chosen, so a request must name one")
    alpha_from: str = Field(description="where alpha comes from, or why there is none")
    positions: Literal["all", "answer"]
    traits: dict[str, float] = Field(
        description="mean keyed score of each trait with answers, on the directions' scale"
    )


class DirectionsCard(Answer):
    """Directions that are served, and where they come from."""

    object: Literal["directions"]
    name: str
    key: str
    digest: str = Field(description="sha256 of its files' names, sizes and digests")
    model: str
    stage: str
    stage_version: int
    created_at: str
    site: str
    personas: int
    inventory: str
    scale: list[float] = Field(min_length=2, max_length=2, description="lowest and highest score")
    added: bool = Field(description="added by a request, and can be removed by one")


class PersonaList(Answer):
    """The personas that can be named by their id alone."""

    object: Literal["list"]
    data: list[PersonaCard]
    directions: list[DirectionsCard]
    total: int
    listed: int


class DirectionsRemoved(Answer):
    """That directions are served no more."""

    object: Literal["directions.removed"]
    name: str
    removed: Literal[True]


class Health(Answer):
    """That it answers."""

    status: Literal["ok"]
    model: str
    version: str


class State(Answer):
    """That the process lives, or that the model answers."""

    status: Literal["ok"]
