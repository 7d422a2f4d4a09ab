"""The simulator, the reference server of known timing, and the odd server, which differs from OpenAI's."""
