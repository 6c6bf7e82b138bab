"""Files on this machine: paths, tables, JSON lines, folders that are replaced in one step."""
