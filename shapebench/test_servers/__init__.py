"""The simulator and the reference server of known timing."""
