"""What the generators have in common: how long a text may be, how one is spoilt, and how a row is written."""

import json

MAX_VERSION, MAX_REQUIREMENT = 64, 200


def spoilt(r, text, signs):
    """The text with something put in or taken out."""
    for _ in range(r.randint(1, 2)):
        at = r.randint(0, len(text))
        text = text[:at] + r.choice(signs) + text[at:] if r.random() < 0.7 else text[:at] + text[at + 1:]
    return text


def write(ask, want, known=None):
    """A row; `known` says why the answer may be another one here."""
    print(json.dumps({"ask": ask, "want": want} | ({"known": known} if known else {})))
