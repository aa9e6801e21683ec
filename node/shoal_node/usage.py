"""Errors that end a command with an exit code of their own."""

from shoal_protocol.errors import UserError


class UsageError(UserError):
    """A value on the command line, in the environment or in config.toml is wrong (exit code 2)."""


class LeftBehind(UserError):
    """A relay has drained, and nobody took some of what it keeps (exit code 3)."""
