"""``emoscope`` for shells that run it often: a process that has imported it, and forks for each command.

    python warm.py SOCKET               # the process; it ends with its standard input
    python -I -S warm.py SOCKET WORD…   # ``emoscope WORD…`` in a fork of it

A fork takes the folder, the environment and the open files of the shell that asked. What it does is what
a fresh start does, but for the seconds that the imports take.
"""

import contextlib
import gc
import importlib
import io
import json
import os
import select
import socket
import sys

#: What takes commands longest to import; emoscope comes first, for it forbids onnxruntime to report
#: its use: the thread that would do so is in no fork, which waits for it at its end.
MODULES = (
    "emoscope.audit", "emoscope.evaluation.comparison", "emoscope.report.page", "emoscope.training",
    "matplotlib.pyplot", "onnxruntime", "pandas", "pyarrow.parquet", "pydantic.types", "skl2onnx",
    "sklearn.discriminant_analysis", "sklearn.svm", "yaml",
)  # fmt: skip


def ask(place: str, words: list[str]) -> int:
    """Run a command line in a fork of the process that listens there; gives its exit status."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(place)
        message = json.dumps([words, os.getcwd(), dict(os.environ)]).encode()
        socket.send_fds(connection, [len(message).to_bytes(4, "big")], [0, 1, 2])
        connection.sendall(message)
        return int(connection.recv(8))


def listen(place: str) -> None:
    """Import what commands use, then fork for each that is asked for."""
    sys.path[0] = os.getcwd()  # as for ``python -m emoscope``; here lie modules of other names
    for name in MODULES:
        importlib.import_module(name)
    cli = importlib.import_module("emoscope.cli")
    cli.application()
    gc.freeze()  # what is collected in a fork is copied
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place)
        listening.listen()
        print("ready", flush=True)
        while sys.stdin not in select.select([listening, sys.stdin], [], [])[0]:
            connection, _ = listening.accept()
            if os.fork() == 0:
                _serve(connection)
            connection.close()
            with contextlib.suppress(ChildProcessError):  # forget those that have ended
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def _serve(connection: socket.socket) -> None:
    """Fork again for the command, and tell how it ended."""
    size, files, *_ = socket.recv_fds(connection, 4, 3)
    message = b""
    while len(message) < int.from_bytes(size, "big"):
        message += connection.recv(1 << 16)
    child = os.fork()
    if child == 0:
        _run(files, *json.loads(message))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    connection.sendall(str(status if status >= 0 else 128 - status).encode())
    os._exit(0)


def _run(files: list[int], words: list[str], folder: str, environment: dict[str, str]) -> None:
    from emoscope import cli

    for number, file in enumerate(files):
        os.dup2(file, number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(open(n, "wb", 0, closefd=False), "utf-8", write_through=True)  # noqa: SIM115
        for n in (1, 2)
    )
    os.chdir(folder)
    sys.path[0] = folder
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["emoscope", *words]
    cli.start()


if __name__ == "__main__":
    if sys.argv[2:]:
        sys.exit(ask(sys.argv[1], sys.argv[2:]))
    listen(sys.argv[1])
