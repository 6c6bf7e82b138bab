"""What the layouts share: cases become image files, reports, tables, archives and truth lines."""
