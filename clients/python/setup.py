"""Has the gRPC stubs generated before a wheel or a source archive is made. All else is in pyproject.toml."""
from __future__ import annotations

import runpy
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent


def generate() -> None:
    # A source archive has no proto/, but the stubs that were made from it.
    if (HERE / "generate").exists() and (HERE.parent.parent / "proto").is_dir():
        runpy.run_path(str(HERE / "generate"), run_name="__main__")
    elif not (HERE / "rota_client" / "_generated").is_dir():
        raise SystemExit("there are neither .proto files nor stubs made from them: build from a checkout")


class BuildPy(build_py):
    def run(self) -> None:
        generate()
        # The packages were looked for before there were stubs.
        found = [f"rota_client.{'.'.join(p.relative_to(HERE / 'rota_client').parts)}"
                 for p in sorted((HERE / "rota_client" / "_generated").rglob("*")) if (p / "__init__.py").exists()]
        self.packages = sorted({*self.packages, "rota_client._generated", *found})
        super().run()


class SDist(sdist):
    def run(self) -> None:
        generate()
        super().run()


setup(cmdclass={"build_py": BuildPy, "sdist": SDist})
