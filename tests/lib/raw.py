#!/usr/bin/env python3
"""Bytes to a TCP server, as hostile as they come: raw.py ADDRESS < CASES

A case is a line "STATUS<TAB>BYTES" with Python escapes; STATUS is what the first answer must
be ("-" no answer at all), and no case may have a second answer: that would be a smuggled
request. The connection must be closed within 15 seconds.
"""
import codecs
import re
import socket
import sys

host, port = sys.argv[1].rsplit(":", 1)
failed = n = 0
for line in sys.stdin:
    line = line.rstrip("\n")
    if not line or line.startswith("#"):
        continue
    want, text = line.split("\t", 1)
    data = codecs.escape_decode(text.encode())[0]
    with socket.create_connection((host, int(port)), timeout=15) as s:
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        got = b""
        try:
            while part := s.recv(65536):
                got += part
        except ConnectionResetError:
            pass
        except TimeoutError:
            got += b"(still open)"
    answers = re.findall(rb"^HTTP/1\.1 (\d+)|(?<=\n)HTTP/1\.1 (\d+)", got)
    codes = [(a or b).decode() for a, b in answers if (a or b) != b"100"]
    if codes != ([] if want == "-" else [want]) or b"(still open)" in got:
        print(f"wanted {want}, got {codes}: {text[:150]!r} {got[-150:]!r}")
        failed += 1
    n += 1
print(f"{n} cases, {failed} failed")
sys.exit(failed > 0 or n == 0)
