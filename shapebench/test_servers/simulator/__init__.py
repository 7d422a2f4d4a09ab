"""A server that looks like vLLM, behaves as continuous batching does, and knows the truth about itself."""
