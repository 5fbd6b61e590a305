"""An edge before one upstream, as the conformance runs start it."""

import subprocess
import time

START_SECONDS = 8
DRAIN_SECONDS = 2
STOP_SECONDS = 4


class Edge:
    """Starts on a free port, which is `port`. `work` gets its log (edge.NAME.log) and, if it does not end with exit
    code 0, a line in the file `unclean`."""

    def __init__(self, binary, protos, work, name, upstream_port, arguments):
        self.work = work
        self.log = work / f"edge.{name}.log"
        command = [binary, "serve", *arguments, "--listen", "127.0.0.1:0", "--proto-path", protos]
        command += ["--upstream", f"h2c://127.0.0.1:{upstream_port}", "--drain-timeout", str(DRAIN_SECONDS)]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self.port = self.listening()
        except RuntimeError:
            self.stop()
            raise

    def listening(self):
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.running():
            for line in self.log.read_text(errors="replace").splitlines(keepends=True):
                if line.startswith("listening on ") and line.endswith("\n"):
                    return int(line.rsplit(":", 1)[1])
            time.sleep(0.02)
        raise RuntimeError(f"the edge does not listen: {self.log}")

    def running(self):
        return self.process.poll() is None

    def stop(self):
        stop(self.process)
        if self.process.returncode != 0:
            with open(self.work / "unclean", "a", encoding="utf-8") as unclean:
                unclean.write(f"an edge ended with {self.process.returncode}: {self.log}\n")


def stop(process):
    """SIGTERM, and SIGKILL if that does not end it."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
