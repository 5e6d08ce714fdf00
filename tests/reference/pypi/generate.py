"""Writes rows about names, versions, specifiers and file names, and what `packaging` says of them."""

import json
import random
import sys

from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import (
    InvalidName, InvalidSdistFilename, InvalidWheelFilename, canonicalize_name, canonicalize_version,
    parse_sdist_filename, parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

MAX_VERSION, MAX_REQUIREMENT, MAX_NAME, MAX_FILE_NAME = 64, 200, 214, 255
SPACES = [" ", "\t", "\n", "\v", "\f", "\r", "\x1c", "\x1f", "\x85", "\xa0", "\u2003", "\u3000", "\u200b", "\ufeff"]
ODD = SPACES + list("0123456789abcrpostdevABCV.-_+!*,;=<>~()[]@/%'\"") + [
    "١", "２", "ſ", "\u212a", "é", "İ", "\0", "..", "--", ".*", "===", "dev", "post", "rc", "+", "1!", "v",
]


VARIABLES = [
    "python_version", "python_version", "python_full_version", "os_name", "os.name", "sys_platform", "sys.platform", "platform_release",
    "platform_system", "platform_version", "platform.version", "platform_machine", "platform.machine", "platform_python_implementation",
    "platform.python_implementation", "implementation_name", "implementation_version", "extra", "extra", "extra",
]


class Rows:
    def __init__(self, seed):
        self.r = random.Random(seed)

    # --- what texts are made of

    def number(self):
        r = self.r
        return r.choices(
            [str(r.randint(0, 3)), str(r.randint(0, 30)), "0" * r.randint(1, 3) + str(r.randint(0, 3)), str(r.randint(0, 10**25)),
             str(2**64 + r.randint(-2, 2)), str(r.randint(2010, 2026))], [12, 4, 1, 1, 1, 1])[0]

    def release(self):
        return ".".join(self.number() for _ in range(self.r.choices([1, 2, 3, 4, 6], [3, 8, 6, 2, 1])[0]))

    def separator(self):
        return self.r.choices(["", ".", "-", "_"], [6, 3, 1, 1])[0]

    def word(self, words):
        word = self.r.choice(words)
        return word.upper() if self.r.random() < 0.1 else word

    def suffix(self, words):
        number = "" if self.r.random() < 0.2 else self.number()
        return self.separator() + self.word(words) + self.separator() + number

    def suffixes(self, local):
        r, text = self.r, ""
        if r.random() < 0.35:
            text += self.suffix(["a", "b", "rc", "a", "b", "rc", "alpha", "beta", "c", "pre", "preview"])
        if r.random() < 0.25:
            text += "-" + self.number() if r.random() < 0.3 else self.suffix(["post", "post", "rev", "r"])
        if r.random() < 0.25:
            text += self.suffix(["dev"])
        if local and r.random() < 0.25:
            part = lambda: r.choice([self.number(), "a", "b", "ubuntu", "Deb1", "1a", "cu121", "00"])
            text += "+" + part()
            for _ in range(r.randint(0, 2)):
                text += r.choice(".-_.") + part()
        return text

    def version(self, local=True):
        r = self.r
        epoch = self.number() + "!" if r.random() < 0.08 else ""
        v = r.choice("vV") if r.random() < 0.05 else ""
        return v + epoch + self.release() + self.suffixes(local)

    def odd(self, text):
        """The text with something put in, taken out or put elsewhere."""
        r = self.r
        for _ in range(r.randint(1, 2)):
            at = r.randint(0, len(text))
            match r.randint(0, 3):
                case 0 | 1:
                    text = text[:at] + r.choice(ODD) + text[at:]
                case 2:
                    text = text[:at] + text[at + 1:]
                case _:
                    other = r.randint(0, len(text))
                    text = text[:at] + text[min(at, other):other] + text[at:]
        return text

    def any_version(self):
        text = self.version()
        if self.r.random() < 0.2:
            text = self.odd(text)
        if self.r.random() < 0.05:
            text = self.r.choice(SPACES) + text + self.r.choice(SPACES)
        return text

    def near(self, text):
        """A version like that of the text: the same words with a number changed, a suffix more or none, zeros at the end."""
        r = self.r
        base = text.strip().split("+")[0].rstrip(".*")
        match r.randint(0, 8):
            case 0:
                return text
            case 1:
                return base
            case 2:
                return base + self.suffixes(True)
            case 3:
                digits = [i for i, c in enumerate(base) if c in "0123456789"]
                if not digits:
                    return base
                at = r.choice(digits)
                return base[:at] + r.choice("0123456789") + base[at + 1:]
            case 4:
                end = len(base) - len(base.lstrip("vV0123456789.!"))
                return base[:end].rstrip(".") + r.choice([".0", ".0.0", ".1", ""]) + self.suffixes(True)
            case 5:
                return base + "+" + r.choice(["a", "b", "1", "2", "10", "01", "a.1", str(2**64)])
            case 6:
                end = len(base) - len(base.lstrip("vV0123456789.!"))
                return ".".join(base[:end].split(".")[:r.randint(1, 3)]) + self.suffixes(True)
            case 7:
                return base + r.choice([".dev0", ".dev1", ".post0", ".post0.dev0", ".post1", "a0", "rc1", "a0.dev0"])
            case _:
                return self.version()

    def specifier(self):
        r = self.r
        operator = r.choice(["==", "==", "!=", "!=", "<=", ">=", ">=", "<", "<", ">", ">", "~=", "~=", "==="])
        local = operator in ("==", "!=", "===") or r.random() < 0.05
        text = self.version(local)
        if r.random() < (0.4 if operator in ("==", "!=") else 0.03):
            text = (self.number() + "!" if r.random() < 0.1 else "") + self.release() + ".*"
        space = lambda: r.choice(["", "", "", "", " ", "  ", "\t"])
        text = space() + operator + space() + text + space()
        return self.odd(text) if r.random() < 0.04 else text

    def specifiers(self):
        r = self.r
        parts = [self.specifier() for _ in range(r.choices([0, 1, 2, 3], [1, 12, 4, 2])[0])]
        if parts and r.random() < 0.3:
            # Both ends of one range.
            version = self.version(False)
            parts = [r.choice([">", ">="]) + version, r.choice(["<", "<=", "!="]) + self.near(version)]
        text = ",".join(parts)
        if r.random() < 0.08:
            text += r.choice([",", ", ", ",,", " ,"])
        return text

    def asked(self):
        """A specifier set and a version that it is likely to be about."""
        text = self.specifiers()
        named = [part.strip(" \t=<>!~") for part in text.split(",") if part.strip()]
        version = self.near(self.r.choice(named)) if named and self.r.random() < 0.85 else self.any_version()
        return text, version

    def named(self):
        """A version that is asked for by its name, and one that may be the same."""
        r, version = self.r, self.version()
        operator = r.choice(["==", "==", "== ", "===", "=== ", ">=", "~="])
        more = r.choice(["", "", "", ",", ",>=0", ",==" + version, ",===" + version])
        return operator + version + more, version if r.random() < 0.5 else self.near(version)

    def name(self):
        r = self.r
        words = ["zope", "Interface", "my", "pkg", "a", "B", "3to2", "0", "typing", "extensions", "PyYAML"]
        text = r.choice(words)
        for _ in range(r.randint(0, 3)):
            text += r.choice(["-", "_", ".", "--", "-_.", "", "__"]) + r.choice(words)
        return self.odd(text) if r.random() < 0.3 else text

    def file(self):
        r = self.r
        name, version = self.name(), self.version() if r.random() < 0.8 else self.any_version()
        if r.random() < 0.35:
            text = name + "-" + version + r.choice([".tar.gz", ".tar.gz", ".tar.gz", ".zip", ".tar.bz2", ".TAR.GZ"])
        else:
            if r.random() < 0.9:
                name, version = name.replace("-", "_"), version.replace("-", "_")
                if r.random() < 0.8:
                    name = "_".join(part for part in name.split("_") if part) or "a"
            tag = lambda *all: ".".join(r.sample(all, r.choice([1, 1, 1, 2])))
            parts = [name, version]
            if r.random() < 0.2:
                parts.append(r.choice(["1", "07", "1abc", "2_x", "build1", "", "123456789012345678901234567890", "1.x"]))
            parts.append(tag("py3", "py2", "cp312", "CP39", "pp310", "py3_12"))
            parts.append(tag("none", "abi3", "cp312", "cp313t"))
            parts.append(tag("any", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "win32", "macosx_11_0_arm64"))
            text = "-".join(parts) + (".whl" if r.random() < 0.97 else ".WHL")
        return self.odd(text) if r.random() < 0.2 else text

    def dependency(self):
        r = self.r
        space = lambda: r.choice(["", "", " ", "  ", "\t"])
        text = space() + self.name() + space()
        if r.random() < 0.25:
            text += "[" + space() + ("," + space()).join(self.name() for _ in range(r.randint(0, 3))) + space() + "]" + space()
        if r.random() < 0.1:
            text += "@" + space() + r.choice(["https://example.org/a.whl", "file:///a;b", "git+https://x/y@z#egg=a", "x"]) + r.choice([" ", "", "\t"])
        elif r.random() < 0.8:
            versions = self.specifiers()
            text += "(" + versions + ")" if r.random() < 0.15 else versions
        if r.random() < 0.3:
            text += space() + ";" + space() + self.marker()
        return self.odd(text) if r.random() < 0.15 else text

    def comparison(self):
        r = self.r
        quote = r.choice("'\"")
        space = lambda: r.choice([" ", " ", "", "\t"])
        variable = r.choice(VARIABLES)
        if r.random() < 0.05:
            variable = r.choice(["extras", "dependency_groups", "python_implementation", "os_name2", "Extra", "osname"])
        if "version" in variable or variable == "platform_release":
            value = r.choice(["3", "3.9", "3.11", "3.11.7", "3.12.0rc1", "3.*", "3.11.*", "2.7 3.11", "7.3.13", "6.1.0-amd64", self.version()])
        else:
            value = r.choice(["linux", "win32", "posix", "nt", "CPython", "cpython", "Docs", "docs", "a", "", "test_x", "x86_64", "Linux", "é"])
        operator = r.choice(["==", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "not  in"])
        if r.random() < 0.05:
            operator = r.choice(["~=", "===", "~=", "is", "="])
        if variable == "extra" and r.random() < 0.8:
            operator = r.choice(["==", "!="])
        if operator[0] in "in":
            operator = r.choice([" ", "\t", " ", "" if r.random() < 0.1 else " "]) + operator + r.choice([" "] * 9 + [""])
        sides = [variable, quote + value + quote]
        if r.random() < 0.2:
            sides.reverse()
        if r.random() < 0.04:
            sides = [r.choice(sides), r.choice(sides)]
        return sides[0] + space() + operator + space() + sides[1]

    def marker(self, depth=0):
        r = self.r
        parts = []
        for _ in range(r.choices([1, 2, 3, 4], [8, 4, 2, 1])[0]):
            part = "(" + self.marker(depth + 1) + ")" if depth < 4 and r.random() < 0.2 else self.comparison()
            parts.append(part)
        text = parts[0]
        for part in parts[1:]:
            text += r.choice([" "] * 20 + ["  ", "\t", ""]) + r.choice(["and", "or"]) + r.choice([" "] * 12 + [""]) + part
        return text

    def environment(self):
        r = self.r
        environment = {
            "python_version": r.choice(["3.11", "2.7", "3.9", "3.12"]), "python_full_version": r.choice(["3.11.7", "3.12.0rc1", "3.12.0+"]),
            "os_name": r.choice(["posix", "nt"]), "sys_platform": r.choice(["linux", "win32"]), "platform_machine": "x86_64",
            "platform_release": r.choice(["6.1.0-amd64", "10", "6.1.0"]), "platform_system": "Linux",
            "platform_version": r.choice(["#1 SMP", "10.0.1"]), "implementation_name": "cpython",
            "implementation_version": r.choice(["3.11.7", "7.3.13"]), "platform_python_implementation": "CPython",
        }
        if r.random() < 0.05:
            del environment[r.choice(list(environment))]
        extras = r.sample(["docs", "a", "test-x", "b"], r.choice([0, 0, 1, 2]))
        return environment, extras


# --- what packaging says

def version_of(text):
    if not 0 < len(text.encode()) <= MAX_VERSION:
        return None
    try:
        return Version(text)
    except InvalidVersion:
        return None


def specifiers_of(text):
    if len(text.encode()) > MAX_REQUIREMENT:
        return None
    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        return None


def name_of(text):
    if len(text.encode()) > MAX_NAME:
        return None
    try:
        return canonicalize_name(text, validate=True)
    except InvalidName:
        return None


def compare(a, b):
    a, b = version_of(a), version_of(b)
    if a is None or b is None:
        return None
    assert (a == b) == (hash(a) == hash(b) and not a < b and not a > b)
    return "<" if a < b else ">" if a > b else "="


def matches(asked, text):
    asked, version = specifiers_of(asked), version_of(text)
    # With the text and not with the version: `===` compares the two as they are written.
    return None if asked is None or version is None else asked.contains(text)


def names(asked, text):
    taken, specifiers, version = matches(asked, text), specifiers_of(asked), version_of(text)
    return taken and (not version.is_prerelease or specifiers.prereleases is True)


def is_exactly(asked, text):
    specifiers, version = specifiers_of(asked), version_of(text)
    if specifiers is None or version is None:
        return None
    def one(specifier):
        if specifier.operator == "===":
            return specifier.contains(text)
        return specifier.operator == "==" and not specifier.version.endswith(".*") and Version(specifier.version) == version
    return len(specifiers) > 0 and all(map(one, specifiers))


def file(text):
    """What packaging says, and why we may say no."""
    try:
        if text.endswith(".whl"):
            name, version, build, tags = parse_wheel_filename(text)
            sets = text[:-4].split("-")[-3:]
            answer = {
                "name": name, "version": canonicalize_version(version), "build": [str(build[0]), build[1]] if build else None,
                "tags": [part.lower().split(".") for part in sets],
            }
            assert len(tags) <= len(sets[0].split(".")) * len(sets[1].split(".")) * len(sets[2].split("."))
        else:
            name, version = parse_sdist_filename(text)
            answer = {"name": name, "version": canonicalize_version(version)}
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None, None
    if any(not "!" <= c <= "~" or c in "/\\" for c in text):
        return answer, "a file name is visible ASCII without slashes"
    stem = text.removesuffix(".zip").removesuffix(".tar.gz")
    name, version = text.split("-")[:2] if text.endswith(".whl") else stem.rsplit("-", 1)
    if name_of(name) is None:
        return answer, "the name in a file name must be one that a package may have"
    if len(text) > MAX_FILE_NAME or len(version) > MAX_VERSION:
        return answer, "longer than we take"
    return answer, None


def marker(text):
    try:
        return Marker(text)
    except InvalidMarker:
        return None


def unquotable(text):
    """Why we may refuse a condition that packaging takes."""
    if any(c == "\\" or ord(c) < 32 and c != "\t" or 127 <= ord(c) < 160 for c in text) or "\t" in "".join(text.split("'")[1::2] + text.split('"')[1::2]):
        return "a quoted text has no backslash and no control character"
    return None


def holds(text, environment, extras):
    condition = marker(text)
    try:
        # Nothing is filled in from the Python that runs this.
        prepared = dict(environment)
        prepared["extra"] = frozenset(extras) if extras else ""
        if "python_full_version" in prepared and prepared["python_full_version"].endswith("+"):
            prepared["python_full_version"] += "local"
        return None if condition is None else condition.evaluate_prepared(prepared)
    except (UndefinedComparison, UndefinedEnvironmentName):
        return None


def dependency(text):
    try:
        found = Requirement(text)
    except InvalidRequirement:
        return None, None
    versions = sorted({str(specifier) for specifier in found.specifier})
    answer = {"name": found.name, "extras": sorted(found.extras), "versions": versions, "url": found.url, "marker": found.marker is not None}
    if name_of(found.name) is None:
        return answer, "the name must be one that a package may have"
    written = text.split(";")[0]
    if "===" in written and (not written.isascii() or any(not part.strip(" \t()") for part in written.split(","))):
        return answer, "=== takes anything there"
    if any(c.isspace() and c not in " \t" for c in written):
        return answer, "white space other than blanks and tabs"
    if sum(map(len, versions)) + len(versions) > MAX_REQUIREMENT or len(text.encode()) > 4096:
        return answer, "longer than we take"
    return answer, unquotable(text)


def main():
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    rows = Rows(seed)
    kinds = ["version", "key", "pre", "compare", "requirement", "any", "matches", "names", "exactly", "name", "file", "dependency", "marker", "holds"]
    weights = [12, 6, 2, 22, 10, 1, 30, 6, 4, 3, 4, 5, 2, 6]
    for _ in range(count):
        kind, known = rows.r.choices(kinds, weights)[0], None
        match kind:
            case "version":
                ask = [rows.any_version()]
                want = version_of(*ask) is not None
            case "key":
                ask = [rows.any_version()]
                want = None if version_of(*ask) is None else canonicalize_version(*ask)
            case "pre":
                ask = [rows.any_version()]
                want = None if version_of(*ask) is None else version_of(*ask).is_prerelease
            case "compare":
                text = rows.any_version() if rows.r.random() < 0.2 else rows.version()
                ask = [text, rows.near(text)]
                want = compare(*ask)
            case "requirement":
                ask = [rows.specifiers()]
                ask = [rows.odd(*ask)] if rows.r.random() < 0.3 else ask
                want = specifiers_of(*ask) is not None
            case "any":
                ask = [rows.r.choice(["", ",", " ", rows.specifiers()])]
                want = None if specifiers_of(*ask) is None else len(specifiers_of(*ask)) == 0
            case "matches":
                ask = list(rows.asked())
                want = matches(*ask)
            case "names":
                ask = list(rows.asked())
                want = names(*ask)
            case "exactly":
                ask = list(rows.asked() if rows.r.random() < 0.4 else rows.named())
                want = is_exactly(*ask)
            case "name":
                ask = [rows.name()]
                want = name_of(*ask)
            case "file":
                ask = [rows.file()]
                want, known = file(*ask)
            case "dependency":
                ask = [rows.dependency()]
                want, known = dependency(*ask)
            case "marker":
                ask = [rows.odd(rows.marker()) if rows.r.random() < 0.6 else rows.marker()]
                want, known = marker(*ask) is not None, unquotable(*ask)
            case "holds":
                text, (environment, extras) = rows.marker(), rows.environment()
                ask = [text, json.dumps(environment), *extras]
                want, known = holds(text, environment, extras), unquotable(text)
        row = {"ask": ["pypi", kind, *ask], "want": want}
        if known:
            row["known"] = known
        print(json.dumps(row))


main()
