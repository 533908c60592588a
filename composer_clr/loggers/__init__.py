"""Weights & Biases: curves logged to it during training, and recovered from its runs (:mod:`~.import_curves`)."""
