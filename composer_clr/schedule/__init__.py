"""When cycles end and what the multiplier is.

:mod:`~composer_clr.schedule.shapes` to :mod:`~composer_clr.schedule.cost_ratio` are plain mathematics on the standard
library; :mod:`~composer_clr.schedule.times` and what builds on it speak Composer's language.
"""
