"""Runs a command whose standard output (1) or standard error (2) is a pipe that is full and does not block.

argv: the number, and the command. What it writes is read once it has had time to find the pipe full, and is passed on.
"""

import os
import subprocess
import sys
import threading
import time

number, argv = int(sys.argv[1]), sys.argv[2:]
reader, writer = os.pipe()
os.set_blocking(writer, False)
filled = 0
try:
    while True:
        filled += os.write(writer, b"." * 4096)
except BlockingIOError:
    pass
child = subprocess.Popen(argv, **{"stdout" if number == 1 else "stderr": writer})
os.close(writer)


def read():
    global filled
    time.sleep(1)
    while data := os.read(reader, 65536):
        os.write(number, data[filled:])
        filled -= min(filled, len(data))


thread = threading.Thread(target=read)
thread.start()
status = child.wait()
thread.join()
sys.exit(status if status >= 0 else 128 - status)
