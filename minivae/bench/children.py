"""A process for each contender, so that the idle threads of one library cannot disturb another.

A child is a Python of its own that prepares one of `measures` and then waits for turns: a line of JSON goes
in, a line of JSON comes out. Between its turns a child is stopped by a signal, because the workers of a BLAS
or of OpenMP go on spinning for a while when their work is done; a stopped process spins nowhere. A child that
cannot import its library, dies, or does not answer in time is `Unavailable`, with the reason in one line.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

START, TURN = 300.0, 60.0  # seconds to wait: for imports and compilers, and for one turn
# every library reads the size of its thread pool from one of these when it is loaded
POOLS = ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Unavailable(Exception):
    """Why a contender has no numbers."""


class Child:
    """The parent's end: start with a task of `measures` and its arguments, take turns, close."""

    def __init__(self, task, threads, start=START, **arguments):
        if not hasattr(os, "killpg"):
            raise OSError("bench stops and wakes processes by Unix signals, which this system does not have")
        self.threads = threads
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        settings = dict.fromkeys(POOLS, str(threads))
        settings |= {"JAX_PLATFORMS": "cpu", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
        settings["PYTHONPATH"] = os.pathsep.join(
            [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "minivae.bench.children"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=os.environ | settings,
            process_group=0,  # Ctrl-C reaches the parent alone, and closing reaches a compiler's helpers too
        )
        try:
            self.facts = self.ask(start, task=task, threads=threads, arguments=arguments)
        except BaseException:
            self.close()
            raise

    def turn(self, n, wait=TURN, **arguments):
        """n times the work -> the child's answer, a dictionary with "seconds" for one time."""
        return self.ask(wait, n=n, **arguments)

    def ask(self, wait, **request):
        """Send a request, await the answer for `wait` seconds, and leave the child stopped."""
        self._signal(signal.SIGCONT)
        try:
            os.write(self.process.stdin.fileno(), json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            raise Unavailable(self._why()) from None
        answer = json.loads(self._line(time.monotonic() + wait, wait))
        self._signal(signal.SIGSTOP)
        if "error" in answer:
            raise Unavailable(answer["error"])
        return answer

    def _line(self, deadline, wait):
        line, pipe = b"", self.process.stdout.fileno()
        while not line.endswith(b"\n"):
            if not select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise Unavailable(f"no answer within {wait:g} s")
            piece = os.read(pipe, 1 << 16)
            if not piece:
                raise Unavailable(self._why())
            line += piece
        return line

    def _why(self):
        """The last thing that a child said before it died, and what it died of."""
        try:
            code = self.process.wait(5)
        except subprocess.TimeoutExpired:
            return "the process closed its pipe"
        self.errors.seek(0)
        said = self.errors.read().decode(errors="replace").strip().splitlines()[-1:]
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return ": ".join([f"the process died ({how})", *said])

    def close(self):
        """End the child and all that it started; nothing of it is left behind. A second time does nothing."""
        if self.errors.closed:
            return
        self._signal(signal.SIGKILL)
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self.errors):
            file.close()

    def _signal(self, number):
        with suppress(ProcessLookupError, PermissionError):  # gone already; macOS says the second of a zombie
            os.killpg(self.process.pid, number)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


# ------------------------------------------------------------------------------ the child's end


def serve():
    """Prepare the first request's task, then answer turns until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not end up among the answers
    turn = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if turn is None:
                answer, turn = _prepare(**request)
            else:
                answer = turn(**request) | {"peak": peak_memory()}
        except ModuleNotFoundError as error:
            answer = {"error": f"{error.name} is not installed"}
        except Exception as error:
            text = " ".join(str(error).split())[:200]
            answer = {"error": f"{type(error).__name__}: {text}"}
        print(json.dumps(answer), file=answers, flush=True)


def _prepare(task, threads, arguments):
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if threads < len(cores):
            os.sched_setaffinity(0, cores[:threads])  # jax has no other way to be told
    from . import measures

    return getattr(measures, task)(**arguments)


def peak_memory():
    """The most memory that this process has held at once, in bytes.

    Linux keeps `ru_maxrss` over an exec, so that it may be the parent's; VmHWM is this program's own.
    """
    try:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])
    except (OSError, IndexError):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most


if __name__ == "__main__":
    serve()
