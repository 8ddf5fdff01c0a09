"""The embedded models: llama.cpp's server, as it really reads what it is sent."""
