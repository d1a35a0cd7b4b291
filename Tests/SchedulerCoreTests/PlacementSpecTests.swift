import JSON
import Testing

@testable import SchedulerCore

@Suite struct LabelPatternTests {
  @Test(arguments: [
    ("web", "web", true), ("web", "web1", false), ("web", "aweb", false), ("web.*", "web-17", true),
    ("web-[0-9]+", "web-17", true), ("web-[0-9]+", "web-", false), ("[^a-c]x?", "dx", true),
    ("[^a-c]x?", "a", false), ("(a|bc)*d", "abcad", true), ("(a|bc)*d", "abd", false),
    ("a{2,3}", "aaa", true),
    ("a{2,3}", "a", false), ("a{2,3}", "aaaa", false), ("a{2}", "aa", true), ("a{2,}b", "aaaaab", true),
    ("a{2,}b", "ab", false), ("a{0}b", "b", true), ("a{0,1}b", "ab", true), (#"\d+\.\d+"#, "12.5", true),
    (#"\d+\.\d+"#, "12x5", false), (#"\w+"#, "a_9", true), (#"\W"#, "-", true), (#"\s"#, " ", true),
    (#"a\|b"#, "a|b", true), ("(?:ab)+", "abab", true), ("a||b", "", true), (".", "語", true),
    ("[é-ü]", "ö", true),
    ("(a*)*", "aaab", false), ("(a*)*b", "aaab", true), ("[]x]", "]", true), ("[a-]", "-", true),
    ("()a", "a", true),
  ])
  func matches(pattern: String, text: String, does: Bool) throws {
    #expect(try LabelPattern(pattern).matches(text) == does)
  }

  @Test(arguments: [
    "", "(", ")", "a)", "(a", "[a", "*", "a**", "+a", "a{", "a{x}", "a{3,2}", "a{65}", "a{1,65}", "^a", "a$",
    #"\"#,
    #"\b"#, #"\1"#, "[z-a]", "(?=a)", "(?P<n>a)", #"[\D]"#, String(repeating: "a", count: 129),
    String(repeating: "(", count: 17) + String(repeating: ")", count: 17), "((a{64}){64}){64}", "(.{64}){5}",
  ])
  func refuses(pattern: String) {
    #expect(throws: TextError.self) { try LabelPattern(pattern) }
  }

  /// Repetitions of nothing would be free to write and dear to read.
  @Test func repetitionsOfNothingCostNothing() throws {
    var pattern = ""
    for _ in 0..<15 { pattern = "(\(pattern)){64}" }
    #expect(try LabelPattern(pattern).matches(""))
    #expect(try LabelPattern("(((a{0}){64}){64}){64}").matches(""))
  }

  /// The patterns that stop engines which try one way after another.
  @Test func noPatternIsSlow() throws {
    let text = String(repeating: "a", count: 256)
    for pattern in ["(a+)+b", "(a|aa)+b", "(a|a)*b", "(.*)*b", "(a?){64}a{64}b", "(.*a){12}b"] {
      let pattern = try LabelPattern(pattern)
      let took = ContinuousClock().measure { #expect(!pattern.matches(text)) }
      // The others take the age of the world.
      #expect(took < .seconds(5))
    }
  }
}

@Suite struct PlacementSpecTests {
  private func parse(_ members: String) throws(FieldError) -> JobSpec {
    let request = try SubmitRequest(parsingJSON: Array("{\"exec\":[\"a\"],\(members)}".utf8))
    try request.validate(zones: .utcOnly)
    return request.spec
  }

  private func failure(_ members: String) -> String {
    do throws(FieldError) {
      _ = try parse(members)
      return "accepted"
    } catch {
      return error.description
    }
  }

  @Test(arguments: [
    ("cores>4", true), ("cores > 8", false), ("cores<10", true), ("cores<8", false), ("version>1", false),
    ("version<9", false), ("nothing>0", false), ("nothing<9", false), ("zone regex eu-.*", true),
    ("zone regex eu", false), ("nothing regex .*", false), ("zone regex (eu|us)-[a-z]+(-[0-9])?", true),
    ("cores>1e0", true), ("cores>-5.5", true),
  ])
  func operators(text: String, holds: Bool) throws {
    let labels = ["cores": "8", "version": "1.2.3", "zone": "eu-west-1"]
    let constraint = try Constraint(text: text)
    try constraint.validate()
    #expect(constraint.isMet(by: labels) == holds)
    #expect(try Constraint(text: constraint.text) == constraint)
  }

  @Test(arguments: ["a>=4", "a<=4", "a regex", "regex a", "a > 4 > 5"])
  func textsThatAreNoConstraints(text: String) {
    let isRefused =
      (try? Constraint(text: text)).map { constraint in (try? constraint.validate()) == nil } ?? true
    #expect(isRefused)
  }

  @Test func allOfItComesBack() throws {
    let spec = try parse(
      #"""
      "resources":{"cpus":0.5,"memory_bytes":"4GiB","custom":{"gpu":2,"licence":0.25}},
      "constraints":["cores>4",{"label":"host","operator":"regex","values":["web-[0-9]+"]}],
      "params":{"customer":"c1"},
      "placement":{"strategy":"consistent_hash","hash_key":"c-{{params.customer}}",
        "affinity":[{"label":"disk","operator":"=","values":["ssd"],"weight":50},"exists gpu:-100"],
        "spread":{"label":"zone","weight":80},"anti_affinity":"preferred","agent":"a1"}
      """#)
    #expect(
      spec.resources == Resources(cpus: 0.5, memoryBytes: 4 << 30, custom: ["gpu": 2, "licence": 0.25]))
    #expect(spec.resources.text == "cpus=0.5,memory=4GiB,gpu=2,licence=0.25")
    #expect(spec.placement.affinity.map(\.weight) == [50, -100])
    #expect(spec.placement.spread == Placement.Spread(label: "zone", weight: 80))
    var json = JSONWriter(reserving: 64)
    json.object { spec.writeJSON(to: &$0) }
    #expect(try JobSpec(parsingJSON: json.bytes) == spec)
    #expect(try parse(#""placement":{"spread":"zone"}"#).placement.spread?.weight == 50)
    #expect(try parse(#""placement":{},"resources":{}"#).placement.isDefault)
  }

  @Test(arguments: [
    (#""resources":{"cpus":-1}"#, "spec.resources.cpus: a number from 0.001 to 4096"),
    (#""resources":{"cpu":1}"#, "spec.resources.cpu: is not known; did you mean 'cpus'?"),
    (#""resources":{"memory_bytes":"4 apples"}"#, "spec.resources.memory_bytes: the units are"),
    (#""resources":{"memory_bytes":-1}"#, "spec.resources.memory_bytes: from 1 byte"),
    (#""resources":{"custom":{"GPU":1}}"#, "spec.resources.custom.GPU: the name of a resource has"),
    (#""resources":{"custom":{"gpu":0}}"#, "spec.resources.custom.gpu: a number from 0.001 to 1000000000"),
    (#""resources":{"custom":{"memory":1}}"#, "spec.resources.custom.memory: has a member of its own"),
    (#""resources":{"custom":{"gpu":1,"gpu":2}}"#, "spec.resources.custom.gpu: is given twice"),
    (#""constraints":["cores>many"]"#, "spec.constraints[0].values[0]: a number was expected"),
    (
      #""constraints":["zone regex a("]"#, "spec.constraints[0].values[0]: the regular expression is wrong at"
    ),
    (#""placement":{"strategy":"first"}"#, "spec.placement.strategy: one of 'least_loaded', 'bin_pack'"),
    (#""placement":{"hash_key":"a"}"#, "spec.placement.hash_key: goes with strategy: consistent_hash"),
    (
      #""placement":{"strategy":"consistent_hash","hash_key":"{{params.x}}"}"#,
      "spec.placement.hash_key: character 1:"
    ),
    (#""placement":{"affinity":["a=b"]}"#, "spec.placement.affinity[0]: a condition and its weight"),
    (#""placement":{"affinity":["a=b:0"]}"#, "spec.placement.affinity[0].weight: a number from -100 to 100"),
    (
      #""placement":{"affinity":["a=b:101"]}"#, "spec.placement.affinity[0].weight: a number from -100 to 100"
    ),
    (
      #""placement":{"affinity":[{"label":"a","operator":"exists"}]}"#,
      "spec.placement.affinity[0].weight: is required"
    ),
    (#""placement":{"spread":"a b"}"#, "spec.placement.spread.label: letters, digits"),
    (#""placement":{"spread":"a:0"}"#, "spec.placement.spread.weight: a number from 1 to 100"),
    (#""placement":{"anti_affinity":"never"}"#, "spec.placement.anti_affinity: 'preferred' or 'required'"),
    (#""placement":{"agent":"../a"}"#, "spec.placement.agent: the id of an agent has"),
  ])
  func whatIsWrongIsNamed(members: String, message: String) {
    let failure = failure(members)
    // Requests say the field as REST spells it.
    #expect(failure.hasPrefix(message) || failure.hasPrefix(message.dropFirst("spec.".count)), "\(failure)")
  }

  @Test func agentsSayWhatTheyHave() throws {
    var record = AgentRecord(
      agentID: "a", host: "h", labels: ["zone": "eu"], slots: 1, version: "1",
      startedAt: Timestamp(milliseconds: 0))
    record.resources = Resources(cpus: 7.5, memoryBytes: 1 << 34, custom: ["gpu": 2])
    #expect(try AgentRecord(decoding: record.encoded(), key: "a") == record)
    #expect(AgentTraits(record).labels == ["zone": "eu", "agent_id": "a", "host": "h"])
    let odd =
      #"{"slots":1,"started_at":"2026-11-22T21:56:09Z","resources":{"cpus":-3,"memory_bytes":-1,"#
      + #""custom":{"../x":1,"gpu":1e300},"new":[1]}}"#
    let read = try AgentRecord(decoding: Array(odd.utf8), key: "a").resources
    #expect(read == Resources(custom: ["gpu": 1_000_000_000]))
  }

  @Test func attemptsSayWhatTheyWerePromised() throws {
    let key = RunKey(job: JobKey(namespace: "n", jobID: "j"), runID: "r")
    let time = Timestamp(milliseconds: 5)
    var run = RunRecord(key: key, scheduledTime: time, createdAt: time)
    let agent = Incarnation(agentID: "a", createRevision: 1)
    run.assign(to: agent, at: time, resources: Resources(cpus: 2, custom: ["gpu": 1]))
    #expect(try RunRecord(decoding: run.encoded(), key: key) == run)
    #expect(run.promised == Resources(cpus: 2, custom: ["gpu": 1]))
  }
}
