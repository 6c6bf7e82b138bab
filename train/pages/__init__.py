"""Makes the HTML pages: charts, example images, the page of one batch."""
