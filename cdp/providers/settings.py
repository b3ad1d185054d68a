"""What the settings of every provider have in common."""

from pydantic import BaseModel, ConfigDict


class ProviderSettings(BaseModel):
    """Closed and frozen. Its `SecretStr` fields are the credentials; no error repeats one."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
