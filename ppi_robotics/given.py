"""Types of dataclass fields that are given as one thing and kept as another, such as arrays, which are made from lists.

Type checkers take the types of a constructor's arguments from `__set__` of the field's type, and what is read from
`__get__`. At run time these names mean nothing.
"""

from typing import TYPE_CHECKING, Any, Generic, Self, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

Kept = TypeVar("Kept")
Given = TypeVar("Given")


class Converted(Generic[Kept, Given]):
    """A field of type `Kept` that is given as `Given`."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, obj: None, owner: Any) -> Self: ...
        @overload
        def __get__(self, obj: object, owner: Any) -> Kept: ...
        def __get__(self, obj: Any, owner: Any) -> Any: ...
        def __set__(self, obj: Any, value: Given) -> None: ...


Floats: TypeAlias = Converted[NDArray[np.float64], ArrayLike]
MaybeFloats: TypeAlias = Converted[NDArray[np.float64] | None, ArrayLike | None]
