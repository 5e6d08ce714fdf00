"""The package managers, at the versions that are pinned here, and what each of them is asked to do."""

import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import zipfile

NODE = "24.21.0"
JAVASCRIPT = {"npm": ("npm", "12.2.2"), "pnpm": ("pnpm", "12.21.0"), "yarn 1": ("yarn", "1.22.22"),
              "yarn 4": ("@yarnpkg/cli-dist", "4.18.1"), "bun": ("bun", "1.4.5")}
PYTHON = {"pip": "26.3", "uv": "0.13.9", "twine": "7.0.0", "poetry": "2.5.1"}


class Failed(Exception):
    """A step did not come to its end, or to another one than it must."""


def install(work):
    """Installs what is missing into the folder, from the registries that npm and pip are set up to use."""
    for package, version in [("node", NODE), *JAVASCRIPT.values()]:
        folder = work / "javascript" / package.replace("/", "-")
        said = folder / "node_modules" / package / "package.json"
        if not said.exists() or json.loads(said.read_text())["version"] != version:
            folder.mkdir(parents=True, exist_ok=True)
            print(f"installing {package} {version}", flush=True)
            subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder,
                            f"{package}@{version}"], check=True)
    environment = work / "python"
    pinned = [f"{name}=={version}" for name, version in PYTHON.items()]
    mark = environment / "pinned.txt"
    if not mark.exists() or mark.read_text() != "\n".join(pinned):
        print("installing " + ", ".join(pinned), flush=True)
        subprocess.run(["python3", "-m", "venv", environment], check=True)
        subprocess.run([environment / "bin/python", "-m", "pip", "install", "--quiet", *pinned], check=True)
        mark.write_text("\n".join(pinned))


def wheel(folder, name, version):
    """A wheel for every Python."""
    module, info = name.replace("-", "_"), f"{name.replace('-', '_')}-{version}.dist-info"
    files = {f"{module}/__init__.py": f"V = '{version}'\n",
             f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: A {name}\n",
             f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    record = [f"{path},sha256={digest(text.encode())},{len(text)}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in files.items():
            archive.writestr(zipfile.ZipInfo(inside), text)
    return path


def digest(data):
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


class Client:
    """A package manager with a home of its own, at one node."""

    ecosystem = lock = None
    caches = ()
    publishes = installs = True

    def __init__(self, work, site):
        self.work, self.site = work, site
        self.home = site.dir / "clients" / self.title.replace(" ", "")
        self.project = self.home / "project"
        shutil.rmtree(self.home, ignore_errors=True)
        self.project.mkdir(parents=True)

    @property
    def package(self):
        return "demo-" + self.title.replace(" ", "")

    def run(self, words, folder=None, env=(), fails=False):
        """Runs the client on its node's machine; what it printed."""
        paths = [self.work / "javascript/node/node_modules/node/bin", self.work / "python/bin"]
        known = {"PATH": ":".join([*map(str, paths), os.environ["PATH"]]), "HOME": str(self.home), "LANG": "C.UTF-8",
                 **self.site.settings(), **self.env(), **dict(env)}
        ended = subprocess.run(self.site.within(list(map(str, words))), cwd=folder or self.project, env=known, text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
        self.site.log(f"$ {' '.join(map(str, words))}\n{ended.stdout}[{ended.returncode}]\n")
        if (ended.returncode != 0) != fails:
            raise Failed(f"{' '.join(map(str, words[-4:]))}: {(ended.stdout.strip() or 'nothing').splitlines()[-1][:140]}")
        return ended.stdout

    def env(self):
        return {}

    def more(self):
        """Asks for other things where it installs."""

    def changes(self):
        """Changes other things where it published."""

    def sets_up(self, *words, folder=None):
        """Has `swarmdex setup` write the client's configuration."""
        self.run([*self.site.program, "setup", *words, "--write"], folder=folder)
        self.site.redirect(self.home)

    def empties(self):
        for cache in self.caches:
            shutil.rmtree(self.home / cache, ignore_errors=True)

    def locked(self):
        """The bytes of the lock file."""
        return (self.project / self.lock).read_bytes()

    def again(self):
        """Chooses versions anew, without what it had."""
        (self.project / self.lock).unlink()
        self.empties()
        self.resolves()


class Cargo(Client):
    title, ecosystem, lock, caches = "cargo", "cargo", "Cargo.lock", ("cargo/registry",)

    def version(self):
        return self.run(["cargo", "--version"]).split()[1]

    def env(self):
        # A rustup of the person who runs this goes on being found.
        home = os.environ.get("RUSTUP_HOME", os.path.expanduser("~/.rustup"))
        return {"CARGO_HOME": str(self.home / "cargo"), "RUSTUP_HOME": home}

    def crate(self, folder, name, version, needs=""):
        (folder / "src").mkdir(parents=True, exist_ok=True)
        (folder / "src/lib.rs").write_text("")
        (folder / "Cargo.toml").write_text(
            f'[package]\nname = "{name}"\nversion = "{version}"\nedition = "2021"\ndescription = "A {name}"\n'
            f'license = "MIT"\n[workspace]\n[dependencies]\n{needs}')

    def publish(self, version):
        folder = self.home / "package"
        self.crate(folder, self.package, version)
        self.sets_up("cargo", folder=folder)
        self.run(["cargo", "publish", "--registry", "swarm", "--allow-dirty", "--no-verify"], folder)

    def resolves(self):
        self.crate(self.project, "app", "0.1.0", f'{self.package} = {{ version = "1", registry = "swarm" }}\n')
        self.sets_up("cargo")
        self.run(["cargo", "fetch"])

    def frozen(self):
        self.empties()
        self.run(["cargo", "fetch", "--locked"])

    def has(self):
        return re.search(f'name = "{self.package}"\nversion = "([^"]*)"', self.locked().decode())[1]

    def more(self):
        self.run(["cargo", "search", self.package, "--registry", "swarm"])
        self.run(["cargo", "info", self.package, "--registry", "swarm"])

    def yank(self, version):
        self.run(["cargo", "yank", "--registry", "swarm", f"{self.package}@{version}"], self.home / "package")


class Pypi(Client):
    ecosystem = "pypi"

    def version(self):
        return PYTHON[self.title]

    def publish(self, version):
        """As twine uploads it."""
        self.sets_up("pip", "--mirror", "--global")
        self.run(["twine", "upload", "--disable-progress-bar", "-r", "swarm",
                  wheel(self.home / "dist" / version, self.package, version)])


class Twine(Pypi):
    title, installs = "twine", False


class Pip(Pypi):
    title, lock, publishes = "pip", "requirements.txt", False

    def pip(self, *words):
        return self.run(["python", "-m", "pip", "--no-input", "--disable-pip-version-check", "--no-cache-dir", *words])

    def resolves(self):
        self.sets_up("pip", "--mirror", "--global")
        self.pip("install", "--dry-run", "--ignore-installed", "--quiet", "--report", "report.json", self.package)
        pinned = []
        for one in json.loads((self.project / "report.json").read_text())["install"]:
            said, got = one["metadata"], one["download_info"]
            pinned.append(f"# {got['url']}\n{said['name']}=={said['version']}"
                          f" --hash=sha256:{got['archive_info']['hashes']['sha256']}\n")
        (self.project / self.lock).write_text("".join(pinned))

    def frozen(self):
        shutil.rmtree(self.project / "got", ignore_errors=True)
        self.pip("install", "--target", "got", "--require-hashes", "-r", self.lock)

    def has(self):
        return re.search(f"{self.package}==(\\S*)", self.locked().decode())[1]


class Uv(Pypi):
    title, lock, caches = "uv", "uv.lock", ("cache", "project/.venv")

    def env(self):
        return {"UV_CACHE_DIR": str(self.home / "cache"), "UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1"}

    def publish(self, version):
        self.run(["uv", "publish", "--publish-url", f"{self.site.url}/pypi/legacy/", "--token", self.site.token(),
                  wheel(self.home / "dist" / version, self.package, version)])

    def resolves(self):
        (self.project / "pyproject.toml").write_text(
            f'[project]\nname = "app"\nversion = "0.1.0"\nrequires-python = ">=3.9"\ndependencies = ["{self.package}"]\n'
            f'[tool.uv]\npackage = false\n')
        self.sets_up("uv", "--mirror")
        self.run(["uv", "sync"])

    def frozen(self):
        self.empties()
        self.run(["uv", "sync", "--frozen"])

    def has(self):
        return re.search(f'name = "{self.package}"\nversion = "([^"]*)"', self.locked().decode())[1]

    def more(self):
        # Where a page announces no metadata, uv asks for the end of the wheel.
        self.site.without_metadata(True)
        self.empties()
        self.run(["uv", "lock", "--refresh"])
        self.site.without_metadata(False)


class Poetry(Pypi):
    title, lock, caches = "poetry", "poetry.lock", ("cache", "project/.venv")

    def env(self):
        return {"POETRY_CACHE_DIR": str(self.home / "cache"), "POETRY_VIRTUALENVS_IN_PROJECT": "true",
                "POETRY_KEYRING_ENABLED": "false"}

    def publish(self, version):
        folder = self.home / "package"
        module = folder / self.package.replace("-", "_")
        module.mkdir(parents=True, exist_ok=True)
        (module / "__init__.py").write_text("")
        (folder / "pyproject.toml").write_text(
            f'[project]\nname = "{self.package}"\nversion = "{version}"\nrequires-python = ">=3.9"\n'
            f'[build-system]\nrequires = ["poetry-core"]\nbuild-backend = "poetry.core.masonry.api"\n')
        shutil.rmtree(folder / "dist", ignore_errors=True)
        self.run(["poetry", "config", "repositories.swarm", f"{self.site.url}/pypi/legacy/"], folder)
        self.run(["poetry", "publish", "--build", "-n", "-r", "swarm", "-u", "__token__", "-p", self.site.token()], folder)

    def resolves(self):
        (self.project / "pyproject.toml").write_text(
            f'[project]\nname = "app"\nversion = "0.1.0"\nrequires-python = ">=3.9"\ndependencies = ["{self.package}"]\n'
            f'[tool.poetry]\npackage-mode = false\n'
            f'[[tool.poetry.source]]\nname = "swarm"\nurl = "{self.site.url}/pypi/simple/"\n')
        self.run(["poetry", "lock", "-n"])
        self.run(["poetry", "sync", "-n"])

    def frozen(self):
        self.empties()
        self.run(["poetry", "sync", "-n"])

    def has(self):
        return re.search(f'name = "{self.package}"\nversion = "([^"]*)"', self.locked().decode())[1]


class Javascript(Client):
    ecosystem, before_publish, more_words = "npm", (), ()

    @property
    def setup(self):
        return self.binary

    @property
    def package(self):
        return "@team/" + super().package

    def version(self):
        return JAVASCRIPT[self.title][1]

    def words(self, *words):
        package = JAVASCRIPT[self.title][0].replace("/", "-")
        return [self.work / "javascript" / package / "node_modules/.bin" / self.binary, *words]

    def module(self, folder, package):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text(json.dumps(package))
        (folder / "index.js").write_text(f"module.exports = '{package['version']}'\n")
        self.sets_up(self.setup, "--mirror", "--fresh", folder=folder)

    def publish(self, version):
        folder = self.home / "package"
        package = {"name": self.package, "version": version, "description": "A demo", "license": "MIT"}
        self.module(folder, package)
        for words in self.before_publish:
            self.run(self.words(*words), folder)
        self.run(self.words(*self.publish_words), folder)

    def resolves(self):
        shutil.rmtree(self.project / "node_modules", ignore_errors=True)
        self.module(self.project, {"name": "app", "version": "1.0.0", "private": True, "dependencies": {self.package: "^1.0.0"}})
        self.run(self.words(*self.install_words))

    def frozen(self):
        self.empties()
        shutil.rmtree(self.project / "node_modules", ignore_errors=True)
        self.run(self.words(*self.frozen_words))

    def more(self):
        for words in self.more_words:
            self.run(self.words(*(word.replace("NAME", self.package) for word in words)))

    def has(self):
        return json.loads((self.project / "node_modules" / self.package / "package.json").read_text())["version"]


class Npm(Javascript):
    title, binary, lock, caches = "npm", "npm", "package-lock.json", (".npm",)
    publish_words = ("publish", "--access", "public")
    install_words, frozen_words = ("install",), ("ci",)
    more_words = (("view", "NAME", "--json"), ("search", "demo"), ("audit",), ("ping",), ("whoami",), ("outdated",),
                  ("dist-tag", "ls", "NAME"))

    def changes(self):
        self.run(self.words("dist-tag", "add", f"{self.package}@1.0.0", "old"), self.home / "package")
        self.run(self.words("deprecate", f"{self.package}@1.0.0", "use a newer one"), self.home / "package")

    def yank(self, version):
        self.run(self.words("unpublish", f"{self.package}@{version}"), self.home / "package")


class Pnpm(Javascript):
    title, binary, lock = "pnpm", "pnpm", "pnpm-lock.yaml"
    caches = (".cache", ".local/share/pnpm", ".local/state")
    publish_words = ("publish", "--no-git-checks", "--access", "public")
    install_words, frozen_words = ("install", "--no-frozen-lockfile"), ("install", "--frozen-lockfile")
    more_words = (("view", "NAME"), ("audit",), ("outdated",))

    def more(self):
        super().more()
        # As it comes, it refuses a lock file with what is younger than a day, and asks in its own way how old that is.
        (self.project / "pnpm-workspace.yaml").unlink()
        self.empties()
        shutil.rmtree(self.project / "node_modules")
        self.run(self.words(*self.frozen_words), fails=True)


class Yarn1(Javascript):
    # It reads what npm does.
    title, binary, setup, lock, caches = "yarn 1", "yarn", "npm", "yarn.lock", (".cache",)
    more_words = (("info", "NAME"), ("outdated",))
    install_words, frozen_words = ("install", "--non-interactive"), ("install", "--non-interactive", "--frozen-lockfile")

    @property
    def publish_words(self):
        version = json.loads((self.home / "package/package.json").read_text())["version"]
        return ("publish", "--non-interactive", "--no-git-tag-version", "--access", "public", "--new-version", version)


class Yarn4(Javascript):
    title, binary, lock, caches = "yarn 4", "yarn", "yarn.lock", ("yarn",)
    # It publishes only what its own lock file has.
    before_publish = (("install",),)
    publish_words = ("npm", "publish", "--access", "public")
    install_words, frozen_words = ("install", "--no-immutable"), ("install", "--immutable")
    more_words = (("npm", "info", "NAME"), ("npm", "audit"), ("npm", "whoami"))

    def env(self):
        return {"YARN_GLOBAL_FOLDER": str(self.home / "yarn"), "YARN_ENABLE_TELEMETRY": "0", "YARN_NODE_LINKER": "node-modules",
                "YARN_ENABLE_SCRIPTS": "0"}

    def module(self, folder, package):
        super().module(folder, package)
        (folder / "yarn.lock").touch()


class Bun(Javascript):
    title, binary, lock, caches = "bun", "bun", "bun.lock", (".bun",)
    publish_words = ("publish", "--access", "public")
    install_words, frozen_words = ("install",), ("install", "--frozen-lockfile")
    more_words = (("info", "NAME"), ("outdated",), ("audit",))


ALL = [Cargo, Pip, Twine, Uv, Poetry, Npm, Pnpm, Yarn1, Yarn4, Bun]
