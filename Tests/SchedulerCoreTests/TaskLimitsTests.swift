import JSON
import SchedulerCore
import Testing

@Suite struct ByteTextTests {
  @Test(arguments: [
    ("0", 0), ("4096", 4_096), ("4096B", 4_096), ("1KiB", 1_024), ("512MiB", 536_870_912),
    ("512Mi", 536_870_912),
    ("1.5GiB", 1_610_612_736), ("2TiB", 2_199_023_255_552), ("1kB", 1_000), ("1KB", 1_000),
    ("100MB", 100_000_000),
    ("0.5GB", 500_000_000), ("3 TB", 3_000_000_000_000), ("0.25KiB", 256),
  ])
  func reads(text: String, bytes: Int) throws {
    #expect(try ByteText.parse(text) == Int64(bytes))
  }

  @Test(arguments: [
    "", "MiB", "-1", "1.", ".5", "1.2.3", "1M", "1m", "1G", "1mib", "1MiBs", "1 M iB", "0x10", "1e3", "٣",
    "1.5", "0.1KiB", "1000000000000000000000", "99999999TiB", "12345678901234567.89KiB",
  ])
  func refuses(text: String) {
    #expect(throws: TextError.self) { try ByteText.parse(text) }
  }

  @Test(arguments: [
    (0, "0"), (1_023, "1023"), (1_024, "1KiB"), (536_870_912, "512MiB"), (1_610_612_736, "1536MiB"),
    (1 << 50, "1024TiB"),
  ])
  func writes(bytes: Int, text: String) throws {
    #expect(ByteText.format(Int64(bytes)) == text)
    #expect(try ByteText.parse(text) == Int64(bytes))
  }
}

@Suite struct TaskLimitsTests {
  private func parse(_ members: String, task: String = #""exec":["a"]"#) throws(FieldError) -> JobSpec {
    let request = try SubmitRequest(parsingJSON: Array("{\(task),\(members)}".utf8))
    try request.validate(zones: .utcOnly)
    return request.spec
  }

  private func failure(_ members: String, task: String = #""exec":["a"]"#) -> String {
    do throws(FieldError) {
      _ = try parse(members, task: task)
      return "accepted"
    } catch {
      return error.description
    }
  }

  @Test func areReadAndComeBack() throws {
    let spec = try parse(#""limits":{"memory_bytes":"512MiB","pids":100,"cpus":0.5},"run_as":"app:www-data""#)
    #expect(spec.limits == TaskLimits(memoryBytes: 536_870_912, pids: 100, cpus: 0.5))
    #expect(spec.runAs == "app:www-data")
    var json = JSONWriter(reserving: 64)
    json.object { spec.writeJSON(to: &$0) }
    #expect(
      json.text.contains(
        #""limits":{"memory_bytes":536870912,"pids":100,"cpus":0.5},"run_as":"app:www-data""#))
    #expect(try JobSpec(parsingJSON: json.bytes) == spec)
    #expect(try parse(#""limits":{"memory_bytes":67108864}"#).limits == TaskLimits(memoryBytes: 67_108_864))
    // A record of before there were limits.
    #expect(try parse(#""limits":{}"#) == JobSpec(task: .exec(argv: ["a"])))
    #expect(try parse(#""limits":null,"run_as":null"#) == JobSpec(task: .exec(argv: ["a"])))
  }

  @Test(arguments: [
    (#""limits":{"memory_bytes":"64"}"#, "limits.memory_bytes: from 1MiB to 1024TiB"),
    (#""limits":{"memory_bytes":"1M"}"#, "limits.memory_bytes: the units are"),
    (#""limits":{"memory_bytes":-5}"#, "limits.memory_bytes: from 1MiB"),
    (#""limits":{"pids":0}"#, "limits.pids: a number from 1 to 4194304"),
    (#""limits":{"pids":1.5}"#, "limits.pids"),
    (#""limits":{"cpus":0}"#, "limits.cpus: a number from 0.01"),
    (#""limits":{"cpus":-1}"#, "limits.cpus: a number from 0.01"),
    (#""limits":{"cpus":"half"}"#, "limits.cpus"),
    (#""limits":{"ram":1}"#, "limits.ram: is not known"),
    (#""limits":"512MiB""#, "limits"),
    (#""run_as":"""#, "run_as: a user, or user:group"),
    (#""run_as":"a:b:c""#, "run_as: a user, or user:group"),
    (#""run_as":"a:""#, "run_as: a user, or user:group"),
    (#""run_as":"-u root""#, "run_as: a user, or user:group"),
    (#""run_as":"../x""#, "run_as: a user, or user:group"),
    (#""run_as":"a\u0000""#, "run_as: a user, or user:group"),
    (#""run_as":5"#, "run_as"),
  ])
  func aBadOneIsNamed(members: String, message: String) {
    let said = failure(members)
    #expect(said.hasPrefix(message), "\(said)")
  }

  /// Nothing but a process can be held to them; ignoring them would be worse than saying so.
  @Test(arguments: [#""noop":true"#, #""http":"http://x/""#, #""task":"resize""#])
  func areForProcesses(task: String) {
    #expect(
      failure(#""limits":{"pids":5}"#, task: task)
        == "limits: is for exec and shell, which are processes of an agent")
    #expect(
      failure(#""run_as":"app""#, task: task)
        == "run_as: is for exec and shell, which are processes of an agent")
    #expect(failure(#""limits":{}"#, task: task) == "accepted")
  }

  @Test func notANumberIsNoLimit() {
    var spec = JobSpec(task: .exec(argv: ["a"]))
    for cpus in [Double.nan, .infinity, -.infinity] {
      spec.limits.cpus = cpus
      #expect(throws: FieldError.self) { try spec.validate(zones: nil) }
    }
  }

  @Test func anAgentsDefaultsFillWhatIsNotSaid() {
    let defaults = TaskLimits(memoryBytes: 1, pids: 2)
    #expect(TaskLimits(pids: 3).filled(from: defaults) == TaskLimits(memoryBytes: 1, pids: 3))
    #expect(TaskLimits().filled(from: TaskLimits()).isEmpty)
  }
}
