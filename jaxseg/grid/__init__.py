"""From a list of cells to trained, evaluated, stored results."""
