"""The directory of relays: signed descriptors and leases, the view of them, and its gossip."""
