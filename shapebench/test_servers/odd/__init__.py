"""The odd server: of known timing as the reference server, with the oddities of real servers as switches."""
