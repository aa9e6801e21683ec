"""The exact tier: the protocol's own machines under virtual time."""
