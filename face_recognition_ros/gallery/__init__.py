"""Whom the robot knows: templates kept on disk, compared with probes, decided upon. This package knows no image."""
