"""Attachments: fragments in the boxes of a stream of their own, with parity against loss."""
