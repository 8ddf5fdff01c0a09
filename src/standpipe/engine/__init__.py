"""The local llama.cpp server: its process, its weights, its place as a provider."""
