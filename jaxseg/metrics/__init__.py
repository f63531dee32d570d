"""Bands, counts to numbers, statistics over seeds."""
