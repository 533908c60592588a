from tests.cli.conftest import call, study, three_seeds

__all__ = ['call', 'study', 'three_seeds']
