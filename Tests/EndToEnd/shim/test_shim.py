"""rota-shim: starting, ending, output and bad input. The tree and the lease have files of their own."""

import errno
import os
import signal
import stat
import statistics
import struct
import sys
import time

import pytest

from shim_harness import Deadline, Shim, alive, boottime, encode_spec, record, wait_until


def text(path):
    return path.read_bytes()


# MARK: - Start and end


def test_exit_code_and_output(start, tmp_path):
    before = boottime()
    shim = start(["sh", "-c", "echo out; echo err >&2; exit 7"])
    pid, starttime, at = shim.started()
    ending = shim.ended()
    assert before < at <= ending.boottime_ns < boottime()
    assert pid > 1 and abs(starttime / os.sysconf("SC_CLK_TCK") - before / 1e9) < 5
    assert (ending.reason, ending.code, ending.signal) == ("exited", 7, 0)
    assert (ending.stdout_bytes, ending.stderr_bytes) == (4, 4)
    assert text(tmp_path / "out") == b"out\n" and text(tmp_path / "err") == b"err\n"
    assert stat.S_IMODE(os.stat(tmp_path / "out").st_mode) & ~0o640 == 0


def test_result_file_is_the_final_line(start, tmp_path):
    shim = start(["true"])
    shim.started()
    shim.ended()
    assert text(tmp_path / "result").decode() == shim.lines[-1] + "\n"
    assert not (tmp_path / "result.tmp").exists()


def test_result_file_after_failure(start, tmp_path):
    shim = start(["/no/such/program"])
    shim.failed()
    assert text(tmp_path / "result").decode() == shim.lines[-1] + "\n"


def test_death_by_signal(start):
    shim = start(["sh", "-c", "kill -SEGV $$"])
    shim.started()
    ending = shim.ended()
    assert (ending.reason, ending.code, ending.signal) == ("exited", 128 + signal.SIGSEGV, signal.SIGSEGV)


def test_usage_covers_the_tree(start):
    burn = "import os,time\nif os.fork(): os.wait()\nelse:\n while time.process_time() < 0.3: pass"
    shim = start([sys.executable, "-c", burn])
    shim.started()
    ending = shim.ended()
    assert ending.utime_us + ending.stime_us > 250_000
    assert ending.maxrss_kib > 4000


@pytest.mark.parametrize("program, error", [
    ("/no/such/program", errno.ENOENT), ("no-such-program-in-path", errno.ENOENT), ("/etc/passwd", errno.EACCES),
    ("", errno.ENOENT),
])
def test_exec_failure(start, program, error):
    failed = start([program]).failed()
    assert failed[:2] == (error, "exec") and program in failed[2]


def test_chdir_failure(start):
    failed = start(["true"], d="/no/such/directory").failed()
    assert failed[:2] == (errno.ENOENT, "chdir") and "/no/such/directory" in failed[2]


@pytest.mark.parametrize("kind", ["missing directory", "symlink", "fifo", "directory"])
def test_log_that_cannot_be_opened(start, tmp_path, kind):
    path = tmp_path / "log"
    if kind == "missing directory":
        path = tmp_path / "none" / "log"
    elif kind == "symlink":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    failed = start(["true"], o=path).failed()
    assert failed[1] == "open-log" and str(path) in failed[2]
    assert not (tmp_path / "elsewhere").exists()


def test_without_logs_output_is_discarded(start, shim_path, tmp_path):
    shim = start(raw=encode_spec(["sh", "-c", "echo gone; test -c /dev/stdout"]))
    shim.started()
    assert shim.ended().code == 0


# MARK: - What the task sees


def test_environment_is_exact(start, tmp_path):
    shim = start(["/usr/bin/env", "-0"], env={"B": "2", "A": "with = and \n newline", "EMPTY": ""})
    shim.started()
    shim.ended()
    assert text(tmp_path / "out") == b"B=2\0A=with = and \n newline\0EMPTY=\0"


def test_program_is_looked_up_in_the_given_path(start, tmp_path):
    tool = tmp_path / "bin" / "my-tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho found\n")
    tool.chmod(0o755)
    shim = start(["my-tool"], env={"PATH": str(tool.parent)})
    shim.started()
    shim.ended()
    assert text(tmp_path / "out") == b"found\n"


PROBE = """
import os, signal, sys
status = dict(line.strip('\\n').split(':\\t', 1) for line in open('/proc/self/status'))
print(sorted(int(n) for n in os.listdir('/proc/self/fd'))[:4])
print(status['SigBlk'], int(status['SigIgn'], 16) & ~(1 << 12 | 1 << 24), status['Umask'])
print(os.getsid(0) == os.getpid() == os.getpgid(0), os.getcwd())
print(os.readlink('/proc/self/fd/0'))
"""


def test_clean_process_state(start, tmp_path):
    extra = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(extra, True)
    os.umask(0o077)
    try:
        shim = start([sys.executable, "-S", "-c", PROBE], d=tmp_path)
        shim.started()
        shim.ended()
    finally:
        os.umask(0o022)
        os.close(extra)
    descriptors, signals, session, stdin = text(tmp_path / "out").decode().splitlines()
    assert descriptors == "[0, 1, 2, 3]"  # 3 is listdir's own
    assert signals == "0000000000000000 0 0022"  # Python itself ignores SIGPIPE and SIGXFSZ
    assert session == f"True {tmp_path}"
    assert stdin == "/dev/null"


@pytest.mark.parametrize("size", [0, 10, 3_000_000])
def test_stdin_bytes(start, tmp_path, size):
    data = os.urandom(size)
    shim = start(["cat"], i=data)
    shim.started()
    assert shim.ended().stdout_bytes == size
    assert text(tmp_path / "out") == data


def test_script_on_stdin(start, tmp_path):
    shim = start(["sh", "-s", "arg"], i=b"echo got $1\nexit 3\n")
    shim.started()
    assert shim.ended().code == 3
    assert text(tmp_path / "out") == b"got arg\n"


def test_many_and_large_arguments(start, tmp_path):
    many = ["x" * 50] * 20_000 + ["y" * 100_000]
    shim = start(["sh", "-c", "echo $# ${#1}", "sh"] + many)
    shim.started()
    shim.ended()
    assert text(tmp_path / "out") == b"20001 50\n"


def test_argument_too_large_for_the_kernel(start):
    assert start(["true", "x" * 200_000]).failed()[:2] == (errno.E2BIG, "exec")


# MARK: - Commands and the timeout


def test_terminate_lets_the_task_clean_up(start, tmp_path):
    shim = start(["sh", "-c", "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.02; done"], g=5000)
    shim.started()
    wait_until(lambda: (tmp_path / "out").read_bytes() == b"up\n")
    shim.send("T")
    ending = shim.ended()
    assert (ending.reason, ending.code, ending.signal) == ("terminated", 5, 0)
    assert text(tmp_path / "out") == b"up\nbye\n"


STUBBORN = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.02; done"]


@pytest.mark.alone
def test_terminate_kills_after_the_grace(start, tmp_path):
    shim = start(STUBBORN, g=200)
    shim.started()
    wait_until(lambda: (tmp_path / "out").read_bytes() == b"up\n")
    sent = boottime()
    shim.send("TT")
    ending = shim.ended()
    assert (ending.reason, ending.signal) == ("terminated", signal.SIGKILL)
    assert 0.195 < (ending.boottime_ns - sent) / 1e9 < 1


def test_terminate_reaches_a_stopped_task(start, tmp_path):
    shim = start(["sh", "-c", "trap 'exit 5' TERM; kill -STOP $$; while :; do sleep 0.02; done"], g=5000)
    pid, _, _ = shim.started()
    wait_until(lambda: open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] == "T")
    shim.send("T")
    assert shim.ended().code == 5


def test_kill(start, tmp_path):
    shim = start(STUBBORN)
    shim.started()
    shim.send("K")
    ending = shim.ended()
    assert (ending.reason, ending.signal) == ("killed", signal.SIGKILL)


def test_kill_during_the_grace(start, tmp_path):
    shim = start(STUBBORN, g=60_000)
    shim.started()
    wait_until(lambda: (tmp_path / "out").read_bytes() == b"up\n")
    shim.send("T")
    time.sleep(0.05)
    shim.send("K")
    assert shim.ended(5).reason == "terminated"  # the first cause stays


def test_unknown_commands_are_ignored(start):
    shim = start(["sleep", "60"])
    shim.started()
    shim.send("?\nK")
    assert shim.ended().reason == "killed"


def test_commands_right_behind_the_spec(start):
    shim = start(raw=encode_spec(["sleep", "60"]) + b"K")
    shim.started()
    assert shim.ended().reason == "killed"


@pytest.mark.alone
def test_timeout(start):
    shim = start(["sleep", "60"], t=200, g=5000)
    _, _, at = shim.started()
    ending = shim.ended()
    assert (ending.reason, ending.signal) == ("timeout", signal.SIGTERM)
    assert 0.15 < (ending.boottime_ns - at) / 1e9 < 0.6


@pytest.mark.alone
def test_timeout_of_a_task_that_ignores_sigterm(start):
    shim = start(STUBBORN, t=200, g=200)
    _, _, at = shim.started()
    ending = shim.ended()
    assert (ending.reason, ending.signal) == ("timeout", signal.SIGKILL)
    assert 0.35 < (ending.boottime_ns - at) / 1e9 < 0.9


def test_timeout_without_grace(start):
    shim = start(STUBBORN, t=100, g=0)
    shim.started()
    assert shim.ended(2).reason == "timeout"


def test_signals_do_not_end_the_shim(start):
    shim = start(["sleep", "60"])
    pid, _, _ = shim.started()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGQUIT, signal.SIGUSR1,
                   signal.SIGTSTP, signal.SIGXFSZ):
        os.kill(shim.pid, number)
    time.sleep(0.1)
    assert alive(shim.pid) and alive(pid)
    assert os.getsid(shim.pid) == shim.pid
    shim.send("K")
    shim.ended()


# MARK: - Logs


def test_both_streams_in_one_file_keep_their_order(start, tmp_path):
    path = tmp_path / "both"
    shim = start(["sh", "-c", "for i in 1 2 3 4 5; do echo o$i; echo e$i >&2; done"], o=path, r=path)
    shim.started()
    ending = shim.ended()
    assert (ending.stdout_bytes, ending.stderr_bytes) == (30, 0)
    assert text(path).decode().split() == [s + str(i) for i in range(1, 6) for s in "oe"]


def test_two_spellings_of_one_file_are_one_file(start, tmp_path):
    shim = start(["sh", "-c", "seq 1000; seq 1000 >&2"], o=tmp_path / "log", r=f"{tmp_path}/./log", l=2000, n=9)
    shim.started()
    shim.ended()
    files = [tmp_path / "log"] + [tmp_path / f"log.{n}" for n in range(1, 10)]
    lines = b"".join(text(path) for path in reversed(files) if path.exists()).split()
    assert [int(line) for line in lines] == 2 * list(range(1, 1001))


def test_logs_are_appended(start, tmp_path):
    (tmp_path / "out").write_bytes(b"before\n")
    shim = start(["echo", "after"])
    shim.started()
    shim.ended()
    assert text(tmp_path / "out") == b"before\nafter\n"


def test_rotation_cuts_between_lines(start, tmp_path):
    shim = start(["seq", "1", "1000"], l=1000, n=2)
    shim.started()
    shim.ended()
    files = [tmp_path / name for name in ("out.2", "out.1", "out")]
    assert all(0 < path.stat().st_size <= 1000 for path in files) and not (tmp_path / "out.3").exists()
    kept = [int(line) for path in files for line in text(path).split()]
    assert kept == list(range(kept[0], 1001)) and kept[0] < 600
    assert all(text(path).endswith(b"\n") for path in files)


def test_rotation_of_one_endless_line(start, tmp_path):
    shim = start(["head", "-c", "10000", "/dev/zero"], l=3000, n=1)
    shim.started()
    shim.ended()
    assert [(tmp_path / name).stat().st_size for name in ("out.1", "out")] == [3000, 1000]


def test_rotation_that_keeps_nothing(start, tmp_path):
    shim = start(["seq", "1", "1000"], l=1000, n=0)
    shim.started()
    shim.ended()
    assert (tmp_path / "out").stat().st_size <= 1000 and not (tmp_path / "out.1").exists()


def test_flood_stays_within_the_cap_and_does_not_stall(start, tmp_path):
    cap, keep = 1_000_000, 2
    shim = start(["sh", "-c", "head -c 300000000 /dev/zero; head -c 300000000 /dev/zero >&2"], l=cap, n=keep)
    shim.started()
    ending = shim.ended(60)
    assert (ending.stdout_bytes, ending.stderr_bytes) == (300_000_000, 300_000_000)
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir() if path.name[:3] in ("out", "err")}
    assert len(sizes) == 6 and all(size <= cap for size in sizes.values())


@pytest.mark.alone
def test_flood_does_not_delay_commands(start):
    shim = start(["sh", "-c", "yes & yes >&2 & wait"], l=1_000_000)
    shim.started()
    time.sleep(0.3)
    sent = boottime()
    shim.send("K")
    assert (shim.ended().boottime_ns - sent) / 1e9 < 0.5


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_output_that_the_disk_refuses_is_dropped(start, tmp_path):
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    read_end, write_end = os.pipe()
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        shim = start(["sh", "-c", "head -c 400000 /dev/zero; exit 4"], stderr_fd=write_end)
        shim.started()
        ending = shim.ended()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        os.close(write_end)
    assert (ending.reason, ending.code, ending.stdout_bytes) == ("exited", 4, 400_000)
    assert (tmp_path / "out").stat().st_size == 5000
    said = os.read(read_end, 65536).decode()
    os.close(read_end)
    assert "395000 bytes of output" in said and said.count("\n") == 2, said


def test_log_directory_removed_while_running(start, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    os.mkfifo(tmp_path / "fifo")
    shim = start(["sh", "-c", "echo up; read line < fifo; seq 100000; exit 6"], d=tmp_path, o=logs / "out", l=1000)
    shim.started()
    wait_until(lambda: (logs / "out").read_bytes() == b"up\n")
    (logs / "out").unlink()
    logs.rmdir()
    (tmp_path / "fifo").write_text("go\n")
    ending = shim.ended()
    assert (ending.code, ending.stdout_bytes) == (6, 588898)


# MARK: - Bad input


def framed(body):
    return struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("body, error, words", [
    (b"", errno.EINVAL, "no argument"),
    (record("a", b"a\0b"), errno.EINVAL, "NUL"),
    (record("a", "true") + record("e", b"A=\0"), errno.EINVAL, "NUL"),
    (record("a", "true") + record("e", "novalue"), errno.EINVAL, "NAME=VALUE"),
    (record("a", "true") + record("e", "=x"), errno.EINVAL, "NAME=VALUE"),
    (record("a", "true") + record("z", "x"), errno.EINVAL, "unknown tag 0x7a"),
    (record("a", "true") + record("t", "12x"), errno.EINVAL, "decimal"),
    (record("a", "true") + record("t", "-1"), errno.EINVAL, "decimal"),
    (record("a", "true") + record("t", ""), errno.EINVAL, "decimal"),
    (record("a", "true") + record("t", "9" * 30), errno.EINVAL, "digits"),
    (record("a", "true") + record("l", "0"), errno.EINVAL, "expected 256"),
    (record("a", "true") + record("n", "65"), errno.EINVAL, "expected 0 to 64"),
    (record("a", "true") + record("d", ""), errno.EINVAL, "expected 1"),
    (record("a", "true") + record("o", "/" + "x" * 5000), errno.ENAMETOOLONG, "5001"),
    (record("a", "true") + record("t", "1") + record("t", "2"), errno.EINVAL, "repeated"),
    (record("a", "true") + b"e\x01\0", errno.EINVAL, "cut off"),
    (record("a", "true") + b"e\xff\xff\xff\xffA=1", errno.EINVAL, "claims 4294967295"),
    (record("a", "x") * 40_000, errno.E2BIG, "arguments"),
    (record("a", "true") + record("e", "A=1") * 40_000, errno.E2BIG, "environment"),
])
def test_bad_spec(start, body, error, words):
    failed = start(raw=framed(body)).failed()
    assert failed[:2] == (error, "spec") and words in failed[2], failed


def test_oversized_spec(start):
    assert start(raw=struct.pack("<I", 4 * 1024 * 1024 + 1)).failed()[:2] == (errno.E2BIG, "spec")


def test_spec_cut_off_by_the_end_of_the_agent(start):
    shim = start(raw=encode_spec(["true"])[:-1])
    shim.close_control()
    assert shim.failed()[:2] == (errno.EINVAL, "spec")


def test_bad_spec_still_leaves_a_result(start, tmp_path):
    shim = start(raw=framed(record("a", "true") + record("x", tmp_path / "result") + b"junk"))
    shim.failed()
    assert text(tmp_path / "result").decode() == shim.lines[-1] + "\n"


def test_message_stays_one_line(start):
    assert "a?b??" in start(["/a\nb\r\x7f"]).failed()[2]


def test_started_by_hand_it_says_what_it_is(shim_path):
    import subprocess
    done = subprocess.run([shim_path], stdin=subprocess.DEVNULL, capture_output=True, text=True, close_fds=True)
    assert done.returncode == 2 and "agents only" in done.stderr


# MARK: - Cost


@pytest.mark.alone
def test_start_cost(shim_path, tmp_path, capsys):
    """Printed, not asserted: the machine may be busy."""
    deadline = Deadline(tmp_path / "deadline")
    spec = encode_spec(["/bin/true"], o=tmp_path / "out", r=tmp_path / "err", x=tmp_path / "result")
    to_start, to_end, plain = [], [], []
    for _ in range(300):
        begin = time.perf_counter_ns()
        shim = Shim(shim_path, spec, deadline)
        shim.started()
        to_start.append(time.perf_counter_ns() - begin)
        shim.ended()
        to_end.append(time.perf_counter_ns() - begin)
        shim.dispose()
        begin = time.perf_counter_ns()
        os.waitpid(os.posix_spawn("/bin/true", ["/bin/true"], {}), 0)
        plain.append(time.perf_counter_ns() - begin)
    with capsys.disabled():
        for name, values in (("spawn to S line", to_start), ("spawn to E line and exit", to_end),
                             ("/bin/true without a shim", plain)):
            print(f"\n  {name}: median {statistics.median(values) / 1000:.0f} us, "
                  f"p10 {sorted(values)[len(values) // 10] / 1000:.0f} us", end="")
        print()
