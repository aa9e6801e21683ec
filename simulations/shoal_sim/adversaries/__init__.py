"""Adversaries: plug-ins that see what wires and corrupt relays show, and say what they believe."""
