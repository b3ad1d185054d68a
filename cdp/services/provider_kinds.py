"""The kinds of providers, and how the settings of one part into credentials and the rest.

A credential is a setting of the type `SecretStr`, or an entry of one that maps names to such. It is
known by its path: `auth_token`, or `dkim_keys/s1._domainkey.example.com`.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError

from cdp.errors import FieldError, Invalid, pointer_of
from cdp.providers.registry import UnknownProvider, UnusableProvider, load, names
from cdp.providers.settings import is_operators

ERRORS_MAX: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderKind:
    """A kind of provider that there is."""

    kind: str
    model: type[BaseModel]
    secrets: tuple[str, ...]
    """The settings that are credentials, or map names to some."""
    maps: frozenset[str]
    """Those of them that map names."""
    operators: frozenset[str]
    """The settings that only the platform's operator may set."""

    def part(self, settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The settings without their credentials, and the credentials by their paths.

        What is no map where one should be stays where it is: `checked` refuses it there.
        """
        plain: dict[str, Any] = {}
        credentials: dict[str, Any] = {}
        for name, value in settings.items():
            if name in self.maps and isinstance(value, Mapping):
                credentials |= {f"{name}/{entry}": each for entry, each in value.items()}
            elif name in self.secrets and name not in self.maps:
                credentials[name] = value
            else:
                plain[name] = value
        return plain, credentials

    def checked(self, plain: Mapping[str, Any], credentials: Mapping[str, Any]) -> dict[str, Any]:
        """The settings without their credentials, each in the type that the kind takes.

        Raises:
            Invalid: together they are not what the kind takes.
        """
        try:
            fit = self.model.model_validate(whole(plain, credentials))
        except ValidationError as error:
            raise Invalid(_field_errors(error)) from None
        return fit.model_dump(mode="json", exclude_unset=True, exclude=set(self.secrets))


def whole(plain: Mapping[str, Any], credentials: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that `ProviderKind.part` has parted."""
    settings = dict(plain)
    for path, value in credentials.items():
        name, is_entry, entry = path.partition("/")
        if not is_entry:
            settings[name] = value
        elif isinstance(entries := settings.setdefault(name, {}), dict):
            entries[entry] = value
    return settings


def kind_of(kind: str) -> ProviderKind:
    """What is known of a kind.

    Raises:
        Invalid: there is none of this name, or it can't be used.
    """
    try:
        model: type[BaseModel] = load(kind).Settings
    except UnknownProvider:
        raise Invalid.at("/kind", "unknown", "There is no such kind of provider.") from None
    except UnusableProvider:
        # Why is the operator's to know: `cdp provider kinds` tells.
        raise Invalid.at("/kind", "unusable", "The package that has it can't be used.") from None
    fields = model.model_fields
    maps = frozenset(name for name, field in fields.items() if _maps_secrets(field.annotation))
    return ProviderKind(
        kind=kind,
        model=model,
        secrets=tuple(n for n, f in fields.items() if n in maps or _is_secret(f.annotation)),
        maps=maps,
        operators=frozenset(name for name, field in fields.items() if is_operators(field)),
    )


def kinds() -> list[ProviderKind]:
    """The kinds that can be set up: the platform's own, then those of packages."""
    found = []
    for name in names():
        with contextlib.suppress(Invalid):
            found.append(kind_of(name))
    return found


def _is_secret(annotation: Any) -> bool:
    if annotation is SecretStr:
        return True
    # Not of what contains others, such as a list: there it would have no path.
    is_thin = get_origin(annotation) in (Annotated, Union, UnionType)
    return is_thin and any(map(_is_secret, get_args(annotation)))


def _maps_secrets(annotation: Any) -> bool:
    return get_origin(annotation) is dict and _is_secret(get_args(annotation)[1])


def _field_errors(error: ValidationError) -> list[FieldError]:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return [
        FieldError(
            pointer=pointer_of(["settings", *(part for part in detail["loc"] if part != "[key]")]),
            code=detail["type"],
            detail=detail["msg"].removeprefix("Value error, ").rstrip(".") + ".",
        )
        for detail in details[:ERRORS_MAX]
    ]
