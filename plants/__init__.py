"""Ready-made plants, written with the public names of ppi_robotics.

`__init__.pyi` lists the public names. Each is loaded on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
