import CProto

// The generated messages, each with the initialiser that protoc-c wrote for it.

extension Google__Protobuf__Duration: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { google__protobuf__duration__init(message) }
}
extension Google__Protobuf__Timestamp: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { google__protobuf__timestamp__init(message) }
}
extension Rota__V1__AgentMessage: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__agent_message__init(message) }
}
extension Rota__V1__Hello: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__hello__init(message) }
}
extension Rota__V1__Checkpoint: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__checkpoint__init(message) }
}
extension Rota__V1__CheckpointAck: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__checkpoint_ack__init(message) }
}
extension Rota__V1__Progress: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__progress__init(message) }
}
extension Rota__V1__AttemptRef: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__attempt_ref__init(message) }
}
extension Rota__V1__Status: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__status__init(message) }
}
extension Rota__V1__AttemptUpdate: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__attempt_update__init(message) }
}
extension Rota__V1__ServerMessage: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__server_message__init(message) }
}
extension Rota__V1__Welcome: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__welcome__init(message) }
}
extension Rota__V1__Assign: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__assign__init(message) }
}
extension Rota__V1__Assignment: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__assignment__init(message) }
}
extension Rota__V1__RunContext: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__run_context__init(message) }
}
extension Rota__V1__Stop: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__stop__init(message) }
}
extension Rota__V1__Ack: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__ack__init(message) }
}
extension Rota__V1__LogQuery: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__log_query__init(message) }
}
extension Rota__V1__LogReply: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__log_reply__init(message) }
}
extension Rota__V1__ListAgentsRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__list_agents_request__init(message)
  }
}
extension Rota__V1__ListAgentsResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__list_agents_response__init(message)
  }
}
extension Rota__V1__Drain: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__drain__init(message) }
}
extension Rota__V1__DrainAgentRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__drain_agent_request__init(message)
  }
}
extension Rota__V1__UndrainAgentRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__undrain_agent_request__init(message)
  }
}
extension Rota__V1__UndrainAgentResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__undrain_agent_response__init(message)
  }
}
extension Rota__V1__SubmitRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__submit_request__init(message) }
}
extension Rota__V1__SubmitResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__submit_response__init(message) }
}
extension Rota__V1__SubmitBatchRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__submit_batch_request__init(message)
  }
}
extension Rota__V1__SubmitBatchResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__submit_batch_response__init(message)
  }
}
extension Rota__V1__SubmitResult: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__submit_result__init(message) }
}
extension Rota__V1__GetJobRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__get_job_request__init(message) }
}
extension Rota__V1__ListJobsRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__list_jobs_request__init(message) }
}
extension Rota__V1__ListJobsResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__list_jobs_response__init(message)
  }
}
extension Rota__V1__CancelJobRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__cancel_job_request__init(message)
  }
}
extension Rota__V1__WatchJobRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__watch_job_request__init(message) }
}
extension Rota__V1__GetRunRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__get_run_request__init(message) }
}
extension Rota__V1__RunEvent: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__run_event__init(message) }
}
extension Rota__V1__ExplainRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__explain_request__init(message) }
}
extension Rota__V1__Explanation: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__explanation__init(message) }
}
extension Rota__V1__Finding: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__finding__init(message) }
}
extension Rota__V1__RetryRunRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__retry_run_request__init(message) }
}
extension Rota__V1__FailureFilter: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__failure_filter__init(message) }
}
extension Rota__V1__ListRunsRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__list_runs_request__init(message) }
}
extension Rota__V1__ListRunsResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__list_runs_response__init(message)
  }
}
extension Rota__V1__LogsRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__logs_request__init(message) }
}
extension Rota__V1__LogChunk: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__log_chunk__init(message) }
}
extension Rota__V1__WatchRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__watch_request__init(message) }
}
extension Rota__V1__WatchResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__watch_response__init(message) }
}
extension Rota__V1__Change: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__change__init(message) }
}
extension Rota__V1__Removed: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__removed__init(message) }
}
extension Rota__V1__SubmitStreamResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__submit_stream_response__init(message)
  }
}
extension Rota__V1__SubmitRefusal: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__submit_refusal__init(message) }
}
extension Rota__V1__ListExecutionsResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__list_executions_response__init(message)
  }
}
extension Rota__V1__Execution: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__execution__init(message) }
}
extension Rota__V1__JobSpec: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__job_spec__init(message) }
}
extension Rota__V1__ExecTask: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__exec_task__init(message) }
}
extension Rota__V1__ShellTask: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__shell_task__init(message) }
}
extension Rota__V1__HttpTask: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__http_task__init(message) }
}
extension Rota__V1__NoopTask: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__noop_task__init(message) }
}
extension Rota__V1__NamedTask: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__named_task__init(message) }
}
extension Rota__V1__TaskLimits: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__task_limits__init(message) }
}
extension Rota__V1__Resources: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__resources__init(message) }
}
extension Rota__V1__Placement: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__placement__init(message) }
}
extension Rota__V1__Affinity: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__affinity__init(message) }
}
extension Rota__V1__Spread: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__spread__init(message) }
}
extension Rota__V1__DoubleEntry: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__double_entry__init(message) }
}
extension Rota__V1__Backoff: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__backoff__init(message) }
}
extension Rota__V1__Constraint: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__constraint__init(message) }
}
extension Rota__V1__Job: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__job__init(message) }
}
extension Rota__V1__Run: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__run__init(message) }
}
extension Rota__V1__Attempt: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__attempt__init(message) }
}
extension Rota__V1__ResourceUsage: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__resource_usage__init(message) }
}
extension Rota__V1__Agent: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__agent__init(message) }
}
extension Rota__V1__AgentHealth: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__agent_health__init(message) }
}
extension Rota__V1__MapEntry: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__map_entry__init(message) }
}
