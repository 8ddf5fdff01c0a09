"""A LiteLLM configuration read as one of ours."""
