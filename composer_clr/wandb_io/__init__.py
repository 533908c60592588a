"""All that knows Weights & Biases: curves logged to it while they grow, and read back from its runs."""
