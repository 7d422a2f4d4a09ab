"""Uses of Prefect: leases, blocks, events, progress."""
