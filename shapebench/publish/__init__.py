"""Copies reports to a folder or to OCI Object Storage."""
