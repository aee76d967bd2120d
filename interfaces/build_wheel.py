"""Builds face_recognition_msgs against ROS 2's PyPI wheels and packs it as a pip wheel; prints the wheel's path.

`make setup` runs it. The wheel is kept under build/interfaces, under a key of everything it depends on: the interface
files, this script, the pinned versions and the Python version. In a colcon workspace none of this is needed.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PYPROJECT = REPOSITORY / "pyproject.toml"
SOURCE = REPOSITORY / "interfaces" / "face_recognition_msgs"
BUILD = REPOSITORY / "build" / "interfaces"
ENVIRONMENT = BUILD / "env"
PYTHON = ENVIRONMENT / "bin" / "python"
NAME = "face_recognition_msgs"
# A shell that runs ROS, from wheels or from /opt/ros, must not lend its libraries and packages to this build.
FOREIGN = {"LD_LIBRARY_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE", "AMENT_PREFIX_PATH", "CMAKE_PREFIX_PATH", "PYTHONPATH"}

METADATA = """\
Metadata-Version: 2.1
Name: {name}
Version: {version}
Summary: Messages, services and the action of face_recognition_ros
License: Apache-2.0
"""
WHEEL = """\
Wheel-Version: 1.0
Generator: face_recognition_ros interfaces/build_wheel.py
Root-Is-Purelib: false
Tag: {tag}
"""


def main() -> None:
    """Takes the wheel from the cache, or builds it."""
    groups = tomllib.loads(PYPROJECT.read_text())["dependency-groups"]
    pins = repr([groups["ros"], groups["interfaces"]])
    folder = BUILD / cache_key(pins)
    wheels = list(folder.glob("*.whl"))
    if not wheels:
        make_environment(pins, pip=next(line for line in groups["tools"] if line.startswith("pip==")))
        wheels = [pack(compile_interfaces(), folder)]
    print(wheels[0])


def cache_key(pins: str) -> str:
    """Everything that the wheel depends on, as 16 hex digits."""
    digest = hashlib.sha256(f"{pins}{sysconfig.get_platform()}{sys.version_info}".encode())
    for file in [Path(__file__), *sorted(path for path in SOURCE.rglob("*") if path.is_file())]:
        digest.update(f"{file.relative_to(REPOSITORY)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def make_environment(pins: str, pip: str) -> None:
    """Makes the environment with the ROS build tools, or keeps the one that has these pins."""
    complete = ENVIRONMENT / "complete"
    state = f"{pins}{sys.version}"
    if complete.exists() and complete.read_text() == state:
        return
    venv.create(ENVIRONMENT, clear=True, with_pip=True)
    run(PYTHON, "-m", "pip", "install", "-qq", pip)
    run(PYTHON, "-m", "pip", "install", "-qq", "--group", f"{PYPROJECT}:interfaces")
    correct_exported_paths()
    complete.write_text(state)


def correct_exported_paths() -> None:
    """The wheels' CMake files name the include folders of the machine they were built on: name this environment's."""
    numpy = ENVIRONMENT / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages" / "numpy/_core/include"
    here = {
        r"/opt/python/[^/]+/include/python3\.\d+": sysconfig.get_path("include"),
        r"/opt/python/[^/]+/lib/python3\.\d+/site-packages/numpy/_core/include": str(numpy),
    }
    for file in (ENVIRONMENT / "share").rglob("*.cmake"):
        text = original = file.read_text()
        for pattern, folder in here.items():
            text = re.sub(pattern, folder, text)
        if text != original:
            file.write_text(text)


def compile_interfaces() -> Path:
    """Generates and compiles the message code; returns the folder it is installed in."""
    build, stage = BUILD / "cmake", BUILD / "stage"
    for folder in (build, stage):
        shutil.rmtree(folder, ignore_errors=True)
    cmake = ENVIRONMENT / "bin" / "cmake"
    run(
        *(cmake, "-S", SOURCE, "-B", build, "-G", "Ninja", "-Wno-dev"),
        *(f"-DCMAKE_INSTALL_PREFIX={stage}", "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_TESTING=OFF"),
        *(f"-DCMAKE_PREFIX_PATH={ENVIRONMENT}", f"-DPython3_EXECUTABLE={PYTHON}"),
    )
    run(cmake, "--build", build)
    run(cmake, "--install", build)
    return stage


def pack(stage: Path, folder: Path) -> Path:
    """Packs the Python package, the shared objects and the package's share folder; C++ headers are left out."""
    version = re.search(r"<version>(.+)</version>", (SOURCE / "package.xml").read_text())
    assert version, "package.xml of the interfaces names no version"
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    platform = re.sub(r"[-.]", "_", sysconfig.get_platform())
    name = f"{NAME}-{version[1]}"

    content = BUILD / "wheel"
    shutil.rmtree(content, ignore_errors=True)
    site_packages = stage / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    shutil.copytree(site_packages / NAME, content / NAME, ignore=shutil.ignore_patterns("__pycache__"))
    data = content / f"{name}.data" / "data"
    build_time = shutil.ignore_patterns("cmake", "environment", "local_setup.*")
    shutil.copytree(stage / "share", data / "share", ignore=build_time)
    (data / "lib").mkdir()
    for library in (stage / "lib").glob("*.so"):
        shutil.copy2(library, data / "lib")
    info = content / f"{name}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA.format(name=NAME, version=version[1]))
    (info / "WHEEL").write_text(WHEEL.format(tag=f"{python}-{python}-{platform}"))

    folder.mkdir(parents=True, exist_ok=True)
    run(PYTHON, "-m", "wheel", "pack", content, "--dest-dir", folder)
    for scratch in (content, stage, BUILD / "cmake"):
        shutil.rmtree(scratch)
    return next(folder.glob("*.whl"))


def run(*command: str | Path) -> None:
    """Runs a command of the build environment; where it fails, shows its output and stops."""
    variables = {key: value for key, value in os.environ.items() if key not in FOREIGN}
    variables["AMENT_PREFIX_PATH"] = str(ENVIRONMENT)
    variables["PATH"] = f"{ENVIRONMENT / 'bin'}{os.pathsep}{variables['PATH']}"
    result = subprocess.run(command, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if result.returncode != 0:
        words = " ".join(str(word) for word in command)
        sys.exit(f"{result.stdout[-8000:]}\nBuilding face_recognition_msgs stopped: this command failed.\n  {words}")


if __name__ == "__main__":
    if shutil.which("c++") is None:
        sys.exit("No C++ compiler was found; building the messages needs one (on Debian and Ubuntu: apt install g++).")
    main()
