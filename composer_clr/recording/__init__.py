"""What happens at a trough: evaluation, a point of the curve, a snapshot of the weights."""
