"""Storage: local disks and object stores (s3://, gs://, abfs://) behind one interface."""
