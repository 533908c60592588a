"""The record of a run and its files: ``curve.json`` and the long CSV, read and written without torch."""
