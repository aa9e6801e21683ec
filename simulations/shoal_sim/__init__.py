"""Simulations of the network on the protocol code that the node runs."""
