"""Ground truth that nobody annotated, made from what is there; every record says how."""
