import CProto

// As CMessages.swift: the messages of schedules, calendars, backfills, versions, and of control.

extension Rota__V1__PreviewRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__preview_request__init(message) }
}
extension Rota__V1__PreviewResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__preview_response__init(message) }
}
extension Rota__V1__Occurrence: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__occurrence__init(message) }
}
extension Rota__V1__ForecastRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__forecast_request__init(message) }
}
extension Rota__V1__ForecastResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__forecast_response__init(message) }
}
extension Rota__V1__CalendarSpec: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__calendar_spec__init(message) }
}
extension Rota__V1__CalendarRange: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__calendar_range__init(message) }
}
extension Rota__V1__Calendar: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__calendar__init(message) }
}
extension Rota__V1__PutCalendarRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__put_calendar_request__init(message)
  }
}
extension Rota__V1__GetCalendarRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__get_calendar_request__init(message)
  }
}
extension Rota__V1__ListCalendarsRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__list_calendars_request__init(message)
  }
}
extension Rota__V1__ListCalendarsResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__list_calendars_response__init(message)
  }
}
extension Rota__V1__DeleteCalendarRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__delete_calendar_request__init(message)
  }
}
extension Rota__V1__DeleteCalendarResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__delete_calendar_response__init(message)
  }
}
extension Rota__V1__CreateBackfillRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__create_backfill_request__init(message)
  }
}
extension Rota__V1__GetBackfillRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__get_backfill_request__init(message)
  }
}
extension Rota__V1__ListBackfillsRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__list_backfills_request__init(message)
  }
}
extension Rota__V1__ListBackfillsResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__list_backfills_response__init(message)
  }
}
extension Rota__V1__Backfill: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__backfill__init(message) }
}
extension Rota__V1__PauseJobRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__pause_job_request__init(message) }
}
extension Rota__V1__ResumeJobRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__resume_job_request__init(message)
  }
}
extension Rota__V1__TriggerJobRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__trigger_job_request__init(message)
  }
}
extension Rota__V1__SkipNextRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__skip_next_request__init(message) }
}
extension Rota__V1__UpdateJobRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__update_job_request__init(message)
  }
}
extension Rota__V1__DeleteJobRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__delete_job_request__init(message)
  }
}
extension Rota__V1__Schedule: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__schedule__init(message) }
}
extension Rota__V1__MisfirePolicy: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__misfire_policy__init(message) }
}
extension Rota__V1__Overlap: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__overlap__init(message) }
}
extension Rota__V1__ScheduleState: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__schedule_state__init(message) }
}
extension Rota__V1__JobVersion: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) { rota__v1__job_version__init(message) }
}
extension Rota__V1__ListVersionsRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__list_versions_request__init(message)
  }
}
extension Rota__V1__ListVersionsResponse: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__list_versions_response__init(message)
  }
}
extension Rota__V1__GetVersionRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__get_version_request__init(message)
  }
}
extension Rota__V1__RevertJobRequest: CMessage {
  static func initialise(_ message: UnsafeMutablePointer<Self>) {
    rota__v1__revert_job_request__init(message)
  }
}
