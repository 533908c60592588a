"""Recipes: YAML to dataclasses, to planned cycles, to the runs of a study; no torch.

:func:`~composer_clr.recipes.load.load_recipe` reads one; :func:`~composer_clr.recipes.study.study` lists the runs of a
study.
"""
