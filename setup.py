"""The Python package's metadata, in the form that colcon (ament_python) and pip both read."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = "face_recognition_ros"


def files(folder: str, pattern: str) -> list[str]:
    return sorted(str(path) for path in Path(folder).glob(pattern))


setup(
    name=NAME,
    version="0.1.0",
    description="Recognises faces on a RoboCup@Home robot: who is there, in every camera frame, as a ROS 2 node.",
    author="face_recognition_ros maintainers",
    maintainer="face_recognition_ros maintainers",
    maintainer_email="maintainers@face-recognition-ros.example",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={
        NAME: ["py.typed"],
        f"{NAME}.models": ["*.onnx", "*.json", "*.md"],
        f"{NAME}.evaluation": ["*.jinja"],
        f"{NAME}.replay": ["*.jinja"],
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", files("launch", "*.launch.py")),
        (f"share/{NAME}/config", files("config", "*.*")),
    ],
    # Which packages are needed is said in package.xml (rosdep) and pyproject.toml (pip); pip knows no ROS names.
    install_requires=["setuptools"],
    zip_safe=False,
    entry_points={
        "console_scripts": [
            "face-recognition = face_recognition_ros.cli:main",
            "face_recognition_node = face_recognition_ros.node.process:main",
        ],
    },
)
