"""The columns are the fields of a POST: none is missing, and none is more."""

import types
import typing

import pytest
from pydantic import BaseModel

from cdp.channels.table import CHANNELS
from cdp.file_formats.reserved import COLUMNS
from cdp.http.communication_models import EmailIn, InAppIn, PushIn, SmsIn, WebhookIn

MODELS = {"email": EmailIn, "sms": SmsIn, "push": PushIn, "in_app": InAppIn, "webhook": WebhookIn}
WITHOUT_A_COLUMN = {
    ("data",): "a row has one recipient, who has data too",
    ("cc", "name"): "a cell has addresses alone",
    ("bcc", "name"): "a cell has addresses alone",
    ("to", "subscription", "expirationTime"): "the platform does not look at it",
}
ONE_CELL = {("cc", "email"): ("cc",), ("bcc", "email"): ("bcc",)}


def model_in(kind):
    """The model in a type, such as in a list of it."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    if typing.get_origin(kind) in (list, typing.Union, types.UnionType, typing.Annotated):
        return next(filter(None, map(model_in, typing.get_args(kind))), None)
    return None


def paths_of(model, at=()):
    for name, field in model.model_fields.items():
        inner = model_in(field.annotation)
        if inner is None:
            yield (*at, name)
        else:
            yield from paths_of(inner, (*at, name))


@pytest.mark.parametrize("channel", MODELS)
def test_every_field_of_a_post_has_a_column_and_every_column_a_field(channel):
    columns = COLUMNS[channel]
    paths = [field.path for field in columns.fields.values()]
    paths += [group.path for group in columns.groups.values()]
    named = {tuple(part for part in path if part != 0) for path in paths} | {("channel",)}

    fields = {ONE_CELL.get(path, path) for path in paths_of(MODELS[channel])}

    assert named == fields - WITHOUT_A_COLUMN.keys()


def test_every_channel_has_columns():
    assert COLUMNS.keys() == CHANNELS.keys() == MODELS.keys()
    for channel, columns in COLUMNS.items():
        field = CHANNELS[channel].address_field
        assert columns.fields["to"].path == ("to", 0, field)
