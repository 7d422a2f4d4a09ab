"""Saturation: does throughput still grow with concurrency, where does growth end, and how much headroom is left?"""
