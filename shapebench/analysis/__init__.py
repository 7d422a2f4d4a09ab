"""Samples to metrics, intervals, conclusion, capacity, scaling and comparison."""
