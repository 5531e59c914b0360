"""One line of finding about texts: whether steering shows in them, and what it costs."""

from __future__ import annotations

from pasctl.evaluation.auc import FEWEST_PROMPTS, Auc


def text_verdict(
    auc: Auc | None,
    plus: str,
    minus: str,
    *,
    embeddings: Auc | None = None,
    perplexity_ratio: float | None = None,
    described: bool = True,
) -> str:
    """The verdict on texts of two personas, or of one steered up and down.

    Args:
        auc: of the + texts' log-odds against the - texts'; None where they were not measured.
        plus: what the + texts are called.
        minus: the - texts.
        embeddings: AUC of the classifier that does not share the model.
        perplexity_ratio: of steered texts over unsteered ones, under the unsteered model.
        described: whether there are descriptions of the two.
    """
    return "; ".join(
        filter(None, (_effect(auc, plus, minus, described), _confirmed(auc, embeddings), _cost(perplexity_ratio)))
    )


def _effect(auc: Auc | None, plus: str, minus: str, described: bool) -> str:
    if auc is None:
        why = "no prompt has a text of both" if described else "there are no descriptions to judge them by"
        return f"{plus} and {minus} texts are not classified: {why}"
    if auc.low is None:
        return f"no verdict on {auc.prompts} prompt{'s' if auc.prompts > 1 else ''}, it needs at least {FEWEST_PROMPTS}"
    on = f"on {auc.prompts} unseen prompts"
    if not auc.differs:
        return f"no effect on text: {plus} and {minus} texts have AUC {auc} {on}"
    if auc.auc < 0.5:
        return f"{plus} and {minus} texts are told apart the wrong way round, with AUC {auc} {on}"
    return f"{plus} and {minus} texts are told apart with AUC {auc} {on}"


def _confirmed(auc: Auc | None, embeddings: Auc | None) -> str:
    if embeddings is None or embeddings.low is None:
        return ""
    same = auc is not None and auc.differs and embeddings.differs and (auc.auc > 0.5) == (embeddings.auc > 0.5)
    if same:
        return f"sentence embeddings confirm it: {embeddings}"
    return f"sentence embeddings {'do not confirm it' if auc is not None and auc.differs else 'have'}: {embeddings}"


def _cost(perplexity_ratio: float | None) -> str:
    return "" if perplexity_ratio is None else f"perplexity {perplexity_ratio:.2f}x that of unsteered text"
