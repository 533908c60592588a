"""A decorator of classes that hides the arguments of their constructor."""


def experimental(cls):
    """Decorates a class as LLM Foundry does its scheduler: the constructor no longer shows its arguments."""
    original_init = cls.__init__

    def new_init(self, *args, **kwargs):
        original_init(self, *args, **kwargs)

    cls.__init__ = new_init
    return cls
