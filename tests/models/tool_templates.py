"""Chat templates with tools that behave as the well-known families' do, written here from their behaviour."""

from __future__ import annotations

# Qwen3's: tools in the system turn as lines of JSON, calls and answers between tags, an answer is a turn of the user.
QWEN3 = """\
{%- set first = messages[0] -%}
{%- if tools or first.role == 'system' -%}
<|im_start|>system
{% if first.role == 'system' %}{{ first.content }}
{% endif %}
{%- if tools %}<tools>
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}</tools>{% endif %}<|im_end|>
{% endif -%}
{%- for message in messages -%}
{%- if message.role == 'user' or (message.role == 'system' and not loop.first) -%}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% elif message.role == 'assistant' -%}
<|im_start|>assistant
{% if loop.last %}<think>

</think>

{% endif %}{{ message.content }}
{%- for call in message.tool_calls or [] -%}
{%- if message.content or not loop.first %}{{ '\\n' }}{% endif -%}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor -%}
<|im_end|>
{% elif message.role == 'tool' -%}
<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false -%}
{{ '<think>\\n\\n</think>\\n\\n' }}
{%- endif -%}
{%- endif -%}
"""

# Llama 3.1's: tools before the first user's words, a call is bare JSON with `parameters` and replaces the words, one
# at most, and the answer of a tool is written as a JSON string.
LLAMA3 = """\
{{- bos_token -}}
{%- if messages[0].role == 'system' -%}
{%- set system = messages[0].content -%}{%- set turns = messages[1:] -%}
{%- else -%}
{%- set system = '' -%}{%- set turns = messages -%}
{%- endif -%}
{{ '<|start_header_id|>system<|end_header_id|>\\n\\n' + system + '<|eot_id|>' }}
{%- for turn in turns -%}
{%- if turn.tool_calls -%}
{%- if turn.tool_calls | length != 1 -%}{{ raise_exception('one call at a time') }}{%- endif -%}
{%- set call = turn.tool_calls[0].function -%}
{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
{{ '{"name": "' + call.name + '", "parameters": ' -}}{{ call.arguments | tojson }}{{ '}<|eot_id|>' -}}
{%- elif turn.role == 'tool' -%}
{{ '<|start_header_id|>ipython<|end_header_id|>\\n\\n' + (turn.content | tojson) + '<|eot_id|>' -}}
{%- else -%}
{{ '<|start_header_id|>' + turn.role + '<|end_header_id|>\\n\\n' -}}
{%- if loop.first and tools -%}
{% for tool in tools %}{{ (tool | tojson) + '\\n\\n' }}{% endfor %}
{%- endif -%}
{{ turn.content + '<|eot_id|>' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif -%}
"""

# Mistral's: no system role, tools before the last user's words, a special token before a list of calls, ids of nine
# characters.
MISTRAL = """\
{{- bos_token -}}
{%- set last_user = messages | selectattr('role', 'equalto', 'user') | list | last -%}
{%- for message in messages -%}
{%- if message.role == 'user' -%}
{%- if tools and message == last_user -%}
{{ '[AVAILABLE_TOOLS] ' + (tools | tojson) + '[/AVAILABLE_TOOLS]' -}}
{%- endif -%}
{{ '[INST] ' + message.content + '[/INST]' -}}
{%- elif message.tool_calls -%}
{{ '<|start_header_id|> [' -}}
{%- for call in message.tool_calls -%}
{%- if call.id | length != 9 -%}{{ raise_exception('ids have nine characters') }}{%- endif -%}
{{ {'name': call.function.name, 'arguments': call.function.arguments, 'id': call.id} | tojson -}}
{{ ', ' if not loop.last else ']' + eos_token -}}
{%- endfor -%}
{%- elif message.role == 'assistant' -%}
{{ ' ' + message.content + eos_token -}}
{%- elif message.role == 'tool' -%}
{{ '[TOOL_RESULTS] {"content": ' + (message.content | tojson) + '}[/TOOL_RESULTS]' -}}
{%- else -%}
{{ raise_exception('no such role') }}
{%- endif -%}
{%- endfor -%}
"""

# Qwen3-Coder's: a call is markup with an element for each argument.
MARKUP = QWEN3.replace(
    """{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
""",
    """<function={{ call.function.name }}>
{% for key, value in call.function.arguments.items() %}<parameter={{ key }}>
{{ value if value is string else value | tojson }}
</parameter>
{% endfor %}</function>
""",
)

JSON_FORMS = {"qwen3": QWEN3, "llama": LLAMA3, "mistral": MISTRAL}
FORMS = {**JSON_FORMS, "markup": MARKUP}
