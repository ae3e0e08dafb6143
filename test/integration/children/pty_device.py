"""A character device (a pseudo-terminal) with the swtpm at the unix socket in argv[1] behind it."""

import os
import socket
import struct
import sys
import tty

master, slave = os.openpty()
tty.setraw(master)
tty.setraw(slave)
tpm = socket.socket(socket.AF_UNIX)
tpm.connect(sys.argv[1])
stream = tpm.makefile("rb")
print(os.ttyname(slave), flush=True)
while True:
    command = os.read(master, 4096)
    while len(command) < struct.unpack(">I", command[2:6])[0]:
        command += os.read(master, 4096)
    tpm.sendall(command)
    header = stream.read(10)
    # Two writes: a reader of the device may see the answer in pieces.
    os.write(master, header)
    os.write(master, stream.read(struct.unpack(">I", header[2:6])[0] - 10))
