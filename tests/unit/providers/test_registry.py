import pytest

from cdp.providers.email.smtp import SmtpProvider
from cdp.providers.registry import PROVIDERS, UnknownProvider, load


def test_a_provider_is_found_by_its_name():
    assert load("email.smtp") is SmtpProvider


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_each_row_leads_to_a_provider(name):
    provider = load(name)

    assert callable(provider.deliver)
    assert callable(provider.close)


def test_an_unknown_name_is_refused():
    with pytest.raises(UnknownProvider, match=r"sms\.acme"):
        load("sms.acme")
