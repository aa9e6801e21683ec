"""Shoal's protocol: packets, pseudonyms, directory, DHT and delivery as sans-I/O code.

Nothing here reads a clock, a socket, a file or a random source of its own: bytes or
events and ``now`` (integer nanoseconds since the Unix epoch) come in, events go out.
The node drives these machines with trio, simulations with a heap of virtual time.
"""
