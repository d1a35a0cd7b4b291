import CProto
import SchedulerCore

extension CalendarSpec: Mapped {
  init(raw: UnsafePointer<Rota__V1__CalendarSpec>) throws(ProtoError) {
    self.init()
    description = try Decode.text(raw.pointee.description, "description")
    timeZone = try Decode.optionalText(raw.pointee.time_zone, "time_zone") ?? Schedule.Defaults.timeZone
    days = try Decode.texts(raw.pointee.n_days, raw.pointee.days, "days")
    ranges = try Decode.list(raw.pointee.n_ranges, raw.pointee.ranges, "ranges")
    cron = try Decode.texts(raw.pointee.n_cron, raw.pointee.cron, "cron")
    labels = try Decode.map(raw.pointee.n_labels, raw.pointee.labels, "labels")
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__CalendarSpec>, _ arena: Arena) {
    raw.pointee.description = arena.text(description)
    if timeZone != Schedule.Defaults.timeZone { raw.pointee.time_zone = arena.text(timeZone) }
    raw.pointee.days = arena.texts(days, &raw.pointee.n_days)
    raw.pointee.ranges = arena.list(ranges, &raw.pointee.n_ranges)
    raw.pointee.cron = arena.texts(cron, &raw.pointee.n_cron)
    raw.pointee.labels = arena.map(labels, &raw.pointee.n_labels)
  }
}

extension CalendarSpec.Range: Mapped {
  init(raw: UnsafePointer<Rota__V1__CalendarRange>) throws(ProtoError) {
    self.init(
      from: try Decode.text(raw.pointee.from, "from"), to: try Decode.text(raw.pointee.to, "to"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__CalendarRange>, _ arena: Arena) {
    raw.pointee.from = arena.text(from)
    raw.pointee.to = arena.text(to)
  }
}

extension CalendarView: Mapped, WireMessage {
  /// As `rota.v1.Calendar`.
  public static var codec: WireCodec<CalendarView> { .mapped }

  init(raw: UnsafePointer<Rota__V1__Calendar>) throws(ProtoError) {
    let key = CalendarKey(
      namespace: try Decode.text(raw.pointee.namespace_, "namespace"),
      name: try Decode.text(raw.pointee.name, "name"))
    var record = CalendarRecord(
      key: key, spec: try Decode.required(raw.pointee.spec, "spec"),
      createdAt: try Decode.requiredTime(raw.pointee.created_at, "created_at"))
    record.generation = Int(raw.pointee.generation)
    record.updatedAt = try Decode.requiredTime(raw.pointee.updated_at, "updated_at")
    self.init(record: record, etag: try Decode.text(raw.pointee.etag, "etag"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__Calendar>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(record.key.namespace)
    raw.pointee.name = arena.text(record.key.name)
    raw.pointee.spec = arena.message(record.spec)
    raw.pointee.generation = Int64(record.generation)
    raw.pointee.etag = arena.text(etag)
    raw.pointee.created_at = arena.time(record.createdAt)
    raw.pointee.updated_at = arena.time(record.updatedAt)
  }
}

// MARK: - Requests

extension Decode {
  /// The key of a calendar, whose name has to be said.
  fileprivate static func calendarKey(
    _ namespace: ProtobufCBinaryData, _ name: ProtobufCBinaryData
  ) throws(ProtoError) -> CalendarKey {
    guard let name = try optionalText(name, "name") else { throw missing("name") }
    return CalendarKey(namespace: try self.namespace(namespace), name: name)
  }
}

extension PutCalendarRequest: Mapped, WireMessage {
  /// As `rota.v1.PutCalendarRequest`.
  public static var codec: WireCodec<PutCalendarRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__PutCalendarRequest>) throws(ProtoError) {
    self.init(
      key: try Decode.calendarKey(raw.pointee.namespace_, raw.pointee.name),
      spec: try Decode.required(raw.pointee.spec, "spec"),
      ifMatch: try Decode.optionalText(raw.pointee.if_match, "if_match"),
      idempotencyKey: try Decode.optionalText(raw.pointee.idempotency_key, "idempotency_key"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__PutCalendarRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(key.namespace)
    raw.pointee.name = arena.text(key.name)
    raw.pointee.spec = arena.message(spec)
    raw.pointee.if_match = arena.text(ifMatch)
    raw.pointee.idempotency_key = arena.text(idempotencyKey)
  }
}

extension GetCalendarRequest: Mapped, WireMessage {
  /// As `rota.v1.GetCalendarRequest`.
  public static var codec: WireCodec<GetCalendarRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__GetCalendarRequest>) throws(ProtoError) {
    self.init(key: try Decode.calendarKey(raw.pointee.namespace_, raw.pointee.name))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__GetCalendarRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(key.namespace)
    raw.pointee.name = arena.text(key.name)
  }
}

extension ListCalendarsRequest: Mapped, WireMessage {
  /// As `rota.v1.ListCalendarsRequest`.
  public static var codec: WireCodec<ListCalendarsRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ListCalendarsRequest>) throws(ProtoError) {
    self.init(
      namespace: try Decode.optionalText(raw.pointee.namespace_, "namespace"),
      pageSize: Int(raw.pointee.page_size),
      pageToken: try Decode.optionalText(raw.pointee.page_token, "page_token"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ListCalendarsRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(namespace)
    raw.pointee.page_size = Int32(wire: pageSize)
    raw.pointee.page_token = arena.text(pageToken)
  }
}

extension ListCalendarsResponse: Mapped, WireMessage {
  /// As `rota.v1.ListCalendarsResponse`.
  public static var codec: WireCodec<ListCalendarsResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__ListCalendarsResponse>) throws(ProtoError) {
    self.init(
      calendars: try Decode.list(raw.pointee.n_calendars, raw.pointee.calendars, "calendars"),
      nextPageToken: try Decode.optionalText(raw.pointee.next_page_token, "next_page_token"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__ListCalendarsResponse>, _ arena: Arena) {
    raw.pointee.calendars = arena.list(calendars, &raw.pointee.n_calendars)
    raw.pointee.next_page_token = arena.text(nextPageToken)
  }
}

extension DeleteCalendarRequest: Mapped, WireMessage {
  /// As `rota.v1.DeleteCalendarRequest`.
  public static var codec: WireCodec<DeleteCalendarRequest> { .mapped }

  init(raw: UnsafePointer<Rota__V1__DeleteCalendarRequest>) throws(ProtoError) {
    self.init(
      key: try Decode.calendarKey(raw.pointee.namespace_, raw.pointee.name),
      ifMatch: try Decode.optionalText(raw.pointee.if_match, "if_match"))
  }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__DeleteCalendarRequest>, _ arena: Arena) {
    raw.pointee.namespace_ = arena.text(key.namespace)
    raw.pointee.name = arena.text(key.name)
    raw.pointee.if_match = arena.text(ifMatch)
  }
}

extension DeleteCalendarResponse: Mapped, WireMessage {
  /// As `rota.v1.DeleteCalendarResponse`.
  public static var codec: WireCodec<DeleteCalendarResponse> { .mapped }

  init(raw: UnsafePointer<Rota__V1__DeleteCalendarResponse>) throws(ProtoError) { self.init() }

  func fill(_ raw: UnsafeMutablePointer<Rota__V1__DeleteCalendarResponse>, _ arena: Arena) {}
}
