"""What earlier runs made and read, so that a run rebuilds only what a change affects."""
