"""One function per figure, drawn on the ``Axes`` that the caller passes; :mod:`~.paper` finds a figure by number."""
