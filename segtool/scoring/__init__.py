"""Pairs to counts: the same counting for a network's masks and for masks on disk."""

from segtool.scoring.network import tally_pairs as tally_pairs
