"""The instrument: connections, the level that drives them, the process that runs it, and what starts that."""
