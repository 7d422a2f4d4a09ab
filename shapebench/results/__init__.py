"""The results file: DuckDB, imports, exports."""
