"""Packets: what every link carries, one size for every purpose (Sphinx with a KEM per hop)."""
