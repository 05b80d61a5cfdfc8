// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

// Package executor carries plans out: it starts tasks, each under a supervisor
// process of its own, and finds them again.
//
//	plugin ──Start──> supervisor ──> child, which becomes the task
//	       ──Exec───> session ────> child, which becomes the command
//
// All but the plugin run the program of executor/image/program, which the plugin
// carries (plugin_program.go); in a plugin that was built without, all run the
// plugin's binary. What a process is, its argv[0] says: init in dispatch.go
// looks at it before other packages initialize. A file's name begins with the process
// that runs it, unless several do.
//
// What each does, in this order. A step that fails refuses the task, or ends it.
//
// The plugin, in [Start]:
//
//  1. It records the confinement: sessions and the next plugin read it.
//  2. It opens the sources of mounts, without following links, the cgroups and the
//     network namespace: the supervisor gets them by descriptor (inherited.go). So
//     what is renamed meanwhile leads nowhere else.
//  3. It takes the supervisor that waits for a task, or starts one (plugin_supervisor.go):
//     in new namespaces, from a thread in a small mount namespace, the spawner
//     (plugin_spawner.go). So the time of a start does not grow with what is mounted on
//     the host.
//  4. It records who the supervisor is, sends it the plan with the descriptors
//     (passing.go), and waits for the status. If one that has waited does not say that it
//     has the plan, it is killed, and another one is started.
//  5. It starts the supervisor of the next task: see [KeepReady].
//
// The supervisor (supervisor.go) is process 1 of the task's PID namespace. When it
// ends, for whatever reason, the kernel kills all that is left of the task.
//
//  1. It blocks signals, so that none ends it, becomes undumpable, and has its
//     descriptors closed on exec.
//  2. It waits for the plan. Until then it holds nothing of any task, and reads from the
//     plugin alone; one that the driver has started is user 0, with all capabilities and no
//     filter. Then it says that it has the plan; if it was started before there was a task,
//     it takes the task's ID. It empties core dumps to sockets, and prepares the records of the
//     start and of the exit, while there is a disk to do it on. It ends if the plugin does
//     before the plan is there.
//  3. It joins the group's network namespace, if there is one, and starts the companions
//     of the plan, which serve the task from outside (companion.go).
//  4. It mounts the view, makes it its root, read-only, and lets go of the host's mounts
//     (supervisor_view.go).
//  5. It tries each protected place in the view, and covers other /proc and cgroup
//     hierarchies (supervisor_viewcheck.go).
//  6. It opens the task's logs, and gives the task its ends to write to
//     (supervisor_logs.go).
//  7. It opens the Landlock ruleset by the paths of the view, and starts the child.
//  8. It records the start, drops its privileges, and enters a filter of its own
//     (privileges.go). Then it says that the task runs.
//  9. Until the first process ends it reaps orphans, and passes signals on to the first
//     process. Then it kills what is left, and records the exit.
//
// A session (session.go) runs one command in a running task. It is born in the task's
// PID namespace, as a child of the plugin; if the task may signal root's processes, of a
// starter (session_starter.go), which the task does not see. The task's /proc hides
// supervisor and sessions from the task; sessions are in the group that it shows the
// task to.
//
//  1. It reads its plan, and starts a watchdog (session_watchdog.go): when the plugin
//     closes the pipe, at the deadline or at its end, all of the session is killed; what
//     is left then, the plugin kills (plugin_exec.go).
//  2. It becomes undumpable, has its descriptors closed on exec, is the reaper of what
//     its command starts, and joins the group that sees processes in the task's /proc.
//  3. It opens the cgroups and the host's /proc, and then joins the task's mount, IPC and
//     network namespaces. With a terminal, it moves on to a mount namespace and a devpts
//     of its own.
//  4. It starts the child, tied to itself, under the recorded confinement. The rules are
//     opened anew, so that its domain is another one than the task's.
//  5. It drops its privileges, as a supervisor does, and waits.
//
// The child, of either, is no program of its own until it executes one, but a list of
// system calls in the memory of its parent (child_sequence.go, package vfork). enter in
// child_confine.go makes the list, and says why each step stands where it does.
//
//  1. a session of its own (setsid), descriptors 0, 1 and 2, the terminal
//  2. the cgroups: from here on, what it uses counts against the task
//  3. oom_score_adj, nice, resource limits
//  4. a new session keyring; signals by default, none blocked; umask 022
//  5. all other descriptors are closed on exec
//  6. the capability bounding set is reduced; no_new_privs
//  7. Landlock; then opening / must fail
//  8. seccomp
//  9. groups, GID and UID, compared with what they were to be
//  10. the other capability sets; not dumpable; a child of a session dies with it
//  11. the working directory, as the user; then execve(2)
//
// Landlock and seccomp stand before the user: from then on other processes of that user
// can signal the child, and by then it can do no more than they can.
//
// A task's records lie in a directory that only root can read, and are believed
// only if root alone can have written them: see record.go and trust.go.
// A process is only ever addressed by a pidfd whose start time was compared,
// never by a bare PID.
package executor
