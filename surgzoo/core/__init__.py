"""What every room stands on: registry, typed configs, the batch contract, mesh and sharding."""
