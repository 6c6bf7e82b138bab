"""The files and tables of each collection, as its publisher lays them out."""
