/// The agent that the shim answers to. At first the one that started it, over its two pipes; when that one is gone, the
/// next process of the same agent, which connects to a socket in the attempt's folder and takes over.
#ifndef ROTA_SHIM_AGENT_H
#define ROTA_SHIM_AGENT_H

#include <stdbool.h>

/// Where the agent is heard and spoken to.
struct agent {
  int control_fd;           // commands come from here; -1 while there is no agent
  int status_fd;            // lines go here; -1 while there is no agent
  int listen_fd;            // -1 until the first agent is gone
  const char *socket_path;  // absolute; NULL: nobody may take over
};

/// Nobody commands the task any more. True: another agent may still come, and can connect from now on.
/// False: none can, so the task has to end.
bool agent_leave(struct agent *agent);

/// Takes the next connection, if one waits. It replaces the present agent: the newer wins, so that one which was stopped and
/// wakes up can command nothing. Refuses users other than root and the shim's own. True: there is a new agent.
bool agent_accept(struct agent *agent);

/// Removes the socket's file.
void agent_finish(const struct agent *agent);

#endif
