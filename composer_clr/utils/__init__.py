"""Small parts that know nothing of learning rates: errors, text, durations, files, models, ranks."""
