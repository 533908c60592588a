"""YAML to dataclasses, to planned cycles, to the runs of a study; no torch."""
