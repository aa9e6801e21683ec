"""A persona's keys, its public name, and the record by which that name is reached."""
