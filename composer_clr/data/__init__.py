"""Datasets, one module for each family."""
