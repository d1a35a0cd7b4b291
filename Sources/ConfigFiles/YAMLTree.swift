import JSON
import SchedulerCore
import Yams

/// A YAML document as the JSON that it stands for, with the place of each value.
struct YAMLTree: Sendable {
  indirect enum Content: Sendable {
    case null
    case bool(Bool)
    /// As JSON writes it.
    case number(String)
    case text(String)
    case list([YAMLTree])
    case object([Member])
  }

  struct Member: Sendable {
    var name: String
    var place: ConfigPlace
    var value: YAMLTree
  }

  var content: Content
  var place: ConfigPlace

  /// The documents of a text; empty ones are left out.
  static func documents(of text: String, file: String) throws(ConfigError) -> [YAMLTree] {
    var builder = YAMLBuilder(file: file)
    do {
      // Without rules, so that keys are texts whatever they look like; `YAMLScalar` says what values are.
      let parser = try Parser(yaml: text, resolver: .basic, encoding: .utf8)
      var documents: [YAMLTree] = []
      while let node = try parser.nextRoot() {
        let tree = try builder.tree(of: node)
        if case .null = tree.content { continue }
        documents.append(tree)
      }
      return documents
    } catch let error as YamlError {
      throw ConfigError(error, file: file)
    } catch let error as ConfigError {
      throw error
    } catch {
      throw ConfigError(ConfigPlace(file: file), "cannot be read: \(error)")
    }
  }

  /// The value of a member; nil where this is no object, or has none of that name.
  subscript(name: String) -> YAMLTree? {
    guard case .object(let members) = content else { return nil }
    return members.first { $0.name == name }?.value
  }

  /// Writes the value as JSON.
  func write(to json: inout JSONWriter) {
    switch content {
    case .null: json.null()
    case .bool(let value): json.bool(value)
    case .number(let text): json.raw(text.utf8)
    case .text(let text): json.string(text)
    case .list(let elements): json.array { json in for element in elements { element.write(to: &json) } }
    case .object(let members):
      json.object { json in
        for member in members {
          json.key(member.name)
          member.value.write(to: &json)
        }
      }
    }
  }

  /// Where the field of an error is: paths are those of `FieldError`. The place of what contains it where it is not in
  /// the document itself.
  func place(of field: String) -> ConfigPlace { search(field).place }

  /// Whether the value of a field would be taken for a text if it were in quotes.
  func wantsQuotes(_ field: String) -> Bool {
    let (found, _) = search(field)
    switch found?.content {
    case .bool, .number: return true
    default: return false
    }
  }

  /// The value at the path, if it is there, and the place of its name, or of the nearest that contains it.
  private func search(_ field: String) -> (value: YAMLTree?, place: ConfigPlace) {
    var place = place
    var tree = self
    var rest = field[...]
    while !rest.isEmpty {
      switch tree.content {
      case .object(let members):
        if rest.first == "." { rest = rest.dropFirst() }
        // The longest name that fits: names may have dots in them.
        let fitting = members.filter { Self.begins(rest, with: FieldError.shown($0.name)) }
        guard let member = fitting.max(by: { $0.name.count < $1.name.count }) else { return (nil, place) }
        rest = rest.dropFirst(FieldError.shown(member.name).count)
        (tree, place) = (member.value, member.place)
      case .list(let elements):
        let digits = rest.dropFirst().prefix { $0 != "]" }
        guard rest.first == "[", let index = Int(digits), elements.indices.contains(index) else {
          return (nil, place)
        }
        rest = rest.dropFirst(digits.count + 2)
        (tree, place) = (elements[index], elements[index].place)
      default: return (nil, place)
      }
    }
    return (tree, place)
  }

  private static func begins(_ path: Substring, with name: String) -> Bool {
    guard path.hasPrefix(name) else { return false }
    let next = path.dropFirst(name.count).first
    return next == nil || next == "." || next == "["
  }
}

/// Makes trees of what the YAML library has read.
private struct YAMLBuilder {
  let file: String
  /// How many values there are so far.
  private var count = 0

  init(file: String) { self.file = file }

  mutating func tree(of node: Node) throws(ConfigError) -> YAMLTree {
    let place = place(of: node)
    count += 1
    guard count <= ConfigLimits.values else {
      throw ConfigError(
        place, "the file has more than \(ConfigLimits.values) values, those of its aliases counted each time")
    }
    switch node {
    case .scalar(let scalar): return YAMLTree(content: try content(of: scalar, place), place: place)
    case .sequence(let sequence):
      try check(sequence.tag, is: .seq, place)
      var elements: [YAMLTree] = []
      for element in sequence { elements.append(try tree(of: element)) }
      return YAMLTree(content: .list(elements), place: place)
    case .mapping(let mapping):
      try check(mapping.tag, is: .map, place)
      return YAMLTree(content: .object(try members(of: mapping)), place: place)
    case .alias: throw ConfigError(place, "this alias cannot be followed")
    }
  }

  private func place(of node: Node) -> ConfigPlace {
    ConfigPlace(file: file, line: node.mark?.line ?? 0, column: node.mark?.column ?? 0)
  }

  private func check(_ tag: Tag, is name: Tag.Name, _ place: ConfigPlace) throws(ConfigError) {
    guard tag == .implicit || tag == Tag(name) else {
      throw ConfigError(place, "the tag '\(FieldError.shown(tag.rawValue))' means nothing here; leave it out")
    }
  }

  private func content(of scalar: Node.Scalar, _ place: ConfigPlace) throws(ConfigError) -> YAMLTree.Content {
    guard scalar.style == .plain, scalar.tag == .implicit else {
      try check(scalar.tag, is: .str, place)
      return .text(scalar.string)
    }
    switch YAMLScalar(plain: scalar.string) {
    case .null: return .null
    case .bool(let value): return .bool(value)
    case .number(let json): return .number(json)
    case .text(let text): return .text(text)
    case .notJSON: throw ConfigError(place, "a finite number was expected; a text has to be in quotes")
    }
  }

  /// The members of a mapping; what `<<` merges into it comes after its own, which win.
  private mutating func members(of mapping: Node.Mapping) throws(ConfigError) -> [YAMLTree.Member] {
    var members: [YAMLTree.Member] = []
    var merged: [YAMLTree.Member] = []
    var names = Set<String>()
    for (key, value) in mapping {
      guard case .scalar(let scalar) = key else {
        throw ConfigError(place(of: key), "the name of a field was expected")
      }
      if scalar.string == "<<" && scalar.style == .plain {
        merged += try self.merged(value)
        continue
      }
      guard names.insert(scalar.string).inserted else {
        throw ConfigError(place(of: key), "'\(FieldError.shown(scalar.string))' is given twice")
      }
      members.append(.init(name: scalar.string, place: place(of: key), value: try tree(of: value)))
    }
    for member in merged where names.insert(member.name).inserted { members.append(member) }
    return members
  }

  private mutating func merged(_ node: Node) throws(ConfigError) -> [YAMLTree.Member] {
    let tree = try tree(of: node)
    switch tree.content {
    case .object(let members): return members
    case .list(let elements):
      var members: [YAMLTree.Member] = []
      for element in elements {
        guard case .object(let more) = element.content else {
          throw ConfigError(element.place, "'<<' merges mappings alone")
        }
        members += more
      }
      return members
    default: throw ConfigError(tree.place, "'<<' merges a mapping, or a list of them")
    }
  }
}

extension ConfigError {
  /// What the YAML library found wrong, in one line: its own words show pieces of the file.
  fileprivate init(_ error: YamlError, file: String) {
    func place(_ mark: Mark) -> ConfigPlace { ConfigPlace(file: file, line: mark.line, column: mark.column) }
    switch error {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
      .composer(_, let problem, let mark, _):
      self.init(place(mark), "is not YAML: \(problem)")
    case .duplicatedKeysInMapping(let names, let context):
      let name = names.first.map(FieldError.shown) ?? ""
      self.init(place(context.mark), "'\(name)' is given twice")
    case .reader(let problem, _, _, _): self.init(ConfigPlace(file: file), "is not YAML: \(problem)")
    case .memory: self.init(ConfigPlace(file: file), "there is not enough memory to read it")
    default: self.init(ConfigPlace(file: file), "is not YAML")
    }
  }
}
