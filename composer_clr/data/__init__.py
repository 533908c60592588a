"""Data sets, one module per family; ``by_name.py`` is the way in."""
