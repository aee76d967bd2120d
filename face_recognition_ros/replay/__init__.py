"""Replays a bag, a video or a folder of pictures: the same source, gallery and settings give the same answer."""
