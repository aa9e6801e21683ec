"""Adversaries: plug-ins that see what a wire or a corrupt relay shows, and say what they believe."""
