#!/usr/bin/env python3
"""A proxy that cuts connections, for tests: cutter.py PORT-FILE HOST:PORT CUTS [AWAY]

Forwards to HOST:PORT. The first CUTS answers that are longer than CUT bytes end after
a number of bytes that differs from cut to cut; after the first nobody listens for AWAY
seconds. Prints the bytes passed on to clients when
it is ended (SIGTERM).
"""
import pathlib
import signal
import socket
import sys
import threading
import time

CUT = 200_000
host, port = sys.argv[2].split(":")
lock = threading.Lock()
left, passed, n_cuts = int(sys.argv[3]), 0, 0
away = float(sys.argv[4]) if len(sys.argv) > 4 else 0


def up(client, server):
    try:
        while data := client.recv(65536):
            server.sendall(data)
        server.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def serve(client):
    global left, passed, n_cuts
    server = socket.create_connection((host, int(port)))
    threading.Thread(target=up, args=(client, server), daemon=True).start()
    seen = 0
    with lock:
        limit = CUT + 37_123 * n_cuts
    try:
        while data := server.recv(65536):
            with lock:
                cut = left > 0 and seen + len(data) > limit
                if cut:
                    left, n_cuts = left - 1, n_cuts + 1
                    data = data[:limit - seen]
                passed += len(data)
            client.sendall(data)
            seen += len(data)
            if cut:
                break
    except OSError:
        pass
    for s in (client, server):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        s.close()


def end(*_):
    print(passed, n_cuts, flush=True)
    raise SystemExit


signal.signal(signal.SIGTERM, end)
at = ("127.0.0.1", 0)
while True:
    with socket.create_server(at, backlog=64) as listener:
        at = listener.getsockname()
        listener.settimeout(0.05)
        pathlib.Path(sys.argv[1]).write_text(f"127.0.0.1:{at[1]}")
        while not (away and n_cuts):
            try:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
            except TimeoutError:
                pass
    time.sleep(away)
    away = 0
