"""Blocks on a ring: exact control, belief propagation and the cluster variation method.

`__init__.pyi` lists the public names. Each is loaded on first use.
Figures, animations and commands are in the modules of these names.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
