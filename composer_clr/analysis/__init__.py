"""Functions on curves: means over seeds, pairing, gaps, costs, and the questions that a study answers."""
