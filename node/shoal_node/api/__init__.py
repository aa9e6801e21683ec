"""The local API: what a running node offers to commands and pages on the same machine."""
