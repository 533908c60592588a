"""Evaluates networks derived from a run's weights at its troughs, without disturbing training."""
