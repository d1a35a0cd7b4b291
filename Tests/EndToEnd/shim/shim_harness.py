"""Starts rota-shim the way the agent does and reads what it says. Standard library only."""

import fcntl
import mmap
import os
import select
import socket
import struct
import time

CLOCK_BOOTTIME = time.CLOCK_BOOTTIME
FAR = 3600 * 10**9  # an hour of trust, for tests that are not about the deadline


def boottime():
    return time.clock_gettime_ns(CLOCK_BOOTTIME)


def record(tag, value):
    data = value if isinstance(value, bytes) else str(value).encode()
    return tag.encode("latin-1") + struct.pack("<I", len(data)) + data


def encode_spec(argv, env=None, **single):
    """`single` maps tags ('d', 'o', 't', ...) to values."""
    env = {"PATH": "/usr/bin:/bin"} if env is None else env
    body = b"".join(record("a", a) for a in argv)
    body += b"".join(record("e", f"{k}={v}") for k, v in env.items())
    body += b"".join(record(tag, value) for tag, value in single.items())
    return struct.pack("<I", len(body)) + body


class Deadline:
    """The shared deadline file."""

    def __init__(self, path, trusted_for=FAR, size=4096):
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self.fd, size)
        self.map = mmap.mmap(self.fd, size) if size >= 8 else None
        if self.map is not None:
            self.set(boottime() + trusted_for if trusted_for else 0)

    def set(self, value):
        self.value = value
        struct.pack_into("<Q", self.map, 0, value)


class Ending:
    """A parsed `E` line."""

    def __init__(self, line):
        fields = line.split()
        assert fields[0] == "E" and len(fields) == 10, line
        self.reason = fields[1]
        (self.code, self.signal, self.utime_us, self.stime_us, self.maxrss_kib, self.boottime_ns,
         self.stdout_bytes, self.stderr_bytes) = map(int, fields[2:])


def spawn(shim, control_read, status_write, deadline_fd, stderr_fd=2):
    """posix_spawn with the descriptors where the shim wants them."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    wanted = (null, stderr_fd, control_read, status_write, deadline_fd)
    # Above the targets, or a dup2 could overwrite a source.
    sources = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for fd in wanted]
    actions = [(os.POSIX_SPAWN_DUP2, source, target) for source, target in zip(sources, (0, 2, 3, 4, 5))]
    try:
        return os.posix_spawn(shim, [shim], {}, file_actions=actions)
    finally:
        for fd in sources + [null]:
            os.close(fd)


class Shim:
    """One running shim. `spec` is bytes as encode_spec makes them."""

    def __init__(self, shim, spec, deadline, stderr_fd=2):
        self.deadline = deadline
        control_read, self.control = os.pipe()
        self.status, status_write = os.pipe()
        self.pid = spawn(shim, control_read, status_write, deadline.fd, stderr_fd)
        os.close(control_read)
        os.close(status_write)
        self.buffer = b""
        self.exit_status = None
        self.lines = []
        while spec:
            spec = spec[os.write(self.control, spec):]

    def send(self, command):
        os.write(self.control, command.encode())

    def close_control(self):
        if self.control is not None:
            os.close(self.control)
            self.control = None

    def line(self, timeout=10):
        """The next status line, None at the end of the pipe."""
        limit = time.monotonic() + timeout
        while b"\n" not in self.buffer:
            ready, _, _ = select.select([self.status], [], [], max(0, limit - time.monotonic()))
            assert ready, f"no status line in {timeout} s; so far {self.lines}"
            chunk = os.read(self.status, 4096)
            if not chunk:
                assert not self.buffer, f"cut-off line {self.buffer}"
                return None
            self.buffer += chunk
        head, self.buffer = self.buffer.split(b"\n", 1)
        self.lines.append(head.decode())
        return self.lines[-1]

    def started(self):
        """Reads the `S` line; returns (pid, starttime, boottime_ns)."""
        line = self.line()
        assert line is not None and line.startswith("S "), line
        return tuple(map(int, line.split()[1:]))

    def failed(self):
        """Reads the `F` line and the end; returns (errno, stage, message)."""
        line = self.line()
        assert line is not None and line.startswith("F "), line
        self.finish()
        _, error, stage, message = line.split(" ", 3)
        return int(error), stage, message

    def ended(self, timeout=20):
        """Reads the `E` line and the end; the shim exits with 0."""
        ending = Ending(self.line(timeout))
        self.finish()
        return ending

    def hang_up(self):
        """What a process that dies leaves behind: nobody at either pipe."""
        self.close_control()
        os.close(self.status)
        self.status = None

    def finish(self):
        assert self.line() is None, "nothing comes after the final line"
        self.collect()

    def collect(self):
        _, status = os.waitpid(self.pid, 0)
        self.exit_status = os.waitstatus_to_exitcode(status)
        assert self.exit_status == 0

    def dispose(self):
        """For fixtures: leaves nothing running."""
        self.close_control()
        if self.exit_status is None:
            limit = time.monotonic() + 10
            while time.monotonic() < limit:
                pid, _ = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    break
                time.sleep(0.01)
            else:
                os.kill(self.pid, 9)
                os.waitpid(self.pid, 0)
        if self.status is not None:
            os.close(self.status)


class NextAgent(Shim):
    """Another process of the agent, connected to a running shim by its socket."""

    def __init__(self, shim, path):
        folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            # A socket's file is there a moment before anybody listens.
            wait_until(lambda: self._connects(f"/proc/self/fd/{folder}/{os.path.basename(path)}"), what="a shim that listens")
        finally:
            os.close(folder)
        self.shim = shim
        self.control = self.status = self.socket.fileno()
        self.buffer = b""
        self.lines = []

    def _connects(self, path):
        try:
            self.socket.connect(path)
        except ConnectionRefusedError:
            return False
        return True

    def peer(self):
        """The process at the other end, by the kernel's word."""
        return struct.unpack("iII", self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]

    def hang_up(self):
        self.socket.close()

    def collect(self):
        self.shim.collect()


def alive(pid):
    """True while the process runs; a zombie counts as dead."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def with_marker(marker):
    """Pids of live processes whose environment holds `marker`."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or not alive(int(name)):
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as environ:
                if marker.encode() in environ.read():
                    found.append(int(name))
        except OSError:
            continue
    return found


def wait_until(condition, timeout=10, what="condition"):
    limit = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < limit, f"{what}: not within {timeout} s"
        time.sleep(0.005)
