"""When cycles end and what the multiplier is.

The modules :mod:`~composer_clr.schedule.times` to :mod:`~composer_clr.schedule.run_schedule` use the standard library
alone; schedulers use Composer's state and time.
"""
