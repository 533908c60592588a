"""Networks made of a run's weights and evaluated at its troughs, without disturbing training."""
