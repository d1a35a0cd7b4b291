"""The examples of the documents are true."""
from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from pathlib import Path

from cluster import CHECKOUT, binaries
from processes import processes_of, wait_until

DOCUMENTS = sorted(
    [*CHECKOUT.glob("*.md"), *CHECKOUT.glob("docs/*.md"), *CHECKOUT.glob("k8s/*.md"), *CHECKOUT.glob("clients/*/*.md")]
)
COMMANDS = "server agent dev submit jobs job runs logs cancel agents events version completions".split()
COMMANDS += "explain run retry pause resume trigger skip-next update delete".split()
COMMANDS += ["certs init", "certs issue", "certs show"]
COMMANDS += ["checkpoint put", "checkpoint get"]
COMMANDS += ["versions diff", "versions show", "versions list", "versions", "revert", "job history"]
COMMANDS += ["calendar put", "calendar get", "calendar list", "calendar delete"]
COMMANDS += ["queues put", "queues list", "queues pause", "queues resume", "queues show"]
COMMANDS += ["groups put", "groups list", "groups get", "groups delete"]
COMMANDS += ["apply", "diff", "export"]
COMMANDS += ["quotas put", "quotas show", "quotas list", "quotas delete"]
COMMANDS += ["next", "forecast", "cluster", "alerts", "backfill list", "backfill get", "backfill cancel", "backfill"]
# The flags of a command that is the first of its own commands are in that one's help.
HELP = {"backfill": "backfill create", "job": "job show", "versions": "versions list"}


def shell_lines(document: Path) -> list[str]:
    """The lines of a document's shell examples, continued ones joined."""
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", document.read_text(), re.S)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]


def uses_of_rota() -> list[tuple[str, str, list[str]]]:
    """(document, command, flags) for each call of `rota` in the documents' examples."""
    uses = []
    for document in DOCUMENTS:
        for line in shell_lines(document):
            for call in re.finditer(rf"(?:^|[\s;(`/])rota ({'|'.join(COMMANDS)})\b([^;|#`)]*)", line):
                words = call.group(2).split(" -- ")[0].split()
                flags = [word.split("=")[0] for word in words if word.startswith("--") and word != "--"]
                uses.append((document.name, call.group(1), flags))
    return uses


def test_documents_use_flags_that_exist():
    uses = uses_of_rota()
    assert len(uses) > 5, "the documents have examples"
    helps = {}
    for document, command, flags in uses:
        if command not in helps:
            words = HELP.get(command, command).split()
            done = subprocess.run([binaries() / "rota", "help", *words], capture_output=True, text=True, timeout=30)
            assert done.returncode == 0, f"{document}: rota {command}: {done.stderr}"
            helps[command] = done.stdout
        for flag in flags:
            assert re.search(rf"{re.escape(flag)}\b", helps[command]), f"{document}: rota {command} has no {flag}"


def tour() -> list[str]:
    """The lines of the README's tour."""
    section = (CHECKOUT / "README.md").read_text().split("## Ten lines")[1]
    return re.search(r"```sh\n(.*?)```", section, re.S).group(1).replace("\\\n", " ").splitlines()


def console_examples() -> list[tuple[str, str, str]]:
    """(document, command, what it shows) of each example with its output, in the documents' order."""
    examples = []
    for document in DOCUMENTS:
        for block in re.findall(r"```console\n(.*?)```", document.read_text(), re.S):
            for example in re.split(r"^\$ ", block, flags=re.M)[1:]:
                command, _, shown = example.partition("\n")
                examples.append((document.name, command, shown))
    return examples


def write_files(document: str, folder: Path) -> None:
    """Writes the files that a document shows: the blocks of YAML that begin with their name as a comment."""
    text = next(path for path in DOCUMENTS if path.name == document).read_text()
    for content, name in re.findall(r"```yaml\n(# (\S+\.yaml)\n.*?)```", text, re.S):
        (folder / name).write_text(content)


def trimmed(text: str) -> list[str]:
    """Without the spaces that a table's last column may end with."""
    return [line.rstrip() for line in text.rstrip().splitlines()]


def test_examples_with_output_show_what_they_say(pair, tmp_path):
    examples = console_examples()
    assert {document for document, _, _ in examples} >= {"API.md", "RETRIES.md", "SCHEDULES.md"}
    environment = reaching(pair.servers[0].grpc, pair.etcd.address)
    for document, command, shown in examples:
        write_files(document, tmp_path)
        script = command.replace("localhost:8080", pair.servers[0].http)
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )
        assert trimmed(done.stdout + done.stderr) == trimmed(shown), f"{document}: {command}"


def reaching(grpc: str, etcd: str) -> dict[str, str]:
    """An environment in which the documents' commands reach a cluster."""
    path = f"{binaries()}:{os.environ['PATH']}"
    return {**os.environ, "ROTA_SERVER": grpc, "ETCDCTL_ENDPOINTS": etcd, "ETCDCTL_API": "3", "PATH": path}


def run(lines: list[str], dev) -> str:
    script = "\n".join(lines).replace("localhost:8080", dev.http)
    env = reaching(dev.grpc, dev.etcd)
    done = subprocess.run(["bash", "-u", "-c", script], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tour_of_the_readme(dev):
    dev.start()
    lines = [line for line in tour() if not line.startswith("alias")]
    kill = next(index for index, line in enumerate(lines) if line.startswith("kill -STOP"))
    shown = run([*lines[:kill], "echo id=$id"], dev)
    assert shown.startswith("hi\n3\n"), shown
    assert '"status":"pending"' in shown and '"status":"completed"' in shown and "agent-1" in shown
    job_id = re.search(r"^id=(\S+)$", shown, re.M).group(1)

    # The README stops by name; a test stops the one that it means.
    wait_until(lambda: dev.rest.get(f"/jobs/{job_id}").json()["status"] == "running", 10, "the job runs")
    worker = dev.rest.get(f"/jobs/{job_id}").json()["executions"][0]["worker_id"]
    agents = [pid for pid in processes_of(dev.folder.name) if is_agent(pid, worker)]
    assert len(agents) == 1
    os.kill(agents[0], signal.SIGSTOP)

    def moved() -> bool:
        executions = dev.rest.get(f"/jobs/{job_id}").json()["executions"]
        return executions[0]["attempt"] == 2 and executions[0]["state"] == "running"

    wait_until(moved, 20, "it runs again, as attempt 2")
    assert lines[kill + 1].startswith("kill -CONT")
    os.kill(agents[0], signal.SIGCONT)
    shown = run([f"id={shlex.quote(job_id)}", *lines[kill + 2 :]], dev)
    assert job_id in shown and "/rota/jobs/" in shown and "/rota/agents/" in shown


def is_agent(pid: int, worker: str) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        return False
    return b"agent" in words and worker.encode() in words
