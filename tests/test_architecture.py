"""The rooms and who may import whom."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "medimg"

#: Room or file -> level. Imports go from a higher level to a lower one, or stay in the room.
LEVELS = {
    "errors": 0,
    "files": 0,
    "progress": 0,
    "provenance": 0,
    "privacy": 0,
    "labels": 1,
    "calibrator": 1,
    "operating": 1,
    "tables": 1,
    "predictions": 2,
    "data": 3,
    "evaluation": 3,
    "models": 4,
    "inference": 5,
    "training": 6,
    "report": 7,
    "explain": 7,
    "config": 8,
    "flow": 8,
    "recipe": 8,
    "crossval": 8,
    "cli": 8,
    "__main__": 8,
    "testing": 8,
}
#: Third-party package -> where it may be imported.
ONLY_IN = {
    "pydicom": ("data/sources/dicom/", "inference/outputs/", "testing/dicom"),
    "highdicom": ("data/sources/dicom/", "inference/outputs/", "testing/dicom"),
    "monai": ("models/backbone.py", "data/augment/"),
    "nibabel": ("data/sources/nifti.py", "testing/arrays.py"),
    "medmnist": ("data/fetch.py",),
    "typer": ("cli/",),
    "jinja2": ("report/",),
    "torch": (
        "data/augment/",
        "data/batches.py",
        "models/",
        "inference/",
        "training/",
    ),
}
#: Parts that must load without torch.
WITHOUT_TORCH = (
    "medimg.config",
    "medimg.cli.main",
    "medimg.data.index",
    "medimg.data.splits",
    "medimg.data.folds",
    "medimg.data.store",
    "medimg.data.audit",
    "medimg.evaluation.evaluate",
    "medimg.evaluation.calibrators.fit",
    "medimg.report.write",
    "medimg.testing",
)

FILES = sorted(PACKAGE.rglob("*.py"))


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports(path: Path) -> list[tuple[str, bool]]:
    """Return the modules that a file imports, and whether at its top level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for node in ast.walk(tree):
        top = node in tree.body
        if isinstance(node, ast.Import):
            found += [(alias.name, top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.append((node.module or "", top))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_from_a_higher_level_to_a_lower_one(path: Path) -> None:
    relative = path.relative_to(PACKAGE)
    if relative == Path("__init__.py"):
        return
    mine = relative.parts[0].removesuffix(".py")
    assert mine in LEVELS, f"{relative} stands in no room"
    for module, _ in imports(path):
        if not module.startswith("medimg.") or room(module) == mine:
            continue
        other = room(module)
        assert LEVELS[other] <= LEVELS[mine], f"{relative} imports {module}, from above"
        if LEVELS[other] == LEVELS[mine] and mine in ("data", "evaluation"):
            raise AssertionError(f"{relative} imports {module}: data and evaluation stand apart")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_third_party_packages_stay_in_their_rooms(path: Path) -> None:
    relative = path.relative_to(PACKAGE).as_posix()
    for module, _ in imports(path):
        places = ONLY_IN.get(module.partition(".")[0])
        if places is not None:
            assert relative.startswith(places), f"{relative} imports {module}"


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_parts_without_torch_load_without_it(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_only_level_eight_sees_a_run_config() -> None:
    for path in FILES:
        mine = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if LEVELS.get(mine, 8) < 8:
            assert "RunConfig" not in path.read_text(encoding="utf-8"), path


def test_importing_medimg_loads_nothing_heavy() -> None:
    code = (
        "import sys, medimg; heavy = {'torch', 'numpy', 'pandas', 'pydantic', 'sklearn'};"
        "sys.exit(bool(heavy & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_is_there() -> None:
    import medimg

    for name in medimg.__all__:
        assert getattr(medimg, name) is not None


def test_softmax_and_sigmoid_stand_in_one_place() -> None:
    allowed = ("calibrator.py", "training/losses/", "models/layers.py", "models/options.py")
    for path in FILES:
        relative = path.relative_to(PACKAGE).as_posix()
        if relative.startswith(allowed):
            continue
        names = {
            node.attr if isinstance(node, ast.Attribute) else node.id
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Attribute | ast.Name)
        }
        assert not names & {"softmax", "log_softmax", "sigmoid", "expit"}, relative
