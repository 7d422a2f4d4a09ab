"""The reference server: it answers at a known pace, at little CPU, and logs when it sent each token."""
