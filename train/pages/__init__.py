"""Makes the HTML pages: the site, its charts, the page of one batch."""
