"""From a recipe to a Trainer: the only folder that knows all the others but figures, analysis and cli."""
