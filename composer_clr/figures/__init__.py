"""One function per figure, each on an ``Axes`` that it is given."""
