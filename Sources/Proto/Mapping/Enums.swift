import CProto
import SchedulerCore

/// A Swift enumeration with a C counterpart, whose zero means "unspecified".
protocol WireEnum: Sendable, Hashable {
  associatedtype Raw: RawRepresentable & Equatable & Sendable where Raw.RawValue == UInt32

  /// Every case with its number.
  static var wireValues: [(Self, Raw)] { get }
}

extension WireEnum {
  /// The case's number.
  var raw: Raw {
    for (choice, number) in Self.wireValues where choice == self { return number }
    preconditionFailure("\(self) is not in its table; a test goes through all cases")
  }
}

extension JobStatus: WireEnum {
  static let wireValues: [(JobStatus, Rota__V1__JobStatus)] = [
    (.pending, ROTA__V1__JOB_STATUS__JOB_STATUS_PENDING),
    (.running, ROTA__V1__JOB_STATUS__JOB_STATUS_RUNNING),
    (.completed, ROTA__V1__JOB_STATUS__JOB_STATUS_COMPLETED),
    (.failed, ROTA__V1__JOB_STATUS__JOB_STATUS_FAILED),
    (.cancelled, ROTA__V1__JOB_STATUS__JOB_STATUS_CANCELLED),
  ]
}

extension RunState: WireEnum {
  static let wireValues: [(RunState, Rota__V1__RunState)] = [
    (.queued, ROTA__V1__RUN_STATE__RUN_STATE_QUEUED),
    (.retrying, ROTA__V1__RUN_STATE__RUN_STATE_RETRYING),
    (.assigned, ROTA__V1__RUN_STATE__RUN_STATE_ASSIGNED),
    (.running, ROTA__V1__RUN_STATE__RUN_STATE_RUNNING),
    (.completed, ROTA__V1__RUN_STATE__RUN_STATE_COMPLETED),
    (.failed, ROTA__V1__RUN_STATE__RUN_STATE_FAILED),
    (.cancelled, ROTA__V1__RUN_STATE__RUN_STATE_CANCELLED),
    (.skipped, ROTA__V1__RUN_STATE__RUN_STATE_SKIPPED),
  ]
}

extension Concurrency.WhenFull: WireEnum {
  static let wireValues: [(Concurrency.WhenFull, Rota__V1__WhenFull)] = [
    (.wait, ROTA__V1__WHEN_FULL__WHEN_FULL_WAIT),
    (.skip, ROTA__V1__WHEN_FULL__WHEN_FULL_SKIP),
    (.cancelOldest, ROTA__V1__WHEN_FULL__WHEN_FULL_CANCEL_OLDEST),
  ]
}

extension EndReason: WireEnum {
  static let wireValues: [(EndReason, Rota__V1__EndReason)] = [
    (.exited, ROTA__V1__END_REASON__END_REASON_EXITED),
    (.timeout, ROTA__V1__END_REASON__END_REASON_TIMEOUT),
    (.cancelled, ROTA__V1__END_REASON__END_REASON_CANCELLED),
    (.fenced, ROTA__V1__END_REASON__END_REASON_FENCED),
    (.agentStopped, ROTA__V1__END_REASON__END_REASON_AGENT_STOPPED),
    (.agentLost, ROTA__V1__END_REASON__END_REASON_AGENT_LOST),
    (.startFailed, ROTA__V1__END_REASON__END_REASON_START_FAILED),
    (.outOfMemory, ROTA__V1__END_REASON__END_REASON_OUT_OF_MEMORY),
  ]
}

extension AgentLossPolicy: WireEnum {
  static let wireValues: [(AgentLossPolicy, Rota__V1__AgentLossPolicy)] = [
    (.restart, ROTA__V1__AGENT_LOSS_POLICY__AGENT_LOSS_POLICY_RESTART),
    (.fail, ROTA__V1__AGENT_LOSS_POLICY__AGENT_LOSS_POLICY_FAIL),
    (.wait, ROTA__V1__AGENT_LOSS_POLICY__AGENT_LOSS_POLICY_WAIT),
  ]
}

extension Constraint.Operator: WireEnum {
  static let wireValues: [(Constraint.Operator, Rota__V1__ConstraintOperator)] = [
    (.equal, ROTA__V1__CONSTRAINT_OPERATOR__CONSTRAINT_OPERATOR_EQUAL),
    (.notEqual, ROTA__V1__CONSTRAINT_OPERATOR__CONSTRAINT_OPERATOR_NOT_EQUAL),
    (.isIn, ROTA__V1__CONSTRAINT_OPERATOR__CONSTRAINT_OPERATOR_IN),
    (.notIn, ROTA__V1__CONSTRAINT_OPERATOR__CONSTRAINT_OPERATOR_NOT_IN),
    (.exists, ROTA__V1__CONSTRAINT_OPERATOR__CONSTRAINT_OPERATOR_EXISTS),
    (.notExists, ROTA__V1__CONSTRAINT_OPERATOR__CONSTRAINT_OPERATOR_NOT_EXISTS),
    (.greater, ROTA__V1__CONSTRAINT_OPERATOR__CONSTRAINT_OPERATOR_GREATER),
    (.less, ROTA__V1__CONSTRAINT_OPERATOR__CONSTRAINT_OPERATOR_LESS),
    (.regex, ROTA__V1__CONSTRAINT_OPERATOR__CONSTRAINT_OPERATOR_REGEX),
  ]
}

extension HealthState: WireEnum {
  static let wireValues: [(HealthState, Rota__V1__HealthState)] = [
    (.healthy, ROTA__V1__HEALTH_STATE__HEALTH_STATE_HEALTHY),
    (.unhealthy, ROTA__V1__HEALTH_STATE__HEALTH_STATE_UNHEALTHY),
    (.avoided, ROTA__V1__HEALTH_STATE__HEALTH_STATE_AVOIDED),
  ]
}

extension LogStream: WireEnum {
  static let wireValues: [(LogStream, Rota__V1__LogStream)] = [
    (.stdout, ROTA__V1__LOG_STREAM__LOG_STREAM_STDOUT),
    (.stderr, ROTA__V1__LOG_STREAM__LOG_STREAM_STDERR),
  ]
}

extension AlertRule.Cause: WireEnum {
  static let wireValues: [(AlertRule.Cause, Rota__V1__AlertCause)] = [
    (.late, ROTA__V1__ALERT_CAUSE__ALERT_CAUSE_LATE),
    (.long, ROTA__V1__ALERT_CAUSE__ALERT_CAUSE_LONG),
    (.stuck, ROTA__V1__ALERT_CAUSE__ALERT_CAUSE_STUCK),
    (.failed, ROTA__V1__ALERT_CAUSE__ALERT_CAUSE_FAILED),
  ]
}

extension AlertRecord.Delivery.State: WireEnum {
  static let wireValues: [(AlertRecord.Delivery.State, Rota__V1__AlertState)] = [
    (.pending, ROTA__V1__ALERT_STATE__ALERT_STATE_PENDING),
    (.delivered, ROTA__V1__ALERT_STATE__ALERT_STATE_DELIVERED),
    (.givenUp, ROTA__V1__ALERT_STATE__ALERT_STATE_GIVEN_UP),
  ]
}
