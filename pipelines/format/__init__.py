"""The shard format, the contract between the rooms. Standard library only."""
