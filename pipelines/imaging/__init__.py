"""Decodes image files (DICOM, PNG, JPEG) and encodes them as 8-bit grey images of one size."""
