"""Weights & Biases, MLflow and TensorBoard: curves logged to them during training, and recovered from their runs."""
