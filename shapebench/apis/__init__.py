"""How each API is requested and how its answers are read: `table.APIS` has an entry for each."""
