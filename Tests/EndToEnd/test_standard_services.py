"""gRPC's standard services, with the clients that gRPC's own authors wrote: health, reflection, error details."""
from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2 as reflection
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from grpc_tools import protoc

from cluster import CHECKOUT, Cluster
from processes import wait_until
from rota_client import BadRequestError, RotaError, messages, noop_job
from test_bad_input import GRPC_SPECS

HEALTH = "grpc.health.v1.Health"
SESSION = "rota.v1.AgentSession"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


@pytest.fixture
def channel(pair) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(pair.servers[0].grpc) as channel:
        yield channel


def health(channel: grpc.Channel, service: str = "") -> int:
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(channel).Check(request, timeout=5).status


class Watch(threading.Thread):
    """Reads a Watch into a queue; at its end comes the status code."""

    def __init__(self, channel: grpc.Channel, service: str) -> None:
        super().__init__(daemon=True)
        self.call = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=service))
        self.news: queue.Queue[int | grpc.StatusCode] = queue.Queue()
        self.start()

    def run(self) -> None:
        try:
            for response in self.call:
                self.news.put(response.status)
        except grpc.RpcError:
            pass
        self.news.put(self.call.code())

    def next(self, seconds: float = 20) -> int | grpc.StatusCode:
        return self.news.get(timeout=seconds)


# Health


def test_health_of_a_server_and_its_services(pair, channel):
    names = [f"rota.v1.{name}" for name in ("Jobs", "Runs", "Agents")]
    wait_until(lambda: health(channel) == SERVING, 20, "the server serves")
    for name in (*names, HEALTH, "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"):
        assert health(channel, name) == SERVING, name
    with pytest.raises(grpc.RpcError) as caught:
        health(channel, "rota.v1.Nothing")
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    listed = health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest(), timeout=5).statuses
    assert listed[""].status == SERVING
    assert set(listed) == {"", *reflected_services(channel, "v1")}


def test_only_the_leader_has_a_healthy_agent_session(pair):
    leader = pair.leader()

    def statuses() -> dict[str, int]:
        found = {}
        for server in pair.servers:
            with grpc.insecure_channel(server.grpc) as channel:
                found[server.name] = health(channel, SESSION)
        return found

    wanted = {server.name: SERVING if server is leader else NOT_SERVING for server in pair.servers}
    wait_until(lambda: statuses() == wanted, 20, f"only {leader.name} takes agents")


def test_a_watch_of_an_unknown_service_stays(pair, channel):
    watch = Watch(channel, "rota.v1.Nothing")
    assert watch.next() == SERVICE_UNKNOWN
    with pytest.raises(queue.Empty):
        watch.next(1.5)
    watch.call.cancel()
    assert watch.next() == grpc.StatusCode.CANCELLED


def test_watchers_are_bounded(pair, channel):
    stub = health_pb2_grpc.HealthStub(channel)
    # On connections of their own: one of them has at most 1,000 streams.
    with grpc.insecure_channel(pair.servers[0].grpc, [("grpc.use_local_subchannel_pool", 1)]) as other:
        calls = [stub.Watch(health_pb2.HealthCheckRequest()) for _ in range(600)]
        calls += [
            health_pb2_grpc.HealthStub(other).Watch(health_pb2.HealthCheckRequest()) for _ in range(600)
        ]
        refused = 0
        for call in calls:
            try:
                next(call)
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, error
                refused += 1
        assert refused >= 200
        assert health(channel, HEALTH) == SERVING, "others are still answered"
        for call in calls:
            call.cancel()

    def watches_again() -> bool:
        call = stub.Watch(health_pb2.HealthCheckRequest(), timeout=10)
        try:
            return next(call).status == SERVING
        except grpc.RpcError:
            return False
        finally:
            call.cancel()

    wait_until(watches_again, 20, "cancelled watches are forgotten")


def test_health_follows_etcd_and_the_end_of_the_server():
    with Cluster(servers=1, agents=0) as cluster, grpc.insecure_channel(cluster.servers[0].grpc) as channel:
        wait_until(lambda: health(channel) == SERVING, 20, "the server serves")
        server, jobs, itself = Watch(channel, ""), Watch(channel, "rota.v1.Jobs"), Watch(channel, HEALTH)
        assert (server.next(), jobs.next(), itself.next()) == (SERVING,) * 3
        cluster.etcd.stop()
        assert (server.next(), jobs.next()) == (NOT_SERVING,) * 2
        assert health(channel) == NOT_SERVING
        assert health(channel, HEALTH) == SERVING, "the process is alive: nothing to restart"
        cluster.etcd.start()
        assert (server.next(30), jobs.next(30)) == (SERVING,) * 2
        assert server.news.empty() and itself.news.empty(), "only changes are told"
        cluster.servers[0].send(15)
        for watch in (server, jobs, itself):
            assert watch.next() == NOT_SERVING
            assert watch.next() == grpc.StatusCode.UNAVAILABLE
        assert cluster.servers[0].wait(20) == 0


# Reflection


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, descriptor_pb2.FileDescriptorProto]:
    """What Google's protoc makes of proto/."""
    made = tmp_path_factory.mktemp("descriptors") / "set"
    names = [str(path.relative_to(CHECKOUT / "proto")) for path in (CHECKOUT / "proto").rglob("*.proto")]
    well_known = Path(protoc.__file__).parent / "_proto"
    paths = [f"-I{CHECKOUT / 'proto'}", f"-I{well_known}"]
    assert protoc.main(["protoc", *paths, "--include_imports", f"--descriptor_set_out={made}", *names]) == 0
    found = descriptor_pb2.FileDescriptorSet.FromString(made.read_bytes())
    return {file.name: file for file in found.file}


def ask(channel: grpc.Channel, version: str, *requests: reflection.ServerReflectionRequest):
    """The answers on one stream."""
    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection.ServerReflectionResponse.FromString,
    )
    return list(call(iter(requests), timeout=20))


def reflected_services(channel: grpc.Channel, version: str) -> list[str]:
    (answer,) = ask(channel, version, reflection.ServerReflectionRequest(list_services=""))
    return [service.name for service in answer.list_services_response.service]


def declared(file: descriptor_pb2.FileDescriptorProto) -> Iterator[str]:
    """Every full name that a file declares."""

    def enum(prefix: str, declaration: descriptor_pb2.EnumDescriptorProto) -> Iterator[str]:
        yield prefix + declaration.name
        yield from (prefix + value.name for value in declaration.value)

    def message(prefix: str, declaration: descriptor_pb2.DescriptorProto) -> Iterator[str]:
        inner = f"{prefix}{declaration.name}."
        yield prefix + declaration.name
        yield from (inner + member.name for member in (*declaration.field, *declaration.oneof_decl))
        for nested in declaration.nested_type:
            yield from message(inner, nested)
        for nested in declaration.enum_type:
            yield from enum(inner, nested)

    prefix = f"{file.package}."
    for declaration in file.message_type:
        yield from message(prefix, declaration)
    for declaration in file.enum_type:
        yield from enum(prefix, declaration)
    for service in file.service:
        yield prefix + service.name
        yield from (f"{prefix}{service.name}.{method.name}" for method in service.method)


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_tells_every_file_and_symbol(channel, files, version):
    asked: list[tuple[str, reflection.ServerReflectionRequest]] = []
    for file in files.values():
        asked.append((file.name, reflection.ServerReflectionRequest(file_by_filename=file.name)))
        asked += [
            (file.name, reflection.ServerReflectionRequest(file_containing_symbol=name)) for name in declared(file)
        ]
    assert len(asked) > 400
    answers = ask(channel, version, *(request for _, request in asked))
    assert len(answers) == len(asked)
    seen: set[str] = set()
    for (name, request), answer in zip(asked, answers, strict=True):
        assert answer.original_request == request
        got = [
            descriptor_pb2.FileDescriptorProto.FromString(data)
            for data in answer.file_descriptor_response.file_descriptor_proto
        ]
        assert got and got[0].name == name, f"{request}: {answer}"
        for file in got:
            assert file == files[file.name], f"{file.name} is not what protoc makes of it"
        seen.update(file.name for file in got)
        needed, todo = set(), [name]
        while todo:
            needed.add(current := todo.pop())
            todo += [other for other in files[current].dependency if other not in needed]
        assert needed <= seen, f"{request}: files that it needs are missing"
        assert len(got) == len({file.name for file in got})
    assert seen == set(files)


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_lists_what_the_server_serves(channel, files, version):
    names = reflected_services(channel, version)
    declared_services = {f"{file.package}.{service.name}" for file in files.values() for service in file.service}
    assert names == sorted(names)
    assert set(names) <= declared_services
    assert {f"rota.v1.{name}" for name in ("Jobs", "Runs", "Agents", "AgentSession")} <= set(names)
    assert {HEALTH, "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"} <= set(names)


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_without_an_answer(channel, version):
    extension = reflection.ExtensionRequest(containing_type="rota.v1.Job", extension_number=1)
    found = ask(
        channel,
        version,
        reflection.ServerReflectionRequest(file_by_filename="../../etc/passwd"),
        reflection.ServerReflectionRequest(file_containing_symbol="rota.v1.Nothing"),
        reflection.ServerReflectionRequest(file_containing_extension=extension),
        reflection.ServerReflectionRequest(all_extension_numbers_of_type="rota.v1.Nothing"),
        reflection.ServerReflectionRequest(host="some"),
        reflection.ServerReflectionRequest(all_extension_numbers_of_type="rota.v1.Job"),
    )
    not_found, invalid = grpc.StatusCode.NOT_FOUND.value[0], grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert [answer.error_response.error_code for answer in found] == [not_found] * 4 + [invalid, 0]
    assert all(answer.error_response.error_message for answer in found[:5])
    assert found[4].valid_host == "some"
    assert found[5].all_extension_numbers_response.base_type_name == "rota.v1.Job"
    assert not found[5].all_extension_numbers_response.extension_number


def v1_database(channel: grpc.Channel) -> ProtoReflectionDescriptorDatabase:
    """The database for version v1: only the method's path differs."""
    database = ProtoReflectionDescriptorDatabase(channel)
    database._stub.ServerReflectionInfo = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection.ServerReflectionResponse.FromString,
    )
    return database


@pytest.mark.parametrize("make", [ProtoReflectionDescriptorDatabase, v1_database], ids=["v1alpha", "v1"])
def test_a_client_without_stubs_calls_the_api(channel, make):
    """With nothing but reflection: find the service, its method and messages, submit a job, read it back."""
    database = make(channel)
    assert "rota.v1.Jobs" in database.get_services()
    pool = descriptor_pool.DescriptorPool(database)
    for name in database.get_services():
        for method in pool.FindServiceByName(name).methods:
            assert method.input_type.full_name and method.output_type.full_name
    submit = pool.FindServiceByName("rota.v1.Jobs").methods_by_name["Submit"]
    request_type, response_type = GetMessageClass(submit.input_type), GetMessageClass(submit.output_type)
    request = request_type()
    request.spec.noop.SetInParent()
    call = channel.unary_unary(
        "/rota.v1.Jobs/Submit",
        request_serializer=request_type.SerializeToString,
        response_deserializer=response_type.FromString,
    )
    response = call(request, timeout=10)
    assert response.created and response.job.job_id


# Error details


def paths_of(message) -> set[str]:
    """The dotted paths that a message type has, without indexes."""
    found: set[str] = set()

    def walk(descriptor, prefix: str, depth: int) -> None:
        found.update(prefix + oneof.name for oneof in descriptor.oneofs)
        for field in descriptor.fields:
            found.add(prefix + field.name)
            if field.message_type and depth < 4 and not field.message_type.GetOptions().map_entry:
                walk(field.message_type, f"{prefix}{field.name}.", depth + 1)

    walk(message.DESCRIPTOR, "", 0)
    return found


@pytest.mark.parametrize("what, spec, word", GRPC_SPECS, ids=[case[0] for case in GRPC_SPECS])
def test_bad_input_names_the_field(pair, what, spec, word):
    with pytest.raises(RotaError) as caught:
        pair.client().submit(spec)
    error = caught.value
    assert isinstance(error, BadRequestError), error
    status = rpc_status.from_call(error.__cause__)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert status.message == error.message
    (detail,) = status.details
    bad = error_details_pb2.BadRequest()
    assert detail.Unpack(bad)
    (violation,) = bad.field_violations
    assert violation.description and violation.description in status.message
    # The field is one of the message that the client has sent.
    plain = "".join(part.partition("]")[2] if n else part for n, part in enumerate(violation.field.split("[")))
    known = paths_of(messages.SubmitRequest())
    within_map = any(plain.startswith(f"{field}.") for field in ("spec.env", "spec.params", "spec.http.headers"))
    assert plain in known or within_map or plain == "spec.task", violation.field
    (surfaced,) = error.violations
    assert (surfaced.field, surfaced.description) == (violation.field, violation.description)


def test_a_huge_name_in_the_request_does_not_break_the_status(pair):
    with pytest.raises(BadRequestError) as caught:
        pair.client().submit(messages.JobSpec(noop={}, env={"ü" * 200_000 + "=": "x"}))
    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert len(caught.value.violations[0].field) <= 300


def test_ids_and_keys_are_named(pair):
    client = pair.client()
    for arguments, field in [
        ({"job_id": "UPPER"}, "job_id"),
        ({"namespace": "a/b"}, "namespace"),
        ({"idempotency_key": "k" * 129}, "idempotency_key"),
    ]:
        with pytest.raises(BadRequestError) as caught:
            client.submit(noop_job(), **arguments)
        assert [violation.field for violation in caught.value.violations] == [field]
    with pytest.raises(BadRequestError) as caught:
        list(client.jobs(page_size=-1))
    assert [violation.field for violation in caught.value.violations] == ["page_size"]


def test_unavailable_says_when_to_come_back():
    with Cluster(servers=1, agents=0) as cluster:
        cluster.etcd.stop()
        with pytest.raises(RotaError) as caught:
            cluster.client().submit(noop_job())
        assert caught.value.code == grpc.StatusCode.UNAVAILABLE
        assert caught.value.retry_delay == 1.0
        (detail,) = rpc_status.from_call(caught.value.__cause__).details
        info = error_details_pb2.RetryInfo()
        assert detail.Unpack(info) and info.retry_delay.ToTimedelta().total_seconds() == 1
        answer = cluster.rest.post("/jobs", {"noop": {}})
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
