// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package executor carries plans out: it starts tasks, each under a supervisor
// process of its own, and finds them again.
//
//	plugin ──Start──> supervisor ──> child, which becomes the task
//	       ──Exec───> session ────> child, which becomes the command
//
// All but the plugin run the program of executor/image/program, which the plugin
// carries, see program.go; in a plugin that was built without, all run the
// plugin's binary. What a process is, its argv[0] says: init in dispatch.go
// looks at it before other packages initialize.
//
//   - The supervisor is process 1 of the task's PID namespace. It makes the
//     task's view of the file system from the descriptors that it has inherited, and tries in it that
//     protected places are closed (viewcheck.go). It opens the Landlock ruleset,
//     starts the task's first process, reaps orphans, passes signals on to the first
//     process, and records how the task ended. Where that is asked for, it writes the
//     task's logs: see logs.go. It does not need the plugin or the Nomad agent. Once
//     the program runs it has given up what it does not need, see privileges.go. When it
//     ends, for whatever reason, the kernel kills all that is left of the task.
//   - The child enters the confinement, becomes the task's user and executes the
//     task's program, in this order: see enter in confine.go. Until then it is no
//     program of its own, but a list of system calls in the memory of who has started
//     it: see sequence.go.
//   - A session joins the namespaces of a running task to start another
//     command there, under the same confinement, in a Landlock domain of its own. It
//     is born in the task's PID namespace, as a child of the plugin, and is the reaper
//     of what its command starts: so all of that can be found and killed, whatever
//     state it is in, by the session (watchdog.go) and then by the plugin (exec.go).
//     The task's /proc hides supervisor and sessions from the task; sessions are in the
//     group that it shows the task to.
//
// A task can have companions, processes that serve it from outside of its confinement:
// see companion.go. Each has a keeper that starts it again.
//
// The plugin starts supervisors from a thread in a small mount namespace, the
// spawner. It opens the sources of mounts, the cgroups and the network namespace
// before, and hands them over by descriptor: so the time of a start does not grow
// with what is mounted on the host, and what is renamed meanwhile leads nowhere
// else. See spawner.go, sources.go and inherited.go.
//
// A task's records lie in a directory that only root can read, and are believed
// only if root alone can have written them: see record.go and trust.go.
// A process is only ever addressed by a pidfd whose start time was compared,
// never by a bare PID.
//
// What is protected, in which order, in plugin, supervisor, session and child, is in
// ARCHITECTURE.md.
package executor
