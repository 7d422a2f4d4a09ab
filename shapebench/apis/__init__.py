"""How each API is asked and how its answers are read."""
