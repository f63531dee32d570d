"""Permissions as users meet them, where the tests run as root, who may read and write all."""

import contextlib
import ctypes
import os
from collections.abc import Iterator

_VERSION = 0x20080522  # of the kernel's structure: two words of 32 capabilities each
_OVERRIDING = 0b1110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER


@contextlib.contextmanager
def permissions_hold() -> Iterator[None]:
    """Within it the calling thread may do no more than the modes of files allow; and its children.

    Takes away capabilities and gives them back; nothing to do for other users than root.
    """
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    former, less = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, former) == 0
    less[:] = former[:]
    less[0] &= ~_OVERRIDING  # what is effective; what is permitted stays
    assert libc.capset(header, less) == 0
    try:
        yield
    finally:
        assert libc.capset(header, former) == 0
