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
//     task's view of the file system, opens the Landlock ruleset, starts the task's
//     first process, reaps orphans, passes signals on to the first process,
//     and records how the task ended. Where that is asked for, it writes the task's
//     logs: see logs.go. It does not need the plugin or the Nomad agent. When it
//     ends, for whatever reason, the kernel kills all that is left of the task.
//   - The child drops privileges, enters the confinement and executes the task's
//     program: see enter in confine.go. Until then it is no program of its own, but
//     a list of system calls in the memory of who has started it: see sequence.go.
//   - A session joins the namespaces of a running task to start another
//     command there, under the same confinement. It is born in the task's PID
//     namespace, as a child of the plugin, and is the reaper of what its command
//     starts: so all of that can be found and killed, whatever state it is in, by the
//     session (watchdog.go) and then by the plugin (exec.go).
//
// The plugin starts supervisors from a thread in a small mount namespace, the
// nursery, and hands them what they show of the host: so the time of a start does
// not grow with what is mounted on the host. See nursery.go and handed.go.
//
// A task's records lie in a directory that only root can read: see record.go.
// A process is only ever addressed by a pidfd whose start time was compared,
// never by a bare PID.
package executor
