"""Tables, migrations and queries: the only code that speaks SQL."""
