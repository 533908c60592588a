"""Composer algorithms that follow the cycles of the learning rate."""
