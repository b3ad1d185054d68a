import pytest

from cdp.http.variable_names import data_matched


@pytest.mark.parametrize("name", ["First_Name", "firstname", "FIRST-NAME", "first name"])
def test_a_column_is_the_variable_that_it_is_but_for_case_and_spaces(name):
    data = {"city": "Lyon", name: "Ada"}

    assert data_matched(data, [("first_name",)]) == {"city": "Lyon", "first_name": "Ada"}
    assert list(data) == ["city", name]


def test_what_is_inside_is_found_by_each_of_its_names():
    data = {"Order": {"Total Price": "3", "no": "7"}}

    assert data_matched(data, [("order", "total_price"), ("order", "no")]) == {
        "order": {"total_price": "3", "no": "7"}
    }


def test_where_two_may_be_meant_or_none_is_nothing_is_changed():
    two = {"First_Name": "Ada", "firstname": "Bo"}

    assert data_matched(two, [("first_name",)]) == two
    assert data_matched({"city": "Lyon"}, [("first_name",)]) == {"city": "Lyon"}
    assert data_matched({"Order": "x"}, [("order", "no")]) == {"order": "x"}


def test_an_exact_name_counts_more():
    data = {"First_Name": "Ada", "first_name": "Bo", "Plan": "gold"}

    assert data_matched(data, [("plan",)]) == {
        "First_Name": "Ada",
        "first_name": "Bo",
        "plan": "gold",
    }
