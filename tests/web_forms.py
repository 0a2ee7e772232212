"""What a browser would send of a form of a page."""

from __future__ import annotations

from html.parser import HTMLParser


class _Form(HTMLParser):
    """The hidden and filled-in fields of the form of a page that posts to an address."""

    def __init__(self, action: str) -> None:
        super().__init__()
        self.action, self.fields, self.found = action, {}, False
        self._inside = False
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = given.get("action", "") == self.action
            self.found |= self._inside
        if not self._inside:
            return
        if tag == "input" and given.get("name") and given.get("type") not in ("checkbox", "radio"):
            self.fields.setdefault(given["name"], given.get("value", ""))
        if tag == "input" and given.get("type") in ("checkbox", "radio") and "checked" in given:
            self.fields[given["name"]] = given.get("value", "on")
        if tag == "select":
            self._select = given.get("name", "")
        if tag == "option" and self._select and ("selected" in given or self._select not in self.fields):
            self.fields[self._select] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


def form_of(text: str, action: str) -> dict[str, str]:
    """What a browser would send of that form when nothing is typed."""
    parser = _Form(action)
    parser.feed(text)
    assert parser.found, f"no form that posts to {action}"
    return parser.fields
