"""Makes the static site that `cxr-vlp report` writes: its frame and its pages."""
