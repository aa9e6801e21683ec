"""Boxes that one hand writes and relays keep, and the capabilities over a chain of them."""
