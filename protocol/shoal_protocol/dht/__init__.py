"""Kademlia over authenticated channels: where announcements are put and found."""
