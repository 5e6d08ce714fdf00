"""Writes rows about names, versions and relations, and what dpkg says of them."""

import functools
import pathlib
import random
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
sys.dont_write_bytecode = True
import rows
from rows import MAX_REQUIREMENT, MAX_VERSION

MAX_NAME = 214
ODD = list("0123456789abzAZ.+-~:_ ,;=<>()[]!*%/\\@'\"") + ["\t", "\n", "\v", "\xa0", "é", "٣", "~~", "--", "0:", "1:", "-0", "+b1"]
SIGNS = ["<<", "<=", "=", ">=", ">>"]

work, seed, count = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
r = random.Random(seed)


# --- what texts are made of

def number():
    return r.choices(
        [str(r.randint(0, 3)), str(r.randint(0, 30)), "0" * r.randint(1, 3) + str(r.randint(0, 3)), str(r.randint(0, 10**25)),
         str(r.randint(20200101, 20261231)), str(2**31 + r.randint(-2, 2))], [12, 5, 1, 1, 1, 0.3])[0]


def upstream():
    text = number()
    for _ in range(r.choices([0, 1, 2, 3, 5], [3, 8, 6, 2, 1])[0]):
        text += r.choices([".", "", "+", "~", "-"], [12, 2, 1, 1, 0.5])[0]
        text += number() if r.random() < 0.85 else r.choice(["a", "b", "rc", "Z", "beta", "", ".", "~", "+"])
    if r.random() < 0.3:
        text += r.choice(["~rc" + number(), "+dfsg", "~dfsg1", "+really" + number(), "~git" + number() + ".ab12cd3", "a", "+", "~", "+~7.3", "."])
    return text


def revision():
    text = number() if r.random() < 0.9 else r.choice(["a", "~", "+", ".", "ubuntu", "0~", ""])
    if r.random() < 0.4:
        text += r.choice(["+b" + number(), "~bpo12+" + number(), "+deb12u" + number(), "ubuntu" + number(), "." + number(), "~", "+", "a"])
    return text


def version():
    epoch = r.choice(["0", "1", "1", "2", "00", number()]) + ":" if r.random() < 0.15 else ""
    return epoch + upstream() + ("-" + revision() if r.random() < 0.6 else "")


def odd(text):
    return rows.spoilt(r, text, ODD)


def any_version():
    return odd(version()) if r.random() < 0.25 else version()


def near(text):
    """A version like that of the text."""
    match r.randint(0, 8):
        case 0:
            return text + r.choice(["0", ".0", "a", "~", "+", ".", "a0", "~0", "+b1", "~~"])
        case 1:
            return text + r.choice(["-0", "-1", "-~", "-00", "-a"]) if "-" not in text else text.rpartition("-")[0]
        case 2:
            return r.choice(["0:", "1:", "00:"]) + text if ":" not in text else text.partition(":")[2]
        case 3 | 4:
            digits = [at for at, c in enumerate(text) if c in "0123456789"]
            at = r.choice(digits) if digits else 0
            return text[:at] + r.choice(["0", "1", "2", "9", "", "10"]) + text[at + 1:]
        case 5:
            at = r.randint(0, len(text))
            return text[:at] + r.choice("0~+.a-Z") + text[at:]
        case 6:
            return text[:-1] or "0"
        case 7:
            return text
        case _:
            return version()


def relation():
    sign = r.choices(SIGNS + ["<", ">", "", "==", "<>", ">=="], [8, 8, 8, 8, 8, 1, 1, 2, 0.3, 0.3, 0.3])[0]
    space = lambda: r.choices(["", " ", "  ", "\t"], [6, 6, 1, 1])[0]
    return space() + sign + space() + (any_version() if r.random() < 0.2 else version()) + space()


def requirement():
    if r.random() < 0.04:
        return r.choice(["", " ", ",", ", "])
    return ",".join(relation() for _ in range(r.choices([1, 2, 3], [6, 3, 1])[0])) + r.choices(["", ","], [30, 1])[0]


def asked():
    if r.random() < 0.3:
        low = version()
        text = f"{r.choice(['>=', '>>'])} {low}, {r.choice(['<<', '<='])} {near(near(low))}"
    else:
        text = requirement()
    named = [part.strip(" \t<>=") for part in text.split(",")]
    return text, near(r.choice(named)) if r.random() < 0.85 else any_version()


def name():
    text = r.choice(["libstdc++", "python3", "g++", "a", "zope.interface", "Ab", "0ad", "x", "libc", "perl", "-", "+", "."])
    for _ in range(r.choice([0, 0, 1, 2])):
        text += r.choice(["-", ".", "+", "", "_"]) + r.choice(["dev", "6", "perl", "bin", "A", "x86", ""])
    return odd(text) if r.random() < 0.3 else text


# --- what dpkg says

@functools.cache
def dpkg(*words):
    """Its status, and what it complained of."""
    done = subprocess.run(["dpkg", *words], capture_output=True)
    return done.returncode, done.stderr.decode(errors="replace")


@functools.cache
def valid(text):
    return 0 < len(text.encode()) <= MAX_VERSION and "\0" not in text and dpkg("--validate-version", text)[0] == 0


def holds(a, sign, b):
    status, complaint = dpkg("--compare-versions", a, sign, b)
    assert status in (0, 1) and not complaint, (a, sign, b, status, complaint)
    return status == 0


def compare(a, b):
    if not valid(a) or not valid(b):
        return None
    return next(order for order, sign in [("<", "<<"), ("=", "="), (">", ">>")] if holds(a, sign, b))


def parts_of(text):
    """The relations and their versions. Nothing at all is refused here: dpkg is asked before."""
    parts = [part.strip(" \t") for part in text.split(",")] if text.strip(" \t") else []
    split = lambda part: next((sign for sign in SIGNS if part.startswith(sign)), "")
    return [(split(part) or "=", part.removeprefix(split(part)).strip(" \t")) for part in parts]


@functools.cache
def taken(text):
    """dpkg reads it as the Depends of a package: what it says, and what of it we do not follow."""
    if len(text.encode()) > MAX_REQUIREMENT:
        return False, None
    if not text.strip(" \t"):
        return True, None
    for file in ("status", "available"):
        (work / file).write_text("")
    for folder in ("info", "updates"):
        (work / folder).mkdir(exist_ok=True)
    depends = ", ".join(f"b ({part})" for part in text.split(","))
    (work / "asked").write_text(
        f"Package: ab\nVersion: 1\nArchitecture: all\nMaintainer: a\nDescription: a\nDepends: {depends}\n", errors="replace")
    done = subprocess.run(
        ["dpkg", f"--admindir={work}", "--update-avail", str(work / "asked")], capture_output=True, text=True, errors="replace")
    complaints = [line for line in done.stderr.splitlines() if line.startswith(" ") and not line.endswith("reference to 'b':")]
    why = None
    if any("obsolete" in line for line in complaints):
        why = "the obsolete < and >, which dpkg reads as <= and >=, are refused"
    # It warns of what --validate-version refuses. A version alone, and one that follows its sign at once, are taken.
    mild = ("is obsolete", "implicit exact match")
    refused = done.returncode != 0 or any(not any(word in line for word in mild) for line in complaints)
    return not refused, why


def matches(text, version):
    return all(holds(version, sign, wanted) for sign, wanted in parts_of(text))


def exactly(text, version):
    parts = parts_of(text)
    return len(parts) > 0 and all(sign == "=" and holds(version, "=", wanted) for sign, wanted in parts)


def known(kind, texts):
    """Why we may say something else."""
    if kind == "name":
        text = texts[0]
        if len(text) == 1:
            return "a name has two characters at least, as Policy says"
        if "_" in text:
            return "a name has no underscore, as Policy says"
    versions = texts if kind in ("version", "compare") else [version for _, version in parts_of(texts[0])] + texts[1:]
    if any(text != text.strip(" \t") for text in versions):
        return "a version is written without blanks around it"
    epochs = [text.partition(":")[0] for text in versions if ":" in text]
    if any(epoch.strip(" \t")[:1] in ("+", "-") or epoch != epoch.strip() for epoch in epochs):
        return "an epoch is digits"
    if kind in ("requirement", "any", "matches", "exactly") and any(space in texts[0] for space in "\v\f\r\n"):
        return "a requirement has no blanks but spaces and tabs"
    return taken(texts[0])[1] if kind in ("requirement", "any", "matches", "exactly") else None


kinds = ["name", "version", "compare", "requirement", "any", "matches", "exactly"]
for _ in range(count):
    kind = r.choices(kinds, [5, 15, 30, 15, 1, 30, 4])[0]
    match kind:
        case "name":
            ask = [name()]
            text = ask[0]
            ok = 0 < len(text.encode()) <= MAX_NAME and "\0" not in text and dpkg("--validate-pkgname", text)[0] == 0
            want = text.lower() if ok else None
        case "version":
            ask = [any_version()]
            want = valid(*ask)
        case "compare":
            text = any_version()
            ask = [text, near(text)]
            want = compare(*ask)
        case "requirement":
            ask = [requirement()]
            want = taken(*ask)[0]
        case "any":
            ask = [r.choice(["", " ", "\t", requirement()])]
            want = ask[0].strip(" \t") == "" if taken(*ask)[0] else None
        case _:
            ask = list(asked())
            if kind == "exactly" and r.random() < 0.5:
                ask = ["= " + version()]
                ask.append(near(ask[0][2:]))
            text, of = ask
            understood = taken(text)[0] and valid(of) and not taken(text)[1]
            want = {"matches": matches, "exactly": exactly}[kind](text, of) if understood else None
    rows.write(["debian", kind, *ask], want, known(kind, ask))
