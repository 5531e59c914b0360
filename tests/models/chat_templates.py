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

# Templates that write something between their generation prompt and an answer, or leave a thought open there.

# Mistral's with a plain vocabulary: a space before the answer, which its token holds.
MISTRAL = """\
{{- bos_token -}}
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}
{{ ' [INST] ' + message['content'] + ' [/INST]' }}
{%- elif message['role'] == 'assistant' -%}
{{ ' ' + message['content'] + eos_token }}
{%- else -%}
{{ raise_exception('Only user and assistant roles are supported') }}
{%- endif -%}
{%- endfor -%}
"""

# As Zephyr's and DeepSeek-V2's: the generation prompt lacks the white space that stands before an answer.
SHORT_PROMPT = """\
{%- for message in messages -%}
{{ '<|' + message['role'] + '|>\\n' + message['content'] + eos_token + '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}
"""
COLON = """\
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}{{ 'User: ' + message['content'] + '\\n\\n' }}
{%- elif message['role'] == 'assistant' -%}{{ 'Assistant: ' + message['content'] + eos_token }}
{%- else -%}{{ message['content'] + '\\n\\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'Assistant:' }}{%- endif -%}
"""

# No generation prompt at all.
NO_PROMPT = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor -%}
"""

# As gpt-oss's: an answer stands in a channel, which the model names itself.
CHANNELS = """\
{%- for message in messages -%}
{%- if message.role == 'assistant' -%}
{{ '<|start|>assistant<|channel|>final<|message|>' + message.content + '<|end|>' }}
{%- else -%}{{ '<|start|>' + message.role + '<|message|>' + message.content + '<|end|>' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|start|>assistant' }}{%- endif -%}
"""

# As DeepSeek-R1's: a thought is always opened, and left out of answered turns.
R1 = """\
{{- bos_token -}}
{%- for message in messages -%}
{%- if message['role'] == 'user' -%}{{ '<|User|>' + message['content'] }}
{%- elif message['role'] == 'assistant' -%}
{%- set content = message['content'] -%}
{%- if '</think>' in content -%}{%- set content = content.split('</think>')[-1] -%}{%- endif -%}
{{ '<|Assistant|>' + content + '<|end|>' }}
{%- else -%}{{ message['content'] }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|Assistant|><think>\\n' }}{%- endif -%}
"""

# As QwQ's and Qwen3-Thinking's: a thought is always opened, and the last answer is shown with its own, even if empty.
QWEN_THINKING = """\
{%- for message in messages -%}
{%- if message.role == 'assistant' and loop.last -%}
{%- set reasoning = message.reasoning_content if message.reasoning_content is string else '' -%}
{{ '<|im_start|>assistant\\n<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' }}
{{- message.content.lstrip('\\n') + '<|im_end|>\\n' }}
{%- else -%}
{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n<think>\\n' }}{%- endif -%}
"""

# A thought is shown where a message brings one, in the template's own form.
OWN_THOUGHTS = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' }}
{%- if message.reasoning_content is defined -%}{{ '[THINK]' + message.reasoning_content + '[/THINK]' }}{%- endif -%}
{{ message.content + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n[THINK]' }}{%- endif -%}
"""

# A thought is always opened, and nothing says how it ends.
UNKNOWN_END = NO_PROMPT + "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n<|thinking|>' }}{%- endif -%}\n"
THINK_ONLY = NO_PROMPT + "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n<think>\\n' }}{%- endif -%}\n"
