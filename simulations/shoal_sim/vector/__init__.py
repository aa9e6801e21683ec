"""Models in arrays: networks of a million nodes, each a function of numbers and a generator."""
