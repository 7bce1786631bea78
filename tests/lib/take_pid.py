#!/usr/bin/env python3
"""A process of the host with a pid that was another's a moment ago.

Usage: take_pid.py PID

Starts `sleep 60` as PID (clone3 with set_tid: Linux 5.5, CAP_CHECKPOINT_RESTORE), says "PID"
on a line, and waits for its end. Says "in use" when PID was not to be had for five seconds.
"""
import ctypes
import errno
import os
import signal
import struct
import sys
import time

CLONE3 = 435
pid = int(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
wanted = (ctypes.c_int * 1)(pid)
# flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size
args = struct.pack("10Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, ctypes.addressof(wanted), 1)
end = time.monotonic() + 5
while (got := libc.syscall(CLONE3, args, len(args))) < 0:
    why = ctypes.get_errno()
    if why != errno.EEXIST:
        sys.exit(f"clone3: {os.strerror(why)}")
    if time.monotonic() > end:
        print("in use")
        sys.exit()
    time.sleep(0.01)
if got == 0:
    os.close(1)
    os.execvp("sleep", ["sleep", "60"])
print(got, flush=True)
os.waitpid(got, 0)
