"""Prepared records to shuffled, mixed, joined batches on the mesh."""
