"""The names that collections have for findings: terms of MeSH, of PadChest, of VinDr."""
