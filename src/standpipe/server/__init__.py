"""The HTTP listener: uvicorn with a hardened protocol."""
