"""What the books ask of channels other than email."""

from cdp.domain.result_audit import judge
from tests.unit.domain.test_books import SENT, TERMS, case_of, log_of, result_of, rules


def test_v7_only_an_email_has_the_id_that_a_ledger_goes_by():
    events = log_of(SENT)
    text_message = result_of(events, channel="sms", lane="sms.default")

    assert judge(case_of(events, text_message, ledger=[]), TERMS).findings == []
    assert rules(judge(case_of(events, ledger=[]), TERMS)) == {"V7"}
