"""Functions on curves: means over seeds, pairing, gaps, costs, intervals, and what a study answers."""
