"""Small parts that know nothing of learning rates: errors, files, models, ranks, and arguments as plain values."""
