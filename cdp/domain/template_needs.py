"""The variables without which a template can't be rendered for anybody, held against some data.

Asked for every recipient that is accepted, so that what is nearly always so costs least: that all
roots are there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What one variant of a template certainly needs."""

    roots: frozenset[str] = frozenset()
    """Names of variables."""
    deeper: Sequence[Path] = ()
    """Values inside of variables, such as `("order", "id")`."""

    @classmethod
    def of(cls, paths: Iterable[str]) -> "Needs":
        """From dotted paths such as `order.id`."""
        split = [tuple(path.split(".")) for path in paths]
        return cls(
            roots=frozenset(path[0] for path in split),
            deeper=tuple(path for path in split if len(path) > 1),
        )

    def paths(self) -> list[str]:
        """The dotted paths, sorted."""
        return sorted({*self.roots, *map(".".join, self.deeper)})

    def lacking(self, own: Mapping[str, Any], shared: Mapping[str, Any]) -> list[Path]:
        """What is certainly not there.

        Args:
            own: the recipient's data, which come before the others.
            shared: the request's.
        """
        absent = [] if self.roots <= own.keys() else self.roots - own.keys() - shared.keys()
        found: list[Path] = [(name,) for name in sorted(absent)]
        for path in self.deeper:
            if path[0] not in absent and _is_absent(own if path[0] in own else shared, path):
                found.append(path)
        return found


NOTHING_NEEDED = Needs()


def _is_absent(data: Any, path: Path) -> bool:
    """Whether there is no such value. What is no object is left to the template."""
    for name in path:
        if data is None or (isinstance(data, dict) and name not in data):
            return True
        if not isinstance(data, dict):
            return False
        data = data[name]
    return False
