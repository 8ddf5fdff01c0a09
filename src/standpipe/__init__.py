"""A self-hosted, OpenAI-compatible inference gateway that remembers."""

__version__ = "0.1.0"
