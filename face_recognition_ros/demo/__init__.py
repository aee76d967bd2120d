"""`face-recognition demo`: a camera process films portraits on a wall, the node says who is there, we check."""
