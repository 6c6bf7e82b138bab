"""Draws chest X-rays from a patient's findings. The entry is `render.draw`."""
