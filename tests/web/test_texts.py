"""Every text of a page is there in French: none is missing, fuzzy, left over, or lacks what is filled in."""

import pytest
from tests.parts.texts import ROOMS, placeholders, shown, translated


@pytest.mark.parametrize("room", ROOMS)
def test_no_text_is_untranslated(room: str) -> None:
    catalog = {
        one.id if isinstance(one.id, tuple) else (one.id,): one for one in translated(ROOMS[room]) if one.id
    }
    texts = shown(ROOMS[room])
    assert len(texts) > 5
    assert texts - set(catalog) == set()
    assert set(catalog) - texts == set()
    for text, message in catalog.items():
        strings = message.string if isinstance(message.string, tuple) else (message.string,)
        assert not message.fuzzy, text
        assert len(strings) == len(text), text
        assert all(strings), text
        for string in strings:
            assert placeholders(str(string)) == placeholders(str(text[-1])), text
