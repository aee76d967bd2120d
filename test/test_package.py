"""The package's metadata agree with each other and with what is installed."""

import re
import sys
import tomllib
import xml.etree.ElementTree as ElementTree
from importlib import metadata
from pathlib import Path

import pytest
from face_recognition_msgs.msg import FaceIdentity

import face_recognition_ros
from face_recognition_ros.types import IdentityStatus

REPOSITORY = Path(__file__).resolve().parent.parent
INTERFACES = REPOSITORY / "interfaces" / "face_recognition_msgs"
MANIFESTS = [REPOSITORY / "package.xml", INTERFACES / "package.xml"]
INTERFACE_FILES = sorted(path for path in INTERFACES.rglob("*.*") if path.suffix in {".msg", ".srv", ".action"})


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda path: path.parent.name)
def test_manifest_is_format_3_and_carries_the_version(manifest: Path) -> None:
    package = ElementTree.parse(manifest).getroot()
    assert package.get("format") == "3"
    assert package.findtext("version") == face_recognition_ros.__version__
    assert package.findtext("license") == "Apache-2.0"
    email = package.find("maintainer").get("email")
    assert re.fullmatch(r"[\w.-]+@[\w-]+(\.[\w-]+)+", email), f"{email} would be refused by ament"


@pytest.mark.parametrize("distribution", ["face_recognition_ros", "face_recognition_msgs"])
def test_installed_distribution_has_the_version(distribution: str) -> None:
    assert metadata.version(distribution) == face_recognition_ros.__version__


@pytest.mark.parametrize("package", ["face_recognition_ros", "face_recognition_msgs"])
def test_package_is_in_the_ament_index(package: str) -> None:
    share = Path(sys.prefix) / "share"
    assert (share / "ament_index" / "resource_index" / "packages" / package).is_file()
    manifest = ElementTree.parse(share / package / "package.xml")
    assert manifest.getroot().findtext("name") == package


def test_status_numbers_are_those_of_the_message() -> None:
    for status in IdentityStatus:
        assert getattr(FaceIdentity, status.name) == status.value


def test_every_interface_is_built() -> None:
    built = (INTERFACES / "CMakeLists.txt").read_text()
    missing = [path.name for path in INTERFACE_FILES if f'"{path.parent.name}/{path.name}"' not in built]
    assert INTERFACE_FILES
    assert not missing


@pytest.mark.parametrize("path", INTERFACE_FILES, ids=lambda path: path.name)
def test_every_field_is_explained(path: Path) -> None:
    fields = [line for line in path.read_text().splitlines() if line and line[0] not in "#-"]
    assert [line for line in fields if "  # " not in line] == []


def test_every_version_is_pinned_exactly() -> None:
    groups = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["dependency-groups"]
    requirements = [line for group in groups.values() for line in group if isinstance(line, str)]
    assert requirements
    assert [line for line in requirements if not re.fullmatch(r"[\w-]+(\[\w+\])?==[\d.]+(\.post\d+)?", line)] == []


def test_node_environment_has_no_torch() -> None:
    installed = {distribution.name.lower() for distribution in metadata.distributions()}
    assert installed.isdisjoint({"torch", "torchvision", "timm", "facenet-pytorch"})
