"""Chat templates that behave as the well-known families' do, written here from their behaviour.

What matters about each is in its comment; tests depend on that behaviour and on nothing else.
"""

from __future__ import annotations

# Turns between <|im_start|> and <|im_end|>; the generation prompt ends in an empty think block once thinking is
# switched off, and the model's last answer is shown with such a block as well.
QWEN3 = """\
{%- for message in messages -%}
{%- if message.role == 'assistant' and loop.last -%}
<|im_start|>assistant
<think>

</think>

{{ message.content }}<|im_end|>
{% else -%}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false -%}
{{ '<think>\\n\\n</think>\\n\\n' }}
{%- endif -%}
{%- endif -%}
"""

# The template writes BOS itself, always has a system turn, and puts today's date into it unless told a date.
LLAMA3 = """\
{%- if not date_string is defined -%}
{%- if strftime_now is defined -%}
{%- set date_string = strftime_now('%d %b %Y') -%}
{%- else -%}
{%- set date_string = '26 Jul 2024' -%}
{%- endif -%}
{%- endif -%}
{%- if messages[0].role == 'system' -%}
{%- set system = messages[0].content | trim -%}{%- set turns = messages[1:] -%}
{%- else -%}
{%- set system = '' -%}{%- set turns = messages -%}
{%- endif -%}
{{ bos_token + '<|start_header_id|>system<|end_header_id|>\\n\\n' -}}
{{ 'Today Date: ' + date_string + '\\n\\n' + system + '<|eot_id|>' }}
{%- for turn in turns -%}
{{ '<|start_header_id|>' + turn.role + '<|end_header_id|>\\n\\n' + turn.content | trim + '<|eot_id|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif -%}
"""

# No system role: the template refuses it, as Gemma's and the first Mistral's do. No space after [/INST].
NO_SYSTEM = """\
{{- bos_token -}}
{%- for message in messages -%}
{%- if message.role == 'user' -%}
{{ '[INST] ' + message.content + ' [/INST]' }}
{%- elif message.role == 'assistant' -%}
{{ message.content + eos_token }}
{%- else -%}
{{ raise_exception('Only user and assistant roles are supported') }}
{%- endif -%}
{%- endfor -%}
"""

# No system role, and the template does not say so: the text is lost.
DROPS_SYSTEM = """\
{%- for message in messages if message.role in ('user', 'assistant') -%}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\\n' }}
{%- endif -%}
"""

TEMPLATES: dict[str, str | None] = {
    "qwen3": QWEN3,
    "llama": LLAMA3,
    "base": None,
    "no-system": NO_SYSTEM,
    "drops-system": DROPS_SYSTEM,
}
