/// A regular expression that a label's value is held against, all of it, in time proportional to the pattern's
/// size times the value's length, whatever the pattern is.
///
/// It is run as a set of states that advance together (Thompson 1968), so nothing is ever tried twice: what a
/// user writes cannot stop the leader. It has characters, `.`, `[a-z]`, `[^a-z]`, `\d` `\w` `\s` and `\D` `\W`
/// `\S`, groups, `|`, and `*`, `+`, `?`, `{n}`, `{n,}`, `{n,m}`; a backslash takes any other sign as it is.
public struct LabelPattern: Sendable {
  /// What a state does.
  enum Step: Sendable {
    /// Takes one character of a set, and goes on with the next state.
    case take(CharacterSet)
    /// Goes on in two places.
    case fork(Int, Int)
    /// Goes on elsewhere.
    case jump(Int)
    /// All has been matched.
    case end
  }

  /// Some characters.
  struct CharacterSet: Sendable {
    var ranges: [ClosedRange<UInt32>]
    var isNegated = false

    func contains(_ scalar: UInt32) -> Bool { ranges.contains { $0.contains(scalar) } != isNegated }
  }

  private let steps: [Step]

  /// Reads a pattern.
  public init(_ text: String) throws(TextError) {
    guard !text.isEmpty else { throw TextError("a regular expression was expected; it is empty") }
    guard text.utf8.count <= SpecLimits.patternBytes else {
      throw TextError(
        "the regular expression has \(text.utf8.count) bytes; at most \(SpecLimits.patternBytes) are allowed")
    }
    var parser = LabelPatternParser(text)
    steps = try parser.program()
  }

  /// Whether the whole of a text matches.
  public func matches(_ text: String) -> Bool {
    var current = StateSet(count: steps.count)
    var next = StateSet(count: steps.count)
    enter(0, &current)
    for scalar in text.unicodeScalars {
      guard !current.isEmpty else { return false }
      next.removeAll()
      for state in current.states {
        if case .take(let set) = steps[state], set.contains(scalar.value) { enter(state + 1, &next) }
      }
      swap(&current, &next)
    }
    return current.states.contains { if case .end = steps[$0] { true } else { false } }
  }

  /// Adds a state, and those that are reached from it without a character.
  private func enter(_ first: Int, _ states: inout StateSet) {
    var waiting = [first]
    while let state = waiting.popLast() {
      guard states.insert(state) else { continue }
      switch steps[state] {
      case .jump(let target): waiting.append(target)
      case .fork(let one, let other): waiting += [one, other]
      case .take, .end: break
      }
    }
  }

  /// Some states, each once.
  private struct StateSet {
    private(set) var states: [Int] = []
    private var isIn: [Bool]

    init(count: Int) { isIn = Array(repeating: false, count: count) }

    var isEmpty: Bool { states.isEmpty }

    mutating func insert(_ state: Int) -> Bool {
      guard !isIn[state] else { return false }
      isIn[state] = true
      states.append(state)
      return true
    }

    mutating func removeAll() {
      for state in states { isIn[state] = false }
      states.removeAll(keepingCapacity: true)
    }
  }
}

/// Makes a pattern's states of its text.
struct LabelPatternParser {
  /// A piece of the pattern, before it becomes states.
  private indirect enum Node {
    case nothing
    case set(LabelPattern.CharacterSet)
    case sequence([Node])
    case either([Node])
    case times(Node, from: Int, to: Int?)
  }

  private let scalars: [Unicode.Scalar]
  private var position = 0
  private var depth = 0

  init(_ text: String) { scalars = Array(text.unicodeScalars) }

  mutating func program() throws(TextError) -> [LabelPattern.Step] {
    let node = try alternatives()
    guard position == scalars.count else { throw error("there is no group that this ')' could close") }
    var steps: [LabelPattern.Step] = []
    try append(node, to: &steps)
    steps.append(.end)
    return steps
  }

  private func error(_ message: String) -> TextError {
    TextError(
      "the regular expression is wrong at character \(min(position, scalars.count - 1) + 1): \(message)")
  }

  private var next: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard next == scalar else { return false }
    position += 1
    return true
  }

  // MARK: Reading

  private mutating func alternatives() throws(TextError) -> Node {
    depth += 1
    defer { depth -= 1 }
    guard depth <= SpecLimits.patternDepth else {
      throw error("groups are nested deeper than \(SpecLimits.patternDepth)")
    }
    var nodes = [try sequence()]
    while take("|") { nodes.append(try sequence()) }
    return nodes.count == 1 ? nodes[0] : .either(nodes)
  }

  private mutating func sequence() throws(TextError) -> Node {
    var nodes: [Node] = []
    while let scalar = next, scalar != "|", scalar != ")" {
      let node = try repeated()
      // Each node makes at least one state, so that their bound also bounds the work of writing repetitions out.
      if case .nothing = node { continue }
      nodes.append(node)
    }
    return nodes.isEmpty ? .nothing : .sequence(nodes)
  }

  private mutating func repeated() throws(TextError) -> Node {
    let node = try single()
    let times: Node
    if take("*") {
      times = .times(node, from: 0, to: nil)
    } else if take("+") {
      times = .times(node, from: 1, to: nil)
    } else if take("?") {
      times = .times(node, from: 0, to: 1)
    } else if take("{") {
      times = try counted(node)
    } else {
      return node
    }
    if let scalar = next, "*+?{".unicodeScalars.contains(scalar) {
      throw error("a repetition cannot be repeated; put it into a group")
    }
    if case .nothing = node { return .nothing }
    if case .times(_, from: 0, to: 0?) = times { return .nothing }
    return times
  }

  private mutating func counted(_ node: Node) throws(TextError) -> Node {
    let low = try number()
    var high: Int? = low
    if take(",") { high = next == "}" ? nil : try number() }
    guard take("}") else { throw error("'}' was expected") }
    guard low <= high ?? low else { throw error("the repetition ends before it begins") }
    return .times(node, from: low, to: high)
  }

  private mutating func number() throws(TextError) -> Int {
    var value: Int?
    while let scalar = next, ("0"..."9").contains(scalar) {
      value = (value ?? 0) * 10 + Int(scalar.value) - 48
      position += 1
      if value ?? 0 > SpecLimits.patternRepeats { break }
    }
    guard let value, value <= SpecLimits.patternRepeats else {
      throw error("a number up to \(SpecLimits.patternRepeats) was expected")
    }
    return value
  }

  private mutating func single() throws(TextError) -> Node {
    guard let scalar = next else { throw error("it ends too early") }
    position += 1
    switch scalar {
    case ".": return .set(LabelPattern.CharacterSet(ranges: [], isNegated: true))
    case "[": return .set(try bracket())
    case "\\": return .set(try escape())
    case "(":
      if take("?") {
        guard take(":") else { throw error("of groups that begin with '(?' there is only '(?:'") }
      }
      let node = try alternatives()
      guard take(")") else { throw error("a group is not closed") }
      return node
    case "*", "+", "?", "{":
      position -= 1
      throw error("there is nothing to repeat; write \\\(scalar) for the character itself")
    case "^", "$":
      position -= 1
      throw error("the whole value has to match anyway; write \\\(scalar) for the character itself")
    default: return .set(LabelPattern.CharacterSet(ranges: [scalar.value...scalar.value]))
    }
  }

  private mutating func bracket() throws(TextError) -> LabelPattern.CharacterSet {
    var set = LabelPattern.CharacterSet(ranges: [], isNegated: take("^"))
    repeat {
      guard let low = next else { throw error("']' was expected") }
      position += 1
      if low == "\\" {
        let escaped = try escape()
        guard !escaped.isNegated else { throw error("\\D, \\W and \\S cannot be within brackets") }
        set.ranges += escaped.ranges
      } else if next == "-", position + 1 < scalars.count, scalars[position + 1] != "]" {
        let high = scalars[position + 1]
        guard high != "\\", low <= high else { throw error("the range ends before it begins") }
        position += 2
        set.ranges.append(low.value...high.value)
      } else {
        set.ranges.append(low.value...low.value)
      }
    } while !take("]")
    return set
  }

  /// What is behind a backslash.
  private mutating func escape() throws(TextError) -> LabelPattern.CharacterSet {
    guard let scalar = next else { throw error("a backslash needs a character behind it") }
    position += 1
    func range(_ low: Unicode.Scalar, _ high: Unicode.Scalar) -> ClosedRange<UInt32> {
      low.value...high.value
    }
    let digits = [range("0", "9")]
    let words = digits + [range("a", "z"), range("A", "Z"), range("_", "_")]
    let spaces = [range(" ", " "), range("\t", "\r")]
    switch scalar {
    case "d": return LabelPattern.CharacterSet(ranges: digits)
    case "D": return LabelPattern.CharacterSet(ranges: digits, isNegated: true)
    case "w": return LabelPattern.CharacterSet(ranges: words)
    case "W": return LabelPattern.CharacterSet(ranges: words, isNegated: true)
    case "s": return LabelPattern.CharacterSet(ranges: spaces)
    case "S": return LabelPattern.CharacterSet(ranges: spaces, isNegated: true)
    case "a"..."z", "A"..."Z", "0"..."9":
      position -= 1
      throw error("there is no '\\\(scalar)'")
    default: return LabelPattern.CharacterSet(ranges: [scalar.value...scalar.value])
    }
  }

  // MARK: Making states

  private func append(_ node: Node, to steps: inout [LabelPattern.Step]) throws(TextError) {
    guard steps.count < SpecLimits.patternSteps else {
      throw TextError(
        "the regular expression has more than \(SpecLimits.patternSteps) steps, its repetitions written out")
    }
    switch node {
    case .nothing: break
    case .set(let set): steps.append(.take(set))
    case .sequence(let nodes): for node in nodes { try append(node, to: &steps) }
    case .either(let nodes): try append(either: nodes, to: &steps)
    case .times(let node, let low, let high): try append(node, from: low, to: high, to: &steps)
    }
  }

  private func append(either nodes: [Node], to steps: inout [LabelPattern.Step]) throws(TextError) {
    var ends: [Int] = []
    for (index, node) in nodes.enumerated() {
      guard index < nodes.count - 1 else {
        try append(node, to: &steps)
        break
      }
      let fork = steps.count
      steps.append(.fork(fork + 1, fork + 1))
      try append(node, to: &steps)
      ends.append(steps.count)
      steps.append(.jump(0))
      steps[fork] = .fork(fork + 1, steps.count)
    }
    for end in ends { steps[end] = .jump(steps.count) }
  }

  private func append(
    _ node: Node, from low: Int, to high: Int?, to steps: inout [LabelPattern.Step]
  ) throws(TextError) {
    for _ in 0..<low { try append(node, to: &steps) }
    guard let high else {
      let fork = steps.count
      steps.append(.fork(fork + 1, fork + 1))
      try append(node, to: &steps)
      steps.append(.jump(fork))
      steps[fork] = .fork(fork + 1, steps.count)
      return
    }
    var forks: [Int] = []
    for _ in low..<max(low, high) {
      forks.append(steps.count)
      steps.append(.jump(0))
      try append(node, to: &steps)
    }
    for fork in forks { steps[fork] = .fork(fork + 1, steps.count) }
  }
}
