"""The loss of a recipe: `losses` (the equations), `terms` (weighted sum), `method` (the module)."""
