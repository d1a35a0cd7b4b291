#!/usr/bin/env python3
"""Submits a program, shows what it writes as it writes it, prints its result, and exits as it did.

    submit_and_follow.py [--server HOST:PORT] [--timeout SECONDS] [--max-retries N] -- PROGRAM [ARGUMENT …]
"""
from __future__ import annotations

import argparse
import sys
import uuid
from pathlib import Path

try:
    from rota_client import Client, RotaError, end_reason_name, exec_job, status_name
except ModuleNotFoundError:
    # From a checkout it works without being installed.
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from rota_client import Client, RotaError, end_reason_name, exec_job, status_name
from rota_client.messages import JobStatus, LogStream

EXIT_OF_A_RESULT_WITHOUT_CODE = 1
EXIT_OF_AN_ERROR = 125


def follow(rota: Client, job_id: str) -> None:
    for chunk in rota.logs(job_id, follow=True):
        out = sys.stderr if chunk.stream == LogStream.LOG_STREAM_STDERR else sys.stdout
        out.buffer.write(chunk.data)
        out.buffer.flush()


def report(rota: Client, job_id: str) -> int:
    job = rota.wait(job_id)
    attempt = job.runs[0].attempts[-1] if job.runs and job.runs[0].attempts else None
    print(f"job {job_id} is {status_name(job.status)}", file=sys.stderr, end="")
    if attempt is None:
        print(file=sys.stderr)
        return EXIT_OF_A_RESULT_WITHOUT_CODE
    seconds = (attempt.end_time.ToMicroseconds() - attempt.start_time.ToMicroseconds()) / 1e6
    print(
        f": attempt {attempt.attempt} on {attempt.worker_id}, {end_reason_name(attempt.end_reason)}"
        f" with code {attempt.exit_code} after {seconds:.3f} s",
        file=sys.stderr,
    )
    if job.status == JobStatus.JOB_STATUS_COMPLETED:
        return 0
    if attempt.signal:
        return 128 + attempt.signal
    return attempt.exit_code or EXIT_OF_A_RESULT_WITHOUT_CODE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", default="127.0.0.1:7070", help="host:port of a server's gRPC")
    parser.add_argument("--timeout", type=float, help="seconds that an attempt may run")
    parser.add_argument("--max-retries", type=int, default=0)
    parser.add_argument("argv", nargs="+", metavar="PROGRAM", help="what to run, with its arguments")
    options = parser.parse_args()
    spec = exec_job(options.argv, timeout=options.timeout, max_retries=options.max_retries, backoff=[1.0])
    try:
        with Client(options.server) as rota:
            # The key makes it safe to repeat the call when the connection breaks before the answer.
            job = rota.submit(spec, idempotency_key=str(uuid.uuid4()))
            print(f"job {job.job_id} is submitted", file=sys.stderr)
            follow(rota, job.job_id)
            return report(rota, job.job_id)
    except RotaError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_OF_AN_ERROR


if __name__ == "__main__":
    sys.exit(main())
