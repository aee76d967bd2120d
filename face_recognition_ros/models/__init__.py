"""Model files: where they are found, how they are verified, and how the detector's are made."""

from face_recognition_ros.models.catalog import ModelDescription, ModelFile, find_model, load_model_file

__all__ = ["ModelDescription", "ModelFile", "find_model", "load_model_file"]
