"""`python -m tests.supply.sbom FILE`: what a release is made of, as CycloneDX 1.6; the same lock gives the same."""

import json
import sys
import uuid
from pathlib import Path
from typing import Any

from proxy import __version__

from .licences import LOCK, Locked, locked

OURSELVES = f"pkg:pypi/dargah@{__version__}"


def bill() -> dict[str, Any]:
    libraries = list(locked())
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, OURSELVES + LOCK.read_text('utf-8'))}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": OURSELVES,
                "name": "dargah",
                "version": __version__,
                "purl": OURSELVES,
                "licenses": [{"expression": "Apache-2.0"}],
            }
        },
        "components": [_component(each) for each in libraries],
        "dependencies": [_dependencies("dargah", OURSELVES, libraries)]
        + [_dependencies(each.name, each.purl, libraries) for each in libraries],
    }


def _component(library: Locked) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": library.purl,
        "name": library.name,
        "version": library.version,
        "purl": library.purl,
        "scope": "required",
        "licenses": [{"expression": library.licence}],
        # Of each file that the lock lets in, one per platform.
        "hashes": [{"alg": "SHA-256", "content": each} for each in library.hashes],
    }


def _dependencies(name: str, reference: str, libraries: list[Locked]) -> dict[str, Any]:
    return {"ref": reference, "dependsOn": [each.purl for each in libraries if name in each.wanted_by]}


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(bill(), indent=2) + "\n", "utf-8")
    print(f"{target}: {len(bill()['components'])} libraries")  # noqa: T201  a command's output
