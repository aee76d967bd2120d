"""The node, held to the rights on files: as root, who may read and change everything, it could not be kept out.

    python unprivileged_node.py --ros-args ...

It stays the same user, as two users' processes would not share the middleware's memory, but loses what makes root more
than an owner. Where the tests are run by anybody else, nothing is to be given up.
"""

import ctypes
import os
import sys

PR_CAPBSET_DROP = 24
MORE_THAN_AN_OWNER = range(4)
"""CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH and CAP_FOWNER, see capabilities(7)."""

if __name__ == "__main__":
    for capability in MORE_THAN_AN_OWNER:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.execv(sys.executable, [sys.executable, "-m", "face_recognition_ros.node.process", *sys.argv[1:]])
