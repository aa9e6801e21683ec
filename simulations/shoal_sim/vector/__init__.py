"""Models in arrays: whole networks of a million nodes, each a function of numbers and a generator."""
