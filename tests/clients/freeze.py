"""Stops some threads of a process until standard input ends: freeze.py PID NAME

NAME is what the threads are called (/proc/PID/task/TID/comm); `main` is the first one.
"""

import ctypes
import os
import sys

PTRACE_SEIZE = 0x4206
PTRACE_INTERRUPT = 0x4207
WALL = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, thread):
    if libc.ptrace(request, thread, None, None) != 0:
        raise OSError(ctypes.get_errno(), f"ptrace({request:#x}, {thread})")


def threads(process, name):
    for thread in map(int, os.listdir(f"/proc/{process}/task")):
        with open(f"/proc/{process}/task/{thread}/comm", encoding="utf-8") as file:
            called = "main" if thread == process else file.read().strip()
        if called == name:
            yield thread


found = list(threads(int(sys.argv[1]), sys.argv[2]))
assert found, "no such thread"
for one in found:
    ptrace(PTRACE_SEIZE, one)
    ptrace(PTRACE_INTERRUPT, one)
    os.waitpid(one, WALL)
print("frozen", flush=True)
# At our end the kernel lets them go on.
sys.stdin.read()
