import CCurl
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The part of the engine that any thread may touch: the inbox, and waking the loop.
///
/// `@unchecked Sendable`: `multi` is the only member that is not Sendable. It is immutable, and threads other than
/// the loop's use it for `curl_multi_wakeup` alone, which libcurl documents as thread-safe, under the inbox's lock
/// and only before the loop has marked itself stopped, which it does before it destroys the handle.
final class EngineCore: @unchecked Sendable {
  enum Command: Sendable {
    case start(Transfer)
    case cancel(Transfer)
    case resume(Transfer)
  }

  private enum Life { case running, stopping, stopped }

  private struct Inbox {
    var commands: [Command] = []
    var life = Life.running
    var stopWaiters: [UnsafeContinuation<Void, Never>] = []
  }

  let configuration: CurlEngine.Configuration
  private let multi: UnsafeMutableRawPointer
  private let inbox = Mutex(Inbox())
  /// Requests that were submitted and have not begun.
  private let waiting = Atomic<Int>(0)
  private let streams = Atomic<Int>(0)

  init(configuration: CurlEngine.Configuration) throws(CurlError) {
    self.configuration = configuration
    guard libraryReady, let multi = curl_multi_init() else {
      throw CurlError(code: .other, message: "libcurl could not be initialised", certainty: .notSent)
    }
    self.multi = multi
  }

  /// Starts the thread, which holds the core until it has ended.
  func start() throws(CurlError) {
    let loop = EngineLoop(core: self, multi: multi)
    let argument = Unmanaged.passRetained(loop)
    #if canImport(Darwin)
      var thread: pthread_t?
    #else
      var thread = pthread_t()
    #endif
    let code = pthread_create(&thread, nil, engineThreadMain, argument.toOpaque())
    guard code == 0 else {
      argument.release()
      curl_multi_cleanup(multi)
      throw CurlError(
        code: .other, message: "the HTTP engine's thread could not be started: error \(code)",
        certainty: .notSent)
    }
    #if canImport(Darwin)
      if let thread { pthread_detach(thread) }
    #else
      pthread_detach(thread)
    #endif
  }

  // MARK: Any thread

  /// Admits a transfer or fails it at once.
  func submit(_ transfer: Transfer) {
    if let refusal = admit(transfer) {
      transfer.deliver(.failure(refusal))
    } else if !send(.start(transfer)) {
      didBegin(transfer)
      if transfer.stream != nil { didEndStream() }
      transfer.deliver(.failure(transfer.error(.shutdown, "the HTTP engine has been shut down")))
    }
  }

  private func admit(_ transfer: Transfer) -> CurlError? {
    if transfer.stream != nil {
      let open = streams.wrappingAdd(1, ordering: .relaxed).newValue
      if open > configuration.maxStreams {
        didEndStream()
        return transfer.error(.queueFull, "\(configuration.maxStreams) streams are open already")
      }
    }
    let count = waiting.wrappingAdd(1, ordering: .relaxed).newValue
    // The connections themselves are not "queued": allow for a burst that the thread has not yet picked up.
    if count > configuration.maxQueuedRequests {
      didBegin(transfer)
      if transfer.stream != nil { didEndStream() }
      return transfer.error(
        .queueFull, "\(configuration.maxQueuedRequests) requests are waiting already; try again later")
    }
    return nil
  }

  /// Queues a command and wakes the loop. False when the loop takes no more.
  @discardableResult
  func send(_ command: Command) -> Bool {
    inbox.withLock { inbox in
      guard inbox.life == .running else { return false }
      inbox.commands.append(command)
      if inbox.commands.count == 1 { curl_multi_wakeup(multi) }
      return true
    }
  }

  func requestStop() {
    inbox.withLock { inbox in
      guard inbox.life == .running else { return }
      inbox.life = .stopping
      curl_multi_wakeup(multi)
    }
  }

  func stopAndWait() async {
    requestStop()
    await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
      let over = inbox.withLock { inbox in
        if inbox.life == .stopped { return true }
        inbox.stopWaiters.append(continuation)
        return false
      }
      if over { continuation.resume() }
    }
  }

  // MARK: The loop's thread

  /// Takes what has come in; the flag says that this is the last time.
  func takeCommands(reusing spare: [Command]) -> (commands: [Command], stop: Bool) {
    inbox.withLock { inbox in
      let commands = inbox.commands
      inbox.commands = spare
      return (commands, inbox.life != .running)
    }
  }

  /// The loop is over; from here on nobody uses the multi handle.
  func didStop() {
    let waiters = inbox.withLock { inbox in
      inbox.life = .stopped
      let waiters = inbox.stopWaiters
      inbox.stopWaiters = []
      return waiters
    }
    for waiter in waiters { waiter.resume() }
  }

  func didBegin(_ transfer: Transfer) { waiting.wrappingSubtract(1, ordering: .relaxed) }
  func didEndStream() { streams.wrappingSubtract(1, ordering: .relaxed) }
}

/// `curl_global_init`, once per process; Swift initialises globals under a lock.
private let libraryReady = curl_global_init(Int(CURL_GLOBAL_ALL)) == CURLE_OK

/// Main function of the engine's thread; takes over one retain of the loop.
private func engineThreadMain(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let argument else { return nil }
  // libcurl is told not to touch signals, and OpenSSL writes with plain write(2): a dead peer would otherwise
  // raise SIGPIPE. Blocked on this thread it stays pending, and the write just fails.
  var set = sigset_t()
  sigemptyset(&set)
  sigaddset(&set, SIGPIPE)
  pthread_sigmask(SIG_BLOCK, &set, nil)
  Unmanaged<EngineLoop>.fromOpaque(argument).takeRetainedValue().run()
  return nil
}
