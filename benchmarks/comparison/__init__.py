"""The comparison of whole frames with other libraries: its frames, its processes, its measures and its report."""
