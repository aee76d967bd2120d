"""Reads a state dict saved in torch's legacy (before 1.6, not zip) file format with nothing but numpy.

The file is a row of pickles (magic number, protocol version, system info, the object, the keys of its storages), then
per storage its length as int64 and its elements. The unpickler here knows the three names such an object is made of
and refuses every other, so that a tampered file cannot run code.
"""

import io
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar

import numpy as np
import numpy.typing as npt

from face_recognition_ros.errors import ModelError

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001


@dataclass(frozen=True)
class _TensorRecord:
    """What the pickle says of a tensor; its numbers come later in the file."""

    storage: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _FloatStorage:
    """Stands for torch.FloatStorage, which the pickle names but never calls."""


def _rebuild_tensor(
    storage: str, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_gradient_and_hooks: Any
) -> _TensorRecord:
    return _TensorRecord(storage, offset, shape, stride)


class _StateDictUnpickler(pickle.Unpickler):
    _ALLOWED: ClassVar[dict[tuple[str, str], Any]] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch", "FloatStorage"): _FloatStorage,
    }

    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return self._ALLOWED[module_name, global_name]
        except KeyError:
            raise ModelError(
                f"The weights file asks for {module_name}.{global_name}; "
                "a state dict of float tensors needs no such thing."
            ) from None

    def persistent_load(self, pid: Any) -> str:
        kind, storage_type, key, _device, _length, view = pid
        if kind != "storage" or storage_type is not _FloatStorage or view is not None:
            raise ModelError("The weights file holds something other than plain float32 storages.")
        return str(key)


def read_state_dict(content: bytes) -> dict[str, npt.NDArray[np.float32]]:
    """Read name -> float32 array from the bytes of a file that `torch.save(state_dict)` wrote in the legacy format.

    Raises ModelError where the content is cut short, of another format, or asks for anything but float tensors.
    """
    file = io.BytesIO(content)
    try:
        return _read(file)
    except ModelError:
        raise
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise ModelError(f"The weights file is damaged or cut short ({type(error).__name__}: {error}).") from error


def _read(file: BinaryIO) -> dict[str, npt.NDArray[np.float32]]:
    magic_number, protocol_version, system = (_StateDictUnpickler(file).load() for _ in range(3))
    if (magic_number, protocol_version, system["little_endian"]) != (MAGIC_NUMBER, PROTOCOL_VERSION, True):
        raise ModelError("The weights file is not in torch's legacy little-endian format.")
    records = _StateDictUnpickler(file).load()
    storages = {str(key): _read_storage(file) for key in _StateDictUnpickler(file).load()}
    return {str(name): _view(record, storages) for name, record in records.items()}


def _read_storage(file: BinaryIO) -> npt.NDArray[np.float32]:
    length = int.from_bytes(file.read(8), "little")
    content = file.read(4 * length)
    if len(content) != 4 * length:
        raise ModelError(
            f"The weights file is cut short: a storage of {length} numbers ends after {len(content)} bytes."
        )
    return np.frombuffer(content, "<f4")


def _view(record: _TensorRecord, storages: dict[str, npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    storage = storages[record.storage]
    last = record.offset + sum((length - 1) * step for length, step in zip(record.shape, record.stride, strict=True))
    if min((record.offset, *record.shape, *record.stride)) < 0 or last >= len(storage):
        raise ModelError(f"The weights file describes a tensor of shape {record.shape} outside its storage.")
    strides = [4 * step for step in record.stride]
    return np.lib.stride_tricks.as_strided(storage[record.offset :], record.shape, strides, writeable=False).copy()
