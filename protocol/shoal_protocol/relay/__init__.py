"""What a relay does with packets: limits per peer, mixing delays, rotation of mix keys."""
