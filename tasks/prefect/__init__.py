"""How Prefect is used: leases, blocks, events, progress."""
