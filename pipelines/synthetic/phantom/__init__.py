"""Images drawn from a patient's findings."""
