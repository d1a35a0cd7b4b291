import Proto
import SchedulerCore
import Testing

/// One message type, with what the tests do to each.
struct MessageKind: Sendable, CustomTestStringConvertible {
  let testDescription: String
  /// The bytes of a random message.
  let sample: @Sendable (inout Samples) -> [UInt8]
  /// Whether a random message comes back as it was, from its own bytes and from those with unknown fields.
  let roundTrip: @Sendable (inout Samples) throws -> Void
  /// Decodes; the value does not matter, only that it returns or throws.
  let decode: @Sendable ([UInt8]) throws -> Void

  init<Message: WireMessage & Equatable>(_ make: @escaping @Sendable (inout Samples) -> Message) {
    testDescription = "\(Message.self)"
    sample = { make(&$0).wire() }
    roundTrip = { samples throws in
      let message = make(&samples)
      let bytes = message.wire()
      let again = try Message(wire: bytes)
      #expect(again == message)
      #expect(again.wire() == bytes)
      let extended = try Message(wire: bytes + MessageKind.unknownFields)
      #expect(extended == message)
    }
    decode = { bytes in _ = try Message(wire: bytes) }
  }

  /// Field 1000 as a varint, as text, as 64 bits and as 32 bits.
  private static let unknownFields: [UInt8] =
    [0xC0, 0x3E, 0x07] + [0xC2, 0x3E, 0x02, 0x68, 0x69] + [0xC1, 0x3E, 1, 2, 3, 4, 5, 6, 7, 8]
    + [0xC5, 0x3E, 1, 2, 3, 4]

  static let all = ownKinds + scheduleKinds + quotaKinds + clusterKinds + standardKinds

  /// Those of Rota's services.
  private static let ownKinds: [MessageKind] = [
    MessageKind { $0.submit() },
    MessageKind { SubmitResponse(job: $0.job(), created: $0.bool()) },
    MessageKind { SubmitBatchRequest($0.many { $0.submit() }) },
    MessageKind {
      SubmitBatchResponse(
        results: $0.many {
          SubmitResult(
            jobID: $0.maybe { $0.text() }, created: $0.bool(), code: $0.count(16), message: $0.text())
        })
    },
    MessageKind { GetJobRequest(key: $0.jobKey()) },
    MessageKind {
      ListJobsRequest(
        namespace: $0.maybe { $0.text() }, status: $0.maybe { $0.pick(JobStatus.allCases) },
        userID: $0.maybe { $0.text() }, labels: $0.map(), pageSize: $0.number(),
        pageToken: $0.maybe { $0.text() })
    },
    MessageKind {
      ListJobsResponse(
        jobs: $0.many { $0.job() }, nextPageToken: $0.maybe { $0.text() }, revision: $0.large())
    },
    MessageKind { CancelJobRequest(key: $0.jobKey(), reason: $0.maybe { $0.text() }) },
    MessageKind { WatchJobRequest(key: $0.jobKey()) },
    MessageKind { $0.job() },
    MessageKind { $0.run() },
    MessageKind {
      RetryRunRequest(
        job: $0.jobKey(), runID: $0.maybe { $0.text() }, idempotencyKey: $0.maybe { $0.text() })
    },
    MessageKind { GetRunRequest(job: $0.jobKey(), runID: $0.maybe { $0.text() }) },
    MessageKind { ExplainRequest(job: $0.jobKey(), runID: $0.maybe { $0.text() }) },
    MessageKind { $0.explanation() },
    MessageKind {
      ListRunsRequest(
        namespace: $0.maybe { $0.text() }, jobID: $0.maybe { $0.text() }, workerID: $0.maybe { $0.text() },
        state: $0.maybe { $0.pick(RunState.allCases) }, status: $0.maybe { $0.pick(JobStatus.allCases) },
        pageSize: $0.number(), pageToken: $0.maybe { $0.text() })
    },
    MessageKind {
      ListRunsResponse(
        runs: $0.many { $0.run() }, nextPageToken: $0.maybe { $0.text() }, revision: $0.large())
    },
    MessageKind {
      ListExecutionsResponse(
        executions: $0.many { $0.run() }.flatMap(\.executions), nextPageToken: $0.maybe { $0.text() })
    },
    MessageKind {
      var response = SubmitStreamResponse()
      response.accepted = $0.number()
      response.created = $0.number()
      response.refused = $0.number()
      response.refusals = $0.many {
        SubmitRefusal(
          index: $0.number(), jobID: $0.maybe { $0.text() }, code: $0.count(16), message: $0.text())
      }
      return response
    },
    MessageKind {
      let (jobs, runs) = $0.pick([(true, true), (true, false), (false, true)])
      let jobID = $0.maybe { $0.text() }
      let namespace = jobID == nil ? $0.maybe { $0.text() } : $0.text()
      return WatchEventsRequest(
        namespace: namespace, jobID: jobID, jobs: jobs, runs: runs, startRevision: $0.millis())
    },
    MessageKind {
      WatchEventsResponse(
        changes: $0.many {
          let what: WatchEventsResponse.What =
            switch $0.count(4) {
            case 0: .job($0.job())
            case 1: .run($0.run())
            case 2: .removedJob($0.jobKey())
            default: .removedRun(RunKey(job: $0.jobKey(), runID: $0.text()))
            }
          return WatchEventsResponse.Change(what, revision: $0.large())
        }, revision: $0.large())
    },
    MessageKind {
      LogsRequest(
        job: $0.jobKey(), runID: $0.maybe { $0.text() }, attempt: $0.maybe { 1 + $0.count(9) },
        stream: $0.maybe { $0.pick(LogStream.allCases) }, follow: $0.bool(),
        tailBytes: $0.maybe { 1 + $0.millis() })
    },
    MessageKind {
      LogChunk(
        stream: $0.pick(LogStream.allCases), offset: $0.large(), data: $0.bytes(), attempt: $0.number())
    },
    MessageKind { ListAgentsRequest(pageSize: $0.number(), pageToken: $0.maybe { $0.text() }) },
    MessageKind {
      ListAgentsResponse(agents: $0.many { $0.agent() }, nextPageToken: $0.maybe { $0.text() })
    },
    MessageKind { $0.agent() },
    MessageKind {
      DrainAgentRequest(
        agentID: $0.text(), timeoutMillis: $0.maybe { $0.millis() }, deadline: $0.maybe { $0.time() },
        note: $0.maybe { "n" + $0.text() })
    },
    MessageKind { UndrainAgentRequest(agentID: $0.text()) },
    MessageKind { UndrainAgentResponse(wasDrained: $0.bool()) },
    MessageKind { $0.agentMessage() },
    MessageKind { $0.serverMessage() },
    MessageKind {
      LogQuery(
        request: $0.random.next(), ref: $0.ref(), stream: $0.pick(LogStream.allCases), offset: $0.large(),
        limit: $0.number())
    },
    MessageKind {
      LogReply(
        request: $0.random.next(), offset: $0.large(), data: $0.bytes(), end: $0.bool(),
        error: $0.maybe { $0.text() })
    },
  ]
}
