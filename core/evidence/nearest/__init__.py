"""The nearest vectors of those that a filter leaves: exactly, or by an index that is held to the exact answer."""
