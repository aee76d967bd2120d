# Every command of this project; `make help` lists them. A finished step leaves a stamp, so a second run is quick.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DONE   := $(VENV)/.done
SHARE  := $(VENV)/share
TENSORRT_BINDINGS := .venv-tensorrt-10-3 .venv-tensorrt-10 .venv-tensorrt-11

# A shell that runs ROS must not lend this environment its libraries and packages.
unexport LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE AMENT_PREFIX_PATH PYTHONPATH

PIP_VERSION = $(shell sed -n 's/^ *"pip==\([0-9.]*\)".*/\1/p' pyproject.toml)
CHECK_PYTHON = $(PYTHON) -c 'import sys; v = sys.version_info; v[:2] in ((3, 11), (3, 12)) or sys.exit( \
	f"Python 3.11 or 3.12 is needed, $(PYTHON) is {v[0]}.{v[1]}: name another, for example make setup PYTHON=python3.12")'

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format training-env test-training test-openvino test-tensorrt test-tensorrt-names peers-env compare-mtcnn bench bench-node bench-search clean
.DELETE_ON_ERROR:

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(DONE)/package $(DONE)/mtcnn ## make .venv: node, demo, tests and linters, for Python 3.11 or 3.12 (PYTHON=python3.12)

demo: setup ## enrol, start node and camera, watch it recognise people (IMAGES=folder: your own pictures)
	@$(BIN)/face-recognition demo $(if $(IMAGES),--images "$(IMAGES)")

test: setup ## run the tests (ARGS="-k gallery": some of them)
	@$(BIN)/python -m pytest $(ARGS)

lint: setup ## check style (ruff) and types (mypy --strict)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: setup ## put the code into ruff's format
	@$(BIN)/ruff check --fix --select I .
	@$(BIN)/ruff format .

training-env: .venv-training/.done/dependencies ## make .venv-training: torch and what training and export need (5.6 GB)
	@mkdir -p .venv-training/share && ln -sfn ../../$(SHARE)/face_recognition_ros .venv-training/share # MTCNN, from setup

peers-env: .venv-peers/.done/bare ## make .venv-peers: facenet-pytorch and face_recognition, to compare with

test-training: training-env ## run the tests of training and of the torch backend, which need torch
	@.venv-training/bin/python -m pytest test/training test/evaluation test/test_masks.py test/runtime/test_torch_cuda.py $(ARGS)

test-openvino: setup ## install OpenVINO into .venv (180 MB) and run the tests of that backend
	@$(BIN)/python -m pip install -qq --group openvino
	@$(BIN)/python -m pytest test/runtime/test_openvino.py $(ARGS)

test-tensorrt: setup ## run the tests that need TensorRT and a GPU: on the robot (docs/tensorrt.md)
	@$(BIN)/python -m pytest -rA test/runtime/test_tensorrt_on_gpu.py $(ARGS)

test-tensorrt-names: setup $(TENSORRT_BINDINGS:=/.done/dependencies) ## check each call of TensorRT against its real bindings
	@$(BIN)/python -m pytest test/runtime/test_tensorrt_bindings.py $(ARGS)

compare-mtcnn: setup peers-env ## compare our MTCNN with facenet-pytorch's, write the reference boxes (ARGS="--help")
	@.venv-peers/bin/python benchmarks/compare_mtcnn.py --write-reference test/detection/reference_boxes.json $(ARGS)

bench: setup peers-env ## measure whole frames beside other libraries, then bench-node (ARGS="--quick", "--help")
	@$(BIN)/python -m pip install -qq --group openvino || echo "==> .venv: no OpenVINO for this platform"
	@$(BIN)/python benchmarks/whole_frame.py $(ARGS)

bench-node: setup ## measure latency, frame loss, CPU and memory of the running node (ARGS="--help")
	@$(BIN)/python benchmarks/node_benchmark.py $(ARGS)

bench-search: .venv-search-peers/.done/dependencies ## measure the gallery's search beside faiss and usearch (ARGS="--help")
	@PYTHONPATH=. .venv-search-peers/bin/python benchmarks/gallery_search.py $(ARGS)

clean: ## delete what set-up, builds and runs have made (.venv-training, -peers and -search-peers stay)
	rm -rf $(VENV) build install log demo-output *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

# --- set-up, step by step -------------------------------------------------------------------------------------------

# An environment with the pip that reads dependency groups.
ENVIRONMENTS := $(VENV) .venv-training .venv-peers .venv-search-peers $(TENSORRT_BINDINGS)
$(ENVIRONMENTS:=/.done/environment): %/.done/environment:
	@$(CHECK_PYTHON)
	@echo "==> $*: $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $*
	@$*/bin/python -m pip install -qq pip==$(PIP_VERSION)
	@mkdir -p $(@D) && touch $@

$(DONE)/dependencies: pyproject.toml | $(DONE)/environment
	@echo "==> $(VENV): dependencies"
	@$(BIN)/python -m pip install -qq --group node --group demo --group test --group lint --group tools
	@touch $@

INTERFACES := interfaces/build_wheel.py $(shell find interfaces/face_recognition_msgs -type f)
$(DONE)/interfaces: pyproject.toml $(INTERFACES) | $(DONE)/dependencies
	@echo "==> face_recognition_msgs: built once, then cached under build/ (about two minutes)"
	@wheel=$$($(BIN)/python interfaces/build_wheel.py) && \
		$(BIN)/python -m pip install -qq --no-deps --force-reinstall "$$wheel"
	@touch $@

# An editable install brings no data files: what ROS looks up in share/ is linked, so that it is used in place as well.
$(DONE)/package: setup.py setup.cfg $(DONE)/dependencies $(DONE)/interfaces
	@echo "==> face_recognition_ros: installed in place"
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation --editable .
	@mkdir -p $(SHARE)/face_recognition_ros
	@ln -sfn $(CURDIR)/package.xml $(CURDIR)/launch $(CURDIR)/config $(SHARE)/face_recognition_ros
	@ln -sf $(CURDIR)/resource/face_recognition_ros $(SHARE)/ament_index/resource_index/packages
	@touch $@

build/mtcnn/downloaded: pyproject.toml | $(DONE)/dependencies
	@echo "==> MTCNN: the wheel with its weights"
	@mkdir -p $(@D) && rm -f $(@D)/*.whl
	@$(BIN)/python -m pip download -qq --no-deps --dest $(@D) --group mtcnn
	@touch $@

$(DONE)/mtcnn: build/mtcnn/downloaded $(wildcard face_recognition_ros/models/mtcnn_*.py) $(DONE)/dependencies | $(DONE)/package
	@echo "==> MTCNN: ONNX models in $(SHARE)/face_recognition_ros/models"
	@$(BIN)/python -m face_recognition_ros.models.mtcnn_export build/mtcnn/facenet_pytorch-*.whl >/dev/null
	@touch $@

.venv-peers/.done/bare: .venv-peers/.done/dependencies
	@.venv-peers/bin/python -m pip install -qq --no-deps --group peers-bare || \
		echo "==> .venv-peers: no dlib for this platform, so face_recognition will not be measured"
	@touch $@

.venv-%/.done/dependencies: pyproject.toml | .venv-%/.done/environment
	@echo "==> .venv-$*: dependency group $*"
	@.venv-$*/bin/python -m pip install -qq --group $*
	@touch $@
