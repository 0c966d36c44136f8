#!/usr/bin/env python3
"""Boots an arm64 machine, shows its console, presses its power button when asked to, and judges.

QEMU ends with 0 whatever happened inside, so the last line decides: ALL-OK.
"""

import json
import socket
import subprocess
import sys
import threading

LIMIT_S = 300  # Reasoning: boots in 2 s on a quiet machine; this one may be very busy.


def press(path):
    """The power button, over QEMU's control socket."""
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(path)
        talk = control.makefile("rw")
        talk.readline()
        for command in ("qmp_capabilities", "system_powerdown"):
            talk.write(json.dumps({"execute": command}) + "\n")
            talk.flush()
            talk.readline()


def main(kernel, initrd, control):
    machine = subprocess.Popen(
        ["qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a53", "-smp", "1", "-m", "512",
         "-display", "none", "-no-reboot", "-nic", "none", "-kernel", kernel, "-initrd", initrd,
         "-append", "console=ttyAMA0 quiet panic=-1", "-serial", "stdio",
         "-qmp", f"unix:{control},server=on,wait=off"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace")
    watchdog = threading.Timer(LIMIT_S, machine.kill)
    watchdog.start()
    good = False
    for line in machine.stdout:
        print("  |", line.rstrip(), flush=True)
        if "PRESS-POWER" in line:
            press(control)
        good = good or line.strip() == "ALL-OK"
    machine.wait()
    watchdog.cancel()
    return 0 if good else 1


sys.exit(main(*sys.argv[1:]))
