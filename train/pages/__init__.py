"""What people look at: charts, galleries, the page of one batch."""
