"""What requests and answers have in common, for the compressor to refer to.

It is a part of the form that texts are kept in: with another one, nothing kept could be read. So it
never changes; a new one would get a tag of its own.
"""

from __future__ import annotations

import zstandard

# The forms that OpenAI publishes, the most frequent last: what is nearest is referred to in less.
_TEXT = (
    b'{"type":"function","function":{"name":"","description":"","parameters":{"type":"object",'
    b'"properties":{"":{"type":"string","description":""}},"required":[""],'
    b'"additionalProperties":false},"strict":true}}],"tool_choice":"auto",'
    b'"response_format":{"type":"json_schema","json_schema":{"name":"","schema":{'
    b'"parallel_tool_calls":false,"reasoning_effort":"low","seed":1,"top_p":1,"stop":["\\n"],'
    b'"frequency_penalty":0,"presence_penalty":0,"n":1,"user":"","metadata":{"prompt_id":"",'
    b'{"type":"image_url","image_url":{"url":"data:image/png;base64,'
    b'{"error":{"message":"","type":"invalid_request_error","param":null,"code":null}}'
    b'{"role":"tool","tool_call_id":"call_","content":"{\\"'
    b'{"role":"assistant","content":null,"tool_calls":[{"id":"call_","type":"function",'
    b'"function":{"name":"","arguments":"{\\"\\":\\"\\"}"}}]}'
    b'{"model":"gpt-4o-mini","messages":[{"role":"developer","content":"'
    b'{"role":"system","content":"You are a helpful assistant. '
    b'"},{"role":"assistant","content":"'
    b'"},{"role":"user","content":[{"type":"text","text":"'
    b'"},{"role":"user","content":"'
    b'"}],"temperature":0.2,"max_completion_tokens":1024,"max_tokens":512,"stream":true,'
    b'"stream_options":{"include_usage":true},"store":true}'
    b'{"id":"chatcmpl-","object":"chat.completion","created":17,"model":"gpt-4o-mini-2024-07-18",'
    b'"choices":[{"index":0,"message":{"role":"assistant","content":"","refusal":null,'
    b'"annotations":[]},"logprobs":null,"finish_reason":"tool_calls"}],'
    b'"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":1,'
    b'"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},'
    b'"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,'
    b'"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},'
    b'"service_tier":"default","system_fingerprint":"fp_"}'
    b'"},"logprobs":null,"finish_reason":"stop"}]'
)

DICTIONARY = zstandard.ZstdCompressionDict(_TEXT, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
