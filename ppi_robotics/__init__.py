"""Trajectory optimization by probabilistic inference, with feedback policies and their cost distributions.

`__init__.pyi` lists the public names. Each is loaded on first use, so that importing the package stays fast.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, _, _names = lazy_loader.attach_stub(__name__, __file__)
_MODULES = ("gym", "tasks")  # not in __all__, as `import *` is to work without the packages of gym
__all__ = ["__version__", *(name for name in _names if name not in _MODULES)]


def __dir__():
    return sorted([*__all__, *_MODULES])
