"""Decodes image files (DICOM, PNG, JPEG) and encode them as 8-bit grey images of one size."""
