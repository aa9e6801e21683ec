"""The ``shoal`` command: each group of commands in one module, found by ``main``."""
