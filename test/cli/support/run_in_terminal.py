"""Runs a command in a pseudo-terminal, and answers what it asks.

argv[1] is JSON: {"argv": [...], "env": {...}, "steps": [{"expect": TEXT, "send": TEXT}, ...]}, where a TEXT to send such
as SIGTERM stands for that signal. Input and standard error are the terminal, standard output is a pipe, unless "stdout"
is "terminal". Prints JSON: the exit status, what the terminal showed, standard output, whether the terminal echoed when
each step was answered, and whether its settings were the old ones in the end.
"""

import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time

task = json.loads(sys.argv[1])
master, slave = pty.openpty()
before = termios.tcgetattr(slave)


def become_leader():
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


all_in_terminal = task.get("stdout") == "terminal"
child = subprocess.Popen(
    task["argv"],
    stdin=slave,
    stdout=slave if all_in_terminal else subprocess.PIPE,
    stderr=slave,
    env=task["env"],
    preexec_fn=become_leader,
)
shown = b""
stdout = b""
echoes = []
deadline = time.monotonic() + 280
sources = [master] if all_in_terminal else [master, child.stdout.fileno()]


def read_some():
    global shown, stdout
    ready, _, _ = select.select(sources, [], [], 0.05)
    for source in ready:
        data = os.read(source, 65536)
        if source == master:
            shown += data
        elif data:
            stdout += data
        else:
            sources.remove(source)
    return bool(ready)


at = 0
for step in task["steps"]:
    expected = step["expect"].encode()
    while expected not in shown[at:] and child.poll() is None and time.monotonic() < deadline:
        read_some()
    if expected not in shown[at:]:
        break
    at = shown.index(expected, at) + len(expected)
    echoes.append(bool(termios.tcgetattr(slave)[3] & termios.ECHO))
    if step["send"].startswith("SIG"):
        child.send_signal(getattr(signal, step["send"]))
    else:
        os.write(master, step["send"].encode())
while child.poll() is None and time.monotonic() < deadline:
    read_some()
if child.poll() is None:
    child.kill()
while read_some():
    pass
print(
    json.dumps(
        {
            "status": child.wait() if child.wait() >= 0 else 128 - child.wait(),
            "shown": shown.decode().replace("\r\n", "\n"),
            "stdout": stdout.decode(),
            "echoes": echoes,
            "restored": termios.tcgetattr(slave) == before,
        }
    )
)
