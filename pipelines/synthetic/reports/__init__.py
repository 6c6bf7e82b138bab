"""Reports written from a patient's findings."""
