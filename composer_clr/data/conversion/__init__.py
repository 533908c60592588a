"""Smaller copies of image folders: ``composer-clr convert-images``."""
