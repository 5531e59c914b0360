"""Where vLLM takes requests in: a persona is looked up, refused if there is none, and kept apart in the prefix cache.

vLLM 0.32 has no place for a plugin to do this, so three of its methods are wrapped, once per process. They are as they
were for every model but those of `pasctl.vllm_plugin.persona_models`. Imported by vLLM alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vllm.entrypoints.serve.engine.protocol import ModelCard, ModelPermission
from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import SamplingParams

from pasctl.errors import PasctlError
from pasctl.vllm_plugin import PERSONA_ARCHITECTURES
from pasctl.vllm_plugin.persona_request import PERSONA, RESOLVED, RequestSteering, resolve
from pasctl.vllm_plugin.persona_table import Persona, PersonaFolder
from pasctl.vllm_plugin.wrapping import wrap


def install() -> None:
    """Wrap the three methods."""
    from vllm.entrypoints.openai.models.serving import OpenAIServingModels
    from vllm.entrypoints.serve.engine.serving import BaseServing
    from vllm.v1.engine.input_processor import InputProcessor

    wrap(InputProcessor, "process_inputs", checked)
    wrap(BaseServing, "_check_model", named)
    wrap(OpenAIServingModels, "show_available_models", listed)


def personas_of(model_config: Any) -> dict[str, Persona] | None:
    """The personas that a model has now; None of a model that is none of ours.

    Raises:
        VLLMValidationError: a table cannot be read.
    """
    if not set(PERSONA_ARCHITECTURES.values()) & set(model_config.architectures or ()):
        return None
    shape = model_config.hf_text_config.num_hidden_layers, model_config.get_hidden_size()
    folder = _folder(str(model_config.model), shape)
    try:
        folder.refresh()
    except PasctlError as error:
        raise _refused(error) from error
    return folder.personas


@functools.cache
def _folder(path: str, shape: tuple[int, int]) -> PersonaFolder:
    return PersonaFolder(Path(path), shape)


def checked(process_inputs: Callable[..., Any]) -> Callable[..., Any]:
    """`InputProcessor.process_inputs`, with the request's persona looked up and its prefix cache salted."""

    def process(self: Any, request_id: str, prompt: Any, params: Any, *args: Any, **kwargs: Any) -> Any:
        personas = personas_of(self.model_config)
        if personas is None:
            return process_inputs(self, request_id, prompt, params, *args, **kwargs)
        steering = _steering(params, personas)
        request = process_inputs(self, request_id, prompt, params, *args, **kwargs)
        if request.sampling_params is not None:
            _mark(request, steering)
        return request

    return process


def _steering(params: Any, personas: dict[str, Persona]) -> RequestSteering | None:
    said = params.extra_args if isinstance(params, SamplingParams) else getattr(params, "extra_kwargs", None)
    if not isinstance(params, SamplingParams):
        if said and PERSONA in said:
            raise VLLMValidationError("only requests that generate text can have a persona", parameter=PERSONA)
        return None
    try:
        return resolve(said or {}, personas)
    except PasctlError as error:
        raise _refused(error) from error


def _mark(request: Any, steering: RequestSteering | None) -> None:
    """Say in a request what is added to it, and nothing else that a user may have put there."""
    said = {name: value for name, value in (request.sampling_params.extra_args or {}).items() if name != RESOLVED}
    if steering is not None:
        tokens = request.prompt_token_ids if request.prompt_token_ids is not None else request.prompt_embeds
        said[RESOLVED] = steering.document()
        request.cache_salt = f"{request.cache_salt or ''}|{steering.salt(len(tokens))}"
    elif PERSONA in said:  # at alpha 0: as if it had none
        said.pop(PERSONA)
    request.sampling_params.extra_args = said or None


def named(check_model: Callable[..., Any]) -> Callable[..., Any]:
    """`_check_model` of vLLM's server, which takes `MODEL+PERSONA` for MODEL with that persona."""

    async def check(self: Any, request: Any) -> Any:
        personas = personas_of(self.models.model_config)
        if personas is not None and request.model:
            _rename(request, [path.name for path in self.models.base_model_paths], personas)
        return await check_model(self, request)

    return check


def _rename(request: Any, bases: list[str], personas: dict[str, Persona]) -> None:
    """Take a persona out of the model's name, where such a persona is, and put it where requests name theirs."""
    if request.model in bases or not hasattr(request, "vllm_xargs"):
        return
    for base in sorted(bases, key=len, reverse=True):
        name = request.model.removeprefix(f"{base}+")
        if name != request.model:
            said = dict(request.vllm_xargs or {})
            if said.setdefault(PERSONA, name) != name:
                raise VLLMValidationError(
                    f"the model names persona {name!r}, and vllm_xargs {said[PERSONA]!r}: expected one of them",
                    parameter=PERSONA,
                )
            request.model, request.vllm_xargs = base, said
            return


def listed(show_models: Callable[..., Any]) -> Callable[..., Any]:
    """`show_available_models` of vLLM's server, with a name per persona."""

    async def show(self: Any) -> Any:
        shown = await show_models(self)
        base = self.base_model_paths[0]
        shown.data.extend(
            ModelCard(id=f"{base.name}+{name}", root=base.model_path, parent=base.name, permission=[ModelPermission()])
            for name in personas_of(self.model_config) or ()
        )
        return shown

    return show


def _refused(error: PasctlError) -> VLLMValidationError:
    told = f"{error}; {error.hint}" if error.hint else str(error)
    return VLLMValidationError(told, parameter=PERSONA)
