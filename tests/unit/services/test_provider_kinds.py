"""What of a provider's settings is a credential, and how credentials and the rest are parted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, SecretStr

from cdp.errors import Invalid
from cdp.providers.registry import PROVIDERS
from cdp.providers.settings import OPERATORS_ONLY, ProviderSettings, is_operators
from cdp.services.provider_kinds import ProviderKind, kind_of, kinds, whole


class Settings(ProviderSettings):
    account: str
    token: SecretStr
    backup: SecretStr | None = None
    keys: dict[str, SecretStr] = Field({}, max_length=3)
    size: int = 5
    ca_file: str | None = Field(None, json_schema_extra=OPERATORS_ONLY)


KIND = ProviderKind(
    kind="email.acme",
    model=Settings,
    secrets=("token", "backup", "keys"),
    maps=frozenset({"keys"}),
    operators=frozenset({"ca_file"}),
)
texts = st.text(st.characters(codec="utf-8"), max_size=6)


def test_credentials_are_known_by_their_types():
    smtp = kind_of("email.smtp")

    assert kind_of("sms.twilio").secrets == ("auth_token",)
    assert smtp.secrets == ("password", "dkim_keys")
    assert smtp.maps == {"dkim_keys"}
    assert {each.kind for each in kinds()} == set(PROVIDERS)


def test_what_only_the_operator_may_set_is_marked_in_the_schema():
    properties = Settings.model_json_schema()["properties"]

    assert [name for name, said in properties.items() if "x-operators-only" in said] == ["ca_file"]
    assert [n for n, f in Settings.model_fields.items() if is_operators(f)] == ["ca_file"]
    assert kind_of("email.ses").operators == {"endpoint_url"}
    assert kind_of("push.apns").operators == {"base_url", "ca_file"}
    assert kind_of("email.smtp").operators == {"tls_ca_file"}


@given(
    account=texts,
    token=texts,
    keys=st.dictionaries(texts, texts, max_size=3),
    size=st.none() | st.integers(),
)
def test_what_was_parted_is_whole_again(account, token, keys, size):
    settings = {"account": account, "token": token, "keys": keys, "size": size}

    plain, credentials = KIND.part(settings)

    assert plain == {"account": account, "size": size}
    assert credentials == {"token": token, **{f"keys/{name}": key for name, key in keys.items()}}
    assert {"keys": {}, **whole(plain, credentials)} == settings


def test_what_is_kept_has_its_type_and_no_credential():
    plain, credentials = KIND.part({"account": "a", "token": "t", "keys": {"k": "v"}, "size": "7"})

    assert KIND.checked(plain, credentials) == {"account": "a", "size": 7}


@pytest.mark.parametrize(
    ("settings", "pointer", "code"),
    [
        ({"token": "t"}, "/settings/account", "missing"),
        ({"account": "a"}, "/settings/token", "missing"),
        ({"account": "a", "token": 5}, "/settings/token", "string_type"),
        ({"account": "a", "token": "t", "keys": ["x"]}, "/settings/keys", "dict_type"),
        ({"account": "a", "token": "t", "keys": None}, "/settings/keys", "dict_type"),
        ({"account": "a", "token": "t", "keys": {"a/b": 5}}, "/settings/keys/a~1b", "string_type"),
        (
            {"account": "a", "token": "t", "keys": dict.fromkeys("abcd", "x")},
            "/settings/keys",
            "too_long",
        ),
        ({"account": "a", "token": "t", "x/y~z": 1}, "/settings/x~1y~0z", "extra_forbidden"),
    ],
)
def test_what_does_not_fit_is_named_by_its_pointer(settings, pointer, code):
    with pytest.raises(Invalid) as refused:
        KIND.checked(*KIND.part(settings))

    assert [(each.pointer, each.code) for each in refused.value.errors] == [(pointer, code)]


def test_a_kind_that_there_is_not_is_refused():
    with pytest.raises(Invalid):
        kind_of("sms.acme")
