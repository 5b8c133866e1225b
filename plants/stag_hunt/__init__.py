"""Stag hunt: hunters on a grid meet at stags or settle for hares; exactly, and by belief propagation.

`__init__.pyi` lists the public names. Each is loaded on first use.
Modules `figures`, `animation` and `commands` stand beside them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
