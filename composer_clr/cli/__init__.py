"""The commands of ``composer-clr`` and the tables that they print."""
