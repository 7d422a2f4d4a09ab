"""Catalogue of shapes and prices, and estimates from it."""
