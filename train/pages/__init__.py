"""Makes the HTML pages: the site of `cxr-vlp report`, its charts, and the page of one batch."""
