"""The one error that means: what the user wrote cannot be carried out (exit code 2)."""

from shoal_protocol.errors import UserError


class UsageError(UserError):
    """A value on the command line, in the environment or in config.toml is wrong."""
