"""The server's own metrics: scraped, read under stable names, and reconciled with the samples."""
