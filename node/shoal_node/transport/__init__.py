"""How nodes reach each other: one small interface, a libp2p host and its in-memory twin."""
