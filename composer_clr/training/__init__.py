"""Builds Trainers from recipes; the only folder that imports all others except figures, analysis and cli."""
