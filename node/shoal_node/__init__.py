"""The node: drives ``shoal_protocol`` over libp2p, and serves the local API and commands."""
