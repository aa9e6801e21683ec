"""Floors in C: compiled on the machine that measures, never shipped as binaries."""
