"""The files of proxy/reference/clients/: their types are openapi.yaml's, they are whole and small; `dargah client`."""

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from proxy import __version__
from reference.client_types import LANGUAGES, ROOT, Language, written

CLIENTS = ROOT / "proxy" / "reference" / "clients"
NODE_MODULES = ROOT / ".venv" / "clients" / "node" / "node_modules"
NAMES = {"php": "php/Dargah.php", "node": "node/dargah.mjs", "python": "python/dargah_client.py"}
MOST_LINES = 250
# A shop in TypeScript: what it may write, and what the compiler must not let it.
TYPED = """
import { Dargah, DargahError, Refused, type NewPayment, type Payment } from "./dargah.mjs";
const dargah = new Dargah({ mode: "test" });
const order: NewPayment = { amount: 15000, currency: "IRT", order_id: "17", metadata: { basket: 42 } };
const payment: Payment = await dargah.create(order, 2);
const url: string = payment.pay_url;
const reason: "too_late" | string | undefined = payment.given_back?.reason;
const paid: boolean = dargah.paidFor(await dargah.wait(payment.id), "17", 150000);
const event = await dargah.webhook(new Uint8Array(), new Headers(), async () => 5);
const credited: string | null = event.paidOrder;
console.log(url, reason, paid, credited, event.payment?.amount_rials, DargahError, Refused);
const order_id: string = dargah.verifyReturn("?payment_id=x").order_id;
// @ts-expect-error  there is no such currency
await dargah.create({ amount: 15000, currency: "USD", order_id: "17" });
// @ts-expect-error  the currency is not guessed
await dargah.create({ amount: 15000, order_id: "17" });
// @ts-expect-error  nor is the amount
await dargah.webhook("", {});
// @ts-expect-error  there is no such field
payment.amount;
"""


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.path)
def test_the_types_are_those_of_the_api(language: Language) -> None:
    assert (CLIENTS / language.path).read_text("utf-8") == written(language), "run `make docs`"


@pytest.mark.parametrize(("name", "path"), NAMES.items())
def test_a_client_is_small_says_what_it_is_and_is_printed_as_it_is(name: str, path: str) -> None:
    text = (CLIENTS / path).read_text("utf-8")
    assert text.count("\n") <= MOST_LINES
    file = Path(path).name
    first = f"Dargah's client for shops, {__version__}, Apache-2.0. A newer one: `dargah client {name} > {file}`."
    assert first in text.splitlines()[0]
    assert f"dargah-{name}/{__version__}" in text
    printed = subprocess.run([sys.executable, "-m", "proxy", "client", name], capture_output=True, check=True).stdout
    assert printed == text.encode()


def test_a_copy_is_held_against_this_version(tmp_path: Path) -> None:
    copy = tmp_path / "Dargah.php"
    shutil.copy(CLIENTS / NAMES["php"], copy)
    check = [sys.executable, "-m", "proxy", "client", "php", "--check", str(copy)]
    same = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (same.returncode, same.stdout, "up to date" in same.stderr) == (0, "", True)
    copy.write_text(copy.read_text("utf-8") + "\n")
    other = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (other.returncode, f"dargah client php > {copy}" in other.stderr) == (1, True)


def test_the_wheel_has_the_files() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "reference/clients/*/*" in project["tool"]["setuptools"]["package-data"]["proxy"]


def test_php_and_python_read_their_files(tmp_path: Path) -> None:
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    command = ["-m", "mypy", "--strict", "--python-version", "3.10", "--cache-dir", str(tmp_path), "--config-file", ""]
    mypy = [sys.executable, *command, "dargah_client.py"]
    done = subprocess.run(mypy, cwd=CLIENTS / "python", env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if php := shutil.which("php"):
        subprocess.run([php, "-l", str(CLIENTS / NAMES["php"])], capture_output=True, check=True)


def test_typescript_takes_the_types_and_finds_their_misuse(tmp_path: Path) -> None:
    compiler = NODE_MODULES / "typescript" / "bin" / "tsc"
    node = shutil.which("node")
    if node is None or not compiler.exists():
        pytest.skip("NOT RUN: TypeScript is not installed (`.ci/clients` installs it where it can)")
    shutil.copy(CLIENTS / NAMES["node"], tmp_path)
    (tmp_path / "shop.mts").write_text(TYPED)
    options = {
        "allowJs": True,
        "checkJs": True,
        "strict": True,
        "noEmit": True,
        "skipLibCheck": True,
        "target": "es2022",
        "module": "nodenext",
        "types": ["node"],
        "typeRoots": [str(NODE_MODULES / "@types")],
    }
    (tmp_path / "tsconfig.json").write_text(
        json.dumps({"compilerOptions": options, "files": ["shop.mts", "dargah.mjs"]})
    )
    done = subprocess.run([node, str(compiler), "-p", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
