"""The simulator: a server that behaves like vLLM, with continuous batching, and logs its true times."""
