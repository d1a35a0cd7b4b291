import ArgumentParser

/// `rota version`
struct VersionCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")

  func run() { Terminal.print("rota \(Version.text)") }
}

/// `rota completions`
struct CompletionsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "completions", abstract: "Print a completion script for a shell.",
    discussion: "For bash: rota completions bash > /etc/bash_completion.d/rota")

  @Argument(help: "bash, zsh or fish.") var shell: ShellArgument

  func run() { Terminal.print(Rota.completionScript(for: shell.shell)) }
}

/// A shell that completion scripts can be made for.
enum ShellArgument: String, ExpressibleByArgument, CaseIterable {
  case bash, zsh, fish

  var shell: CompletionShell {
    switch self {
    case .bash: .bash
    case .zsh: .zsh
    case .fish: .fish
    }
  }
}
