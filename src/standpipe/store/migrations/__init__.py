"""Alembic's room: how migrations run (`env.py`) and the migrations (`versions/`)."""
