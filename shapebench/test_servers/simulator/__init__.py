"""The simulator: a server that looks like vLLM, batches continuously as it does, and logs the truth about itself."""
