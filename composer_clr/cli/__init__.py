"""The commands of ``composer-clr`` and the tables that they print; :mod:`~.app` is the entry point."""
