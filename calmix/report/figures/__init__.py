"""Figures that several studies use: data first, then drawing."""
