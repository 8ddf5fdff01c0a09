"""Why something of a LiteLLM configuration is not carried, and what to do instead: data."""

from __future__ import annotations

_OBSERVE = "calls are on record here; other places are told otherwise"
_CACHE = "this version has no cache of answers"
_BUDGET = "limits and budgets are set for keys and projects: see docs/configuration.md"
_REDIS = "the Redis of limits is set in standpipe.toml: see docs/configuration.md"
_FIDELITY = (
    "a field that a provider lacks is refused by name; callers say "
    "`standpipe-fidelity: best-effort` to have it dropped"
)
_ON_FAILURE = "`fallback` follows failures of every kind that another target may not have"

PARAMS = {
    "organization": "the header of an organization is not sent",
    "drop_params": _FIDELITY,
    "additional_drop_params": _FIDELITY,
    "max_retries": "retries are the route's",
    "num_retries": "retries are the route's",
    "stream_timeout": "time-outs are the provider's: timeouts.first_byte and timeouts.idle",
    "mock_response": "there are no made-up answers",
    "extra_headers": "no headers of one's own are sent to providers",
    "headers": "no headers of one's own are sent to providers",
    "max_budget": _BUDGET,
    "budget_duration": _BUDGET,
    "tags": "there is no routing by tags; `sticky` and names of routes are nearest",
    "aws_profile_name": "credentials are written, or read from variables by env:NAME",
    "aws_role_name": "no role is taken on: give credentials of it",
    "aws_session_name": "no role is taken on: give credentials of it",
    "tenant_id": "only keys are sent to Azure",
    "client_id": "only keys are sent to Azure",
    "client_secret": "only keys are sent to Azure",
    "azure_ad_token": "only keys are sent to Azure",
}
MODEL_INFO = {
    "base_model": "prices are looked up by the model's own name: write [prices] where it has none",
    "access_groups": "the models of a key are set with the key",
    "team_id": "a project is nearest: give it keys of its own",
}
ROUTER = {
    "redis_host": _REDIS,
    "redis_port": _REDIS,
    "redis_password": _REDIS,
    "redis_url": _REDIS,
    "context_window_fallbacks": _ON_FAILURE,
    "content_policy_fallbacks": _ON_FAILURE,
    "retry_policy": "what is tried again is the same for all routes",
    "allowed_fails_policy": "each failure of a target counts alike",
    "enable_pre_call_checks": "a prompt that is too long is the provider's to refuse",
    "retry_after": "a provider's Retry-After of up to 5 seconds is waited for",
    "disable_cooldowns": "a target that rests is tried last, and never left untried",
    "enable_tag_filtering": "there is no routing by tags",
    "cache_responses": _CACHE,
    "routing_strategy_args": "the choice has nothing to set",
    "max_fallbacks": "at most 16 targets are tried for a call",
    "stream_timeout": "time-outs are the provider's: timeouts.first_byte and timeouts.idle",
    "provider_budget_config": _BUDGET,
}
LITELLM = {
    "drop_params": _FIDELITY,
    "modify_params": _FIDELITY,
    "cache": _CACHE,
    "cache_params": _CACHE,
    "success_callback": _OBSERVE,
    "failure_callback": _OBSERVE,
    "callbacks": _OBSERVE,
    "service_callbacks": _OBSERVE,
    "context_window_fallbacks": _ON_FAILURE,
    "content_policy_fallbacks": _ON_FAILURE,
    "turn_off_message_logging": 'logging.content = "none" keeps no texts',
    "redact_messages_in_exceptions": "errors on record follow logging.content",
    "max_budget": _BUDGET,
    "budget_duration": _BUDGET,
    "default_internal_user_params": _BUDGET,
    "upperbound_key_generate_params": _BUDGET,
    "set_verbose": "the log has one level",
    "json_logs": "the log's form is Standpipe's own",
    "num_workers": "server.workers",
}
GENERAL = {
    "master_key": "`standpipe keys create` makes keys; STANDPIPE_API_KEY is the first one's",
    "database_url": "store.url names a database of Standpipe's own: no table of LiteLLM's is read",
    "store_model_in_db": "models are in standpipe.toml alone",
    "alerting": "budget alerts are set with the budget",
    "alerting_threshold": "budget alerts are set with the budget",
    "max_parallel_requests": "max_in_flight of a target or a route is nearest",
    "global_max_parallel_requests": "max_in_flight of a route is nearest",
    "max_request_size_mb": "server.max_body_bytes",
    "disable_spend_logs": "numbers are always kept; texts follow logging.default",
    "store_prompts_in_spend_logs": 'logging.default = "all" keeps every text',
    "maximum_spend_logs_retention_period": "retention.content_days and retention.records_days",
    "allow_requests_on_db_unavailable": "store.key_grace says how long known keys go on working",
    "proxy_batch_write_at": "the drain writes as it comes",
    "custom_auth": "keys of Standpipe's own are the one way in",
    "enable_jwt_auth": "keys of Standpipe's own are the one way in",
    "background_health_checks": "a target that failed is probed with calls",
    "health_check_interval": "a target that failed is probed with calls",
    "pass_through_endpoints": "only the paths in docs/api.md are served",
}
TOP = {
    "include": "give the included files to this command as well",
    "guardrails": "redaction is the one thing done to texts: see [redaction]",
    "mcp_servers": "there is no gateway to tools here",
    "callback_settings": _OBSERVE,
}
