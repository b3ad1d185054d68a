"""What the settings of every provider have in common."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from cdp.ports.provider import ProviderTools


class ProviderSettings(BaseModel):
    """Closed and frozen. Its `SecretStr` fields are the credentials; no error repeats one.

    A field that maps names to `SecretStr` holds a credential under each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


OPERATORS_ONLY: Final[dict[str, Any]] = {"x-operators-only": True}
"""A field's `json_schema_extra` where only the platform's operator may set it: it leads to a file
of the platform's machines, or to a host past the guard of rule A7."""


def is_operators(field: FieldInfo) -> bool:
    """Whether only the platform's operator may set this."""
    return field.json_schema_extra == OPERATORS_ONLY


def refuse_operators_only(settings: ProviderSettings, tools: ProviderTools) -> None:
    """Refuse what only the operator may set in the account of a client.

    Raises:
        ValueError: so it is set.
    """
    if tools.reach_private:
        return
    for name, field in type(settings).model_fields.items():
        if is_operators(field) and getattr(settings, name) != field.default:
            raise ValueError(f"only the operator may set {name}")
