"""Stag hunt: hunters on a grid meet at stags or take hares alone; exact and approximate inference.

`__init__.pyi` lists the public names. Each is loaded on first use.
Figures, animations and commands are in the modules of these names.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
