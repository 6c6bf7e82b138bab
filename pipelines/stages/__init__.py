"""The work on one part of a collection, stage by stage."""
