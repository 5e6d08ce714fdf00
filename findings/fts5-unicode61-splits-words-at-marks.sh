#!/usr/bin/env bash
# SQLite's FTS5 tokenizer unicode61 with `remove_diacritics 2` drops combining marks of Latin inside a word, and ends the word at the
# vowel signs of Devanagari and the vowel points of Arabic and Hebrew: a Hindi word is indexed as single consonants, so that a search
# for one finds nearly every text, and a prefix or phrase of a word with its marks is another query than one would think.
# Guess before: a mark never ends a word. Seen with: apsw 3.54.1.0 (SQLite 3.54.1), https://www.sqlite.org/fts5.html section 4.3.1,
# which says that all characters but letters, digits and private use are separators, and only of diacritics that they are removed.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet apsw==3.54.1.0
"$dir/venv/bin/python" - << 'PY'
import apsw

db = apsw.Connection(":memory:")
db.execute("CREATE VIRTUAL TABLE texts USING fts5 (text, tokenize = 'unicode61 remove_diacritics 2')")
db.execute("CREATE VIRTUAL TABLE terms USING fts5vocab (texts, 'instance')")


def terms(text):
    db.execute("DELETE FROM texts")
    db.execute("INSERT INTO texts VALUES (?)", (text,))
    return [term for (term,) in db.execute("SELECT term FROM terms ORDER BY offset")]


expected = {
    "Latin, mark inside": ("seri\u0301alize", ["serialize"]),
    "Hindi, vowel signs": ("\u0939\u093f\u0928\u094d\u0926\u0940", ["\u0939", "\u0928", "\u0926"]),
    "Arabic, vowel points": ("\u0645\u064f\u062d\u064e\u0645\u0651\u064e\u062f", ["\u0645", "\u062d", "\u0645", "\u062f"]),
    "Hebrew, vowel points": ("\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd", ["\u05e9", "\u05dc\u05d5", "\u05dd"]),
}
print(f"apsw {apsw.apsw_version()}, SQLite {apsw.sqlite_lib_version()}")
changed = False
for what, (text, before) in expected.items():
    now = terms(text)
    print(f"{what}: {text!r} is indexed as {now}")
    changed |= now != before
raise SystemExit(1 if changed else 0)
PY
