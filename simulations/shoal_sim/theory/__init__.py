"""Closed forms: what the literature says a network of these numbers gives, without drawing."""
