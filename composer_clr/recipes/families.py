"""Families of recipes: which models, data and keys go together."""

from __future__ import annotations

from composer_clr.recipes.code import is_own
from composer_clr.recipes.schema import Recipe, RecipeError

__all__ = ['IMAGE_CLASSIFIER', 'LANGUAGE_MODEL', 'check_family', 'family_of', 'samples_per_batch']

IMAGE_CLASSIFIER = 'image classifier'
LANGUAGE_MODEL = 'language model'

# All other networks are image classifiers.
_LANGUAGE_MODELS = ('small_transformer',)
_LANGUAGE_DATA = ('standard_library',)
# The key that recipes of a family need, and those of the other do not have.
_KEYS = {IMAGE_CLASSIFIER: ('model', 'num_classes'), LANGUAGE_MODEL: ('data', 'sequence_length')}


def family_of(recipe: Recipe) -> str:
    """Returns the family of a recipe's network: ``'image classifier'`` or ``'language model'``.

    One's own network is of the family of its data; with data of one's own too, ``data.sequence_length`` decides.

    Example:
        >>> from composer_clr.recipes.load import load_recipe
        >>> family_of(load_recipe('quickstart/digits')), family_of(load_recipe('quickstart/text'))
        ('image classifier', 'language model')
    """
    if not is_own(recipe.model.name):
        of_language = recipe.model.name in _LANGUAGE_MODELS
    elif not is_own(recipe.data.name):
        of_language = recipe.data.name in _LANGUAGE_DATA
    else:
        of_language = recipe.data.sequence_length is not None
    return LANGUAGE_MODEL if of_language else IMAGE_CLASSIFIER


def check_family(recipe: Recipe, source: str) -> None:
    """Refuses data and keys of another family than the network's, and batch sizes that are none."""
    family, data = family_of(recipe), recipe.data
    if not is_own(data.name) and (data.name in _LANGUAGE_DATA) != (family == LANGUAGE_MODEL):
        remedy = f': name {", ".join(_LANGUAGE_DATA)}' if family == LANGUAGE_MODEL else ''
        raise RecipeError(f'data.name={data.name}: is not data for model.name={recipe.model.name}, {family!r}{remedy}')
    # A ComposerModel of one's own has its number of classes in itself.
    both_own = is_own(data.name) and is_own(recipe.model.name)
    for owner, (section, key) in _KEYS.items():
        value = getattr(getattr(recipe, section), key)
        if owner == family and value is None and not both_own:
            raise RecipeError(f'{source}: {section}.{key} is required: pass {section}.{key}=VALUE')
        if owner != family and value is not None:
            raise RecipeError(
                f'{section}.{key}={value}: belongs to {owner!r}, but model.name={recipe.model.name} is of the family '
                f'{family!r}: leave it out'
            )
    if data.sequence_length is not None and data.sequence_length < 1:
        raise RecipeError(f'data.sequence_length={data.sequence_length}: must be at least 1 token')
    for key in ('batch_size', 'eval_batch_size'):
        samples_per_batch(recipe, key)


def samples_per_batch(recipe: Recipe, key: str) -> int:
    """Returns ``data.batch_size`` or ``data.eval_batch_size`` in samples, also where it is given in tokens.

    Example:
        >>> from composer_clr.recipes.load import load_recipe
        >>> samples_per_batch(load_recipe('quickstart/text', ['data.batch_size=4096tok']), 'batch_size')
        32
    """
    size, length = getattr(recipe.data, key), recipe.data.sequence_length
    number = str(size).removesuffix('tok')
    if not number.isascii() or not number.isdigit():
        raise RecipeError(f'data.{key}={size}: must be a number of samples, or of tokens such as 2048tok')
    if number == str(size):
        return int(number)
    if length is None:
        raise RecipeError(f'data.{key}={size}: batches of {recipe.data.name} have no tokens: give a number of samples')
    sequences, rest = divmod(int(number), length)
    if rest or not sequences:
        raise RecipeError(f'data.{key}={size}: must be a multiple of data.sequence_length={length}')
    return sequences
