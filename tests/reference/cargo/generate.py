"""Writes rows about names, versions and requirements of crates, and what cargo says of them.

Whether a text is valid, cargo says of a manifest with it. Which versions match, and which of two is higher, it says of a
registry that is made for it, all at once: for each row a crate "ask", of which release 2.0.0 needs the crate "got", and
1.0.0 nothing, so that the lock file has 2.0.0 where a version of "got" matches.
"""

import json
import pathlib
import random
import shutil
import subprocess
import sys
import tomllib

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
sys.dont_write_bytecode = True
import rows
from rows import MAX_REQUIREMENT, MAX_VERSION

MAX_NAME = 64
ODD = list("0123456789abxXvV*.-_+^~=<>|,@/:() !%") + ["\t", "é", "٣", " - ", "||", "..", "-0", ".x", ".*", ">=", "beta", "  "]

work, cargo, seed, count = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
r = random.Random(seed)


# --- what texts are made of

def number():
    return r.choices(
        [str(r.randint(0, 3)), str(r.randint(0, 30)), "2025", "18446744073709551615", "18446744073709551616", "01", str(2**53)],
        [26, 8, 1, 0.4, 0.3, 0.3, 0.3])[0]


def identifier():
    return r.choice(["0", "1", "2", "10", "a", "b", "alpha", "beta", "rc", "A", "-", "-1", "0a", "99999999999999999999", "01" if r.random() < 0.2 else "x"])


def dotted():
    return ".".join(identifier() for _ in range(r.choices([1, 2, 3], [6, 3, 1])[0]))


def suffixes(pre, build):
    text = "-" + dotted() if r.random() < pre else ""
    return text + ("+" + dotted() if r.random() < build else "")


def version(pre=0.35):
    return f"{number()}.{number()}.{number()}" + suffixes(pre, 0.12)


def odd(text):
    return rows.spoilt(r, text, ODD)


def any_version():
    return odd(version()) if r.random() < 0.3 else version()


def near(text):
    """A version like one that the text names."""
    named = [part.strip(" \t^~=<>v").partition("+")[0] for part in text.split(",")]
    proper, _, pre = r.choice(named).partition("-")
    numbers = [part for part in proper.split(".") if part.isascii() and part.isdigit()][:3]
    if not numbers or r.random() < 0.1:
        return version()
    numbers += [r.choice(["0", "0", "1", "9"]) for _ in range(3 - len(numbers))]
    if r.random() < 0.5:
        at = r.randrange(3)
        numbers[at] = str(max(int(numbers[at]) + r.choice([1, 1, -1]), 0))
        if r.random() < 0.5:
            numbers[at + 1:] = ["0"] * (2 - at)
    after = "-" + pre if pre else ""
    if r.random() < 0.35:
        after = r.choice(["", "-0", "-1", "-a", "-rc.1", "-" + dotted(), after + ".0" if after else "", after + "+b"])
    return ".".join(numbers) + after


def comparator():
    sign = r.choices(["", "^", "~", ">", "<", ">=", "<=", "=", "~>", "=="], [8, 6, 6, 3, 3, 5, 3, 5, 0.3, 0.3])[0]
    parts = [number(), number(), number()][:r.randint(1, 3)]
    if r.random() < 0.08:
        parts[r.randrange(len(parts))] = r.choice("*xX")
    text = ".".join(parts) + (suffixes(0.25, 0.03) if len(parts) == 3 else "")
    return sign + r.choice(["", "", "", "", " ", "  ", "\t" if r.random() < 0.2 else ""]) + text


def requirement():
    if r.random() < 0.04:
        return r.choice(["*", "", " ", ",", "*, 1", "x", " * "])
    if r.random() < 0.25:
        low = version(0.3)
        text = r.choice([">", ">="]) + low + r.choice([", ", ","]) + r.choice(["<", "<="]) + near(low)
    else:
        join = lambda: r.choices([",", ", ", " , ", " ", " || "], [6, 6, 1, 0.5, 0.3])[0]
        text = comparator()
        while r.random() < 0.25:
            text += join() + comparator()
    return odd(text) if r.random() < 0.08 else text


def name():
    text = r.choice(["serde", "Inflector", "a", "b3", "_x", "nul", "test", "x86", "h2", "é"])
    for _ in range(r.choice([0, 0, 1, 2])):
        text += r.choice(["-", "_", "", "__"]) + r.choice(["json", "Derive", "0", "rs", "sys"])
    if r.random() < 0.05:
        text += "a" * (r.choice([63, 64, 65, 100]) - len(text))
    return odd(text) if r.random() < 0.3 else text


# --- what cargo says

def manifest(package, dependencies=()):
    lines = ["[workspace]", "[package]", 'edition = "2024"', *(f"{key} = {toml(value)}" for key, value in package.items())]
    return "\n".join([*lines, "[dependencies]", *(f"{key} = {toml(value)}" for key, value in dependencies), ""])


def toml(text):
    return json.dumps(text, ensure_ascii=False)


def project(where, text):
    (where / "src").mkdir(parents=True, exist_ok=True)
    (where / "src/lib.rs").touch()
    (where / "Cargo.toml").write_text(text)
    return where


def read(package, dependencies=()):
    """What cargo makes of the manifest of a package; none when it refuses it."""
    where = project(work / "read", manifest({"name": "root", "version": "0.0.0", **package}, dependencies))
    done = subprocess.run([cargo, "read-manifest", "--offline"], cwd=where, capture_output=True, text=True)
    assert done.returncode in (0, 101), done.stderr
    return json.loads(done.stdout) if done.returncode == 0 else None


class Registry:
    """Crates that cargo is to choose versions of."""

    def __init__(self):
        self.index, self.wanted = work / "registry/index", []
        shutil.rmtree(work / "registry", ignore_errors=True)

    def add(self, name, releases):
        file = self.index / name[:2] / name[2:4] / name
        file.parent.mkdir(parents=True, exist_ok=True)
        dep = lambda name, req: {
            "name": name, "req": req, "features": [], "optional": False, "default_features": True, "target": None, "kind": "normal",
        }
        lines = [
            {"name": name, "vers": version, "deps": [dep(*need) for need in needs], "cksum": "0" * 64, "features": {}, "yanked": False}
            for version, needs in releases
        ]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def want(self, name, requirement):
        self.wanted.append((name, requirement))

    def chosen(self):
        """The version of each crate in the lock file."""
        where = project(work / "chosen", manifest({"name": "root", "version": "0.0.0"}, self.wanted))
        (where / "Cargo.lock").unlink(missing_ok=True)
        (where / ".cargo").mkdir(exist_ok=True)
        (where / ".cargo/config.toml").write_text(
            f'[source.crates-io]\nreplace-with = "made"\n[source.made]\nlocal-registry = {toml(str(work / "registry"))}\n')
        subprocess.run([cargo, "generate-lockfile", "--offline", "--quiet"], cwd=where, check=True)
        return {package["name"]: package["version"] for package in tomllib.loads((where / "Cargo.lock").read_text())["package"]}


def valid_version(text):
    return 0 < len(text.encode()) <= MAX_VERSION and read({"version": text}) is not None


def valid_requirement(text):
    return len(text.encode()) <= MAX_REQUIREMENT and read({}, [("other", text)]) is not None


def named(text):
    return 0 < len(text) and read({"name": text}) is not None


def plain(text):
    """Certainly valid: of a version that is not, cargo would skip the line."""
    parts = text.partition("+")[0].replace("-", ".", 1).split(".")
    return len(text) <= MAX_VERSION and "01" not in parts and "18446744073709551616" not in parts


def bound(a, b):
    """A requirement that both match, if there is one that says nothing else of them."""
    proper = lambda text: text.partition("+")[0].partition("-")
    if not proper(a)[1] and not proper(b)[1]:
        return "*"
    return f">={proper(a)[0]}-0" if proper(a)[0] == proper(b)[0] else None


def known(kind, texts):
    """Why we may say something else."""
    if kind == "name":
        if not texts[0].isascii() or texts[0].startswith("_") or len(texts[0]) > MAX_NAME:
            return "registries refuse names with other letters, of more than 64, and with an underscore before them"
    if kind == "version" and texts[0] != texts[0].strip():
        return "a version is written without space around it"
    if kind in ("requirement", "matches"):
        exact = any(part.strip().startswith("=") and part.count(".") >= 2 for part in texts[0].split(","))
        if "+" in texts[0] or kind == "matches" and exact and "+" in texts[1]:
            return "a version that is named exactly is that build here, and a build can be named no other way"
    return None


registry, asked = Registry(), []
for row in range(count):
    kind = r.choices(["name", "version", "requirement", "compare", "matches"], [5, 10, 15, 25, 45])[0]
    match kind:
        case "name":
            ask = [name()]
            want = ask[0].lower().replace("_", "-") if named(*ask) else None
        case "version":
            ask = [any_version()]
            want = valid_version(*ask)
        case "requirement":
            ask = [requirement()]
            want = valid_requirement(*ask)
        case "compare":
            while True:
                ask = [version()]
                ask.append(near(ask[0]))
                if all(map(plain, ask)) and bound(*ask):
                    break
            if ask[0] == ask[1]:
                want = "="
            else:
                registry.add(f"cmp{row:05}", [(text, []) for text in ask])
                registry.want(f"cmp{row:05}", bound(*ask))
                want = lambda chosen, row=row, ask=ask: "<>"[chosen[f"cmp{row:05}"] == ask[0]]
        case "matches":
            text = requirement()
            ask = [text, near(text)]
            registry.add(f"got{row:05}", [(ask[1], [])])
            registry.add(f"ask{row:05}", [("1.0.0", []), ("2.0.0", [(f"got{row:05}", text)])])
            registry.want(f"ask{row:05}", "*")
            # A requirement or a version that cargo cannot read makes it skip the line.
            want = lambda chosen, row=row, ask=ask: (
                chosen[f"ask{row:05}"] == "2.0.0" or (False if valid_requirement(ask[0]) and valid_version(ask[1]) else None)
            )
    asked.append((kind, ask, want))

chosen = registry.chosen()
for kind, ask, want in asked:
    rows.write(["cargo", kind, *ask], want(chosen) if callable(want) else want, known(kind, ask))
