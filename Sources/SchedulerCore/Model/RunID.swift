/// The id of the run of a job that is due at `scheduledTime`, such as `20261122t215609.123z`: UTC, always
/// with three digits of milliseconds, rounded down, so that ids sort as their times do. It depends on
/// nothing else, so the same occurrence has the same id whoever creates it. Times before 1970 or
/// after 9999 are taken as the nearest inside.
public func runID(for scheduledTime: Timestamp) -> String {
  let time = CivilTime(min(max(scheduledTime, .earliest), .lastWritable))
  return String(unsafeUninitializedCapacity: 20) { buffer in
    var text = DigitWriter(buffer)
    text.number(time.year, width: 4)
    text.number(time.month, width: 2)
    text.number(time.day, width: 2)
    text.byte(UInt8(ascii: "t"))
    text.number(time.hour, width: 2)
    text.number(time.minute, width: 2)
    text.number(time.second, width: 2)
    text.byte(UInt8(ascii: "."))
    text.number(time.microsecond / 1_000, width: 3)
    text.byte(UInt8(ascii: "z"))
    return text.count
  }
}
