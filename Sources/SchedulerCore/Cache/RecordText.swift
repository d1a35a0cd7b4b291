/// Makes the JSON text of a job's record about half as long, to keep a million of them in memory.
///
/// Phrases that most records have become one byte each, times become five or eight, and what names the job
/// is left out where it stands as `JobRecord.encoded()` writes it. It knows no member's meaning: a member without
/// a phrase is only longer, and any bytes at all, JSON or not, come back as they were. Nothing outside of one
/// process ever sees the packed form, so phrases can be changed at will.
enum RecordText {
  /// What bytes stand for something else in packed text: those that JSON text does not have.
  private enum Code {
    /// The byte that follows stands for itself.
    static let literal: UInt8 = 0x00
    /// How a record begins, up to the quote after `uid`.
    static let head: UInt8 = 0x01
    /// A quoted time in UTC of whole seconds, in five bytes.
    static let seconds: UInt8 = 0x02
    /// A quoted time in UTC with a fraction, in eight bytes.
    static let fraction: UInt8 = 0x03
    /// Control characters are always escaped in JSON; the others never occur in UTF-8.
    static let phrases: [UInt8] = Array(0x04...0x1F) + [0xC0, 0xC1] + Array(0xF5...0xFF)
  }

  /// All begin with a quote.
  private static let phrases: [StaticString] = [
    "\"spec\":{", "\"user_id\":\"", "\"exec\":[\"", "\"shell\":{\"script\":\"", "\"http\":{\"method\":\"",
    "\"url\":\"http", "\"headers\":{", "\"noop\":true", "\"task\":{\"name\":\"", "\"payload\":", "\"env\":{",
    "\"timeout\":\"", "\"max_retries\":", "\"backoff\":{", "\"priority\":", "\"constraints\":[{\"label\":\"",
    "\"operator\":\"", "\"values\":[\"", "\"execution_time\":", "\"on_agent_loss\":\"", "\"created_at\":",
    "\"next_run_time\":", "\"last_run_time\":", "\"cancel_requested_at\":", "\"cancel_reason\":\"",
    "\"schedules\":[{", "\"cron\":\"", "\"time_zone\":\"", "\"start_time\":", "\"end_time\":",
    "\"generation\":", "\"misfire\":{\"policy\":\"", "\"overlap\":{\"policy\":\"", "\"every\":\"",
    "\"fixed_delay\":\"", "\"frequency\":\"", "\"jitter\":\"", "\"calendars\":[\"",
    "\"schedule_states\":[{\"decided_through\":", "\"paused_at\":", "\"pause_note\":\"",
  ]

  private static let tables = Tables()

  /// How many bytes a text becomes at most, beside those that its job is named by.
  static func capacity(_ count: Int) -> Int { 2 * count }

  // MARK: Packing

  /// Packs a text into `output`, which has room for `capacity` bytes. Returns how many they are.
  static func pack(
    _ text: UnsafeBufferPointer<UInt8>, of key: JobKey, into output: UnsafeMutableBufferPointer<UInt8>
  ) -> Int {
    let tables = tables
    var read = 0
    var write = 0
    if let length = lengthOfHead(text, key) {
      output[0] = Code.head
      read = length
      write = 1
    }
    while read < text.count {
      let byte = text[read]
      if byte == UInt8(ascii: "\"") {
        if let time = QuotedTime(text, at: read) {
          write += time.write(to: output, at: write)
          read += time.length
          continue
        }
        if let phrase = tables.phrase(in: text, at: read) {
          output[write] = phrase.code
          write += 1
          read += phrase.text.count
          continue
        }
      }
      if tables.isCode[Int(byte)] {
        output[write] = Code.literal
        write += 1
      }
      output[write] = byte
      write += 1
      read += 1
    }
    return write
  }

  /// The length of what is left out, where the text begins with it.
  private static func lengthOfHead(_ text: UnsafeBufferPointer<UInt8>, _ key: JobKey) -> Int? {
    var position = 0
    func take(_ bytes: some Sequence<UInt8>) -> Bool {
      for byte in bytes {
        guard position < text.count, text[position] == byte else { return false }
        position += 1
      }
      return true
    }
    let matches =
      take(tables.head[0]) && take(key.namespace.utf8) && take(tables.head[1]) && take(key.jobID.utf8)
      && take(tables.head[2])
    return matches ? position : nil
  }

  // MARK: Unpacking

  /// The text that was packed.
  static func unpack(_ packed: ArraySlice<UInt8>, of key: JobKey) -> [UInt8] {
    let tables = tables
    var text: [UInt8] = []
    text.reserveCapacity(packed.count * 3)
    var position = packed.startIndex
    while position < packed.endIndex {
      let byte = packed[position]
      position += 1
      switch byte {
      case _ where !tables.isCode[Int(byte)]: text.append(byte)
      case Code.literal:
        text.append(packed[position])
        position += 1
      case Code.head:
        text += tables.head[0] + Array(key.namespace.utf8) + tables.head[1] + Array(key.jobID.utf8)
        text += tables.head[2]
      case Code.seconds, Code.fraction:
        let time = QuotedTime(packed: packed[position...], hasFraction: byte == Code.fraction)
        time.append(to: &text)
        position += time.packedLength
      default: text += tables.textOfCode[Int(byte)]
      }
    }
    return text
  }

  /// The phrases in the forms that packing and unpacking need.
  private struct Tables: Sendable {
    struct Phrase: Sendable {
      var text: [UInt8]
      var code: UInt8
    }

    /// What `JobRecord.encoded()` writes around the names.
    let head: [[UInt8]] = [
      Array("{\"namespace\":\"".utf8), Array("\",\"job_id\":\"".utf8), Array("\",\"uid\":\"".utf8),
    ]
    private(set) var isCode = [Bool](repeating: false, count: 256)
    private(set) var textOfCode = [[UInt8]](repeating: [], count: 256)
    /// By the byte after the quote; the longest first.
    private var byFirst = [[Phrase]](repeating: [], count: 256)

    init() {
      for code in 0...Code.fraction { isCode[Int(code)] = true }
      for (text, code) in zip(RecordText.phrases, Code.phrases) {
        let bytes = Array(text.description.utf8)
        isCode[Int(code)] = true
        textOfCode[Int(code)] = bytes
        byFirst[Int(bytes[1])].append(Phrase(text: bytes, code: code))
      }
      for index in byFirst.indices { byFirst[index].sort { $0.text.count > $1.text.count } }
    }

    func phrase(in text: UnsafeBufferPointer<UInt8>, at start: Int) -> Phrase? {
      guard start + 1 < text.count else { return nil }
      for phrase in byFirst[Int(text[start + 1])] where start + phrase.text.count <= text.count {
        if text[start..<start + phrase.text.count].elementsEqual(phrase.text) { return phrase }
      }
      return nil
    }
  }

  // MARK: Times

  /// `"2026-11-22T21:56:09Z"`, or with a fraction of one to six digits, as its digits: no calendar is asked,
  /// so that what comes back is what was there.
  private struct QuotedTime {
    /// Year, month, day, hour, minute and second.
    private var fields: [Int] = []
    private var fractionDigits = 0
    private var fractionValue = 0
    /// Characters, with the quotes.
    var length: Int { fractionDigits == 0 ? 22 : 23 + fractionDigits }
    /// Bytes after the code.
    var packedLength: Int { fractionDigits == 0 ? 5 : 8 }

    /// Bits of each field.
    private static let widths = [14, 4, 5, 5, 6, 6]
    private static let separators = Array("--T::".utf8)

    init?(_ text: UnsafeBufferPointer<UInt8>, at start: Int) {
      guard start + 22 <= text.count, text[start + 5] == Self.separators[0] else { return nil }
      var position = start + 1
      func number(_ digits: Int) -> Int? {
        var value = 0
        for _ in 0..<digits {
          let digit = Int(text[position]) - Int(UInt8(ascii: "0"))
          guard (0...9).contains(digit) else { return nil }
          value = value * 10 + digit
          position += 1
        }
        return value
      }
      fields.reserveCapacity(Self.widths.count)
      for (index, width) in Self.widths.enumerated() {
        guard let value = number(index == 0 ? 4 : 2), value < 1 << width else { return nil }
        fields.append(value)
        if index < Self.separators.count {
          guard text[position] == Self.separators[index] else { return nil }
          position += 1
        }
      }
      if text[position] == UInt8(ascii: ".") {
        position += 1
        while fractionDigits < 6, position < text.count, let digit = number(1) {
          fractionValue = fractionValue * 10 + digit
          fractionDigits += 1
        }
        guard fractionDigits > 0 else { return nil }
      }
      guard position + 1 < text.count, text[position] == UInt8(ascii: "Z"),
        text[position + 1] == UInt8(ascii: "\"")
      else { return nil }
    }

    init(packed: ArraySlice<UInt8>, hasFraction: Bool) {
      var bits: UInt64 = 0
      for byte in packed.prefix(hasFraction ? 8 : 5) { bits = bits << 8 | UInt64(byte) }
      func take(_ width: Int) -> Int {
        defer { bits >>= UInt64(width) }
        return Int(bits & (1 << UInt64(width) - 1))
      }
      if hasFraction {
        fractionDigits = take(4)
        fractionValue = take(20)
      }
      fields = Self.widths.reversed().map(take).reversed()
    }

    /// Returns how many bytes were written, the code included.
    func write(to output: UnsafeMutableBufferPointer<UInt8>, at start: Int) -> Int {
      var bits: UInt64 = 0
      for (value, width) in zip(fields, Self.widths) { bits = bits << UInt64(width) | UInt64(value) }
      if fractionDigits > 0 { bits = bits << 24 | UInt64(fractionValue) << 4 | UInt64(fractionDigits) }
      output[start] = fractionDigits > 0 ? Code.fraction : Code.seconds
      for index in 0..<packedLength {
        let shift = UInt64(8 * (packedLength - 1 - index))
        output[start + 1 + index] = UInt8(truncatingIfNeeded: bits >> shift)
      }
      return 1 + packedLength
    }

    func append(to text: inout [UInt8]) {
      func number(_ value: Int, _ digits: Int) {
        var power = 1
        for _ in 1..<digits { power *= 10 }
        for _ in 0..<digits {
          text.append(UInt8(ascii: "0") + UInt8(value / power % 10))
          power /= 10
        }
      }
      text.append(UInt8(ascii: "\""))
      for (index, value) in fields.enumerated() {
        number(value, index == 0 ? 4 : 2)
        if index < Self.separators.count { text.append(Self.separators[index]) }
      }
      if fractionDigits > 0 {
        text.append(UInt8(ascii: "."))
        number(fractionValue, fractionDigits)
      }
      text += [UInt8(ascii: "Z"), UInt8(ascii: "\"")]
    }
  }
}
