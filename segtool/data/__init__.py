"""The dataset contract: where pairs lie, and what mask values mean."""
