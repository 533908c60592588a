"""When cycles end and what the multiplier is.

:mod:`~composer_clr.schedule.shapes` to :mod:`~composer_clr.schedule.cost_ratio` use the standard library
alone; :mod:`~composer_clr.schedule.times` and what builds on it use Composer's state and time.
"""
